use abd::Version;
use store::key;
use store::space::Space;

/// How data keys order any user keys and versions.
///
/// Key and version come back out, keys in their order, versions of a key newest first and all of them together: what
/// begins like the versions of one key belongs to it. Bytes that claim to be a data key are either refused or are
/// exactly what the key in them encodes to.
pub fn keys(data: &[u8]) {
    foreign(data);
    let Some((&split, rest)) = data.split_first() else { return };
    let (first_version, rest) = version(rest);
    let (second_version, rest) = version(rest);
    let (first, second) = rest.split_at(rest.len().min(usize::from(split)));
    for (user_key, version) in [(first, first_version), (second, second_version)] {
        let encoded = key::encode(user_key, version);
        assert_eq!(key::version_of(&encoded), Some(version));
        assert_eq!(key::prefix_of(&encoded), key::prefix(user_key));
        assert_eq!(Space::of(&encoded), Space::Versions);
        if !key::is_hashed(&encoded) {
            assert_eq!(key::user_key(key::prefix_of(&encoded)).as_deref(), Some(user_key));
        }
    }
    let (a, b) = (key::prefix(first), key::prefix(second));
    if !key::is_hashed(&a) && !key::is_hashed(&b) {
        assert_eq!(a.cmp(&b), first.cmp(second), "prefixes order like keys");
    }
    assert_eq!(a.starts_with(&b), first == second, "no prefix begins another");
    let (newer, older) = (key::encode(first, first_version), key::encode(first, second_version));
    assert_eq!(newer.cmp(&older), second_version.cmp(&first_version), "newest first");
    if first != second {
        let other = key::encode(second, second_version);
        assert_eq!(newer.cmp(&other), a.cmp(&b), "versions never lead into another key");
    }
}

fn foreign(data: &[u8]) {
    let prefix = key::prefix_of(data);
    if let (Some(version), Some(user_key)) = (key::version_of(data), key::user_key(prefix)) {
        assert_eq!(key::encode(&user_key, version), data);
    }
}

/// Takes a version off the front; what no writer produces counts as the smallest.
fn version(data: &[u8]) -> (Version, &[u8]) {
    match data.split_first_chunk::<{ Version::LEN }>() {
        Some((bytes, rest)) => (Version::from_bytes(bytes).unwrap_or(Version::MIN), rest),
        None => (Version::MIN, data),
    }
}
