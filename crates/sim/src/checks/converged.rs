//! Rule R2: on a healed cluster every live replica has the newest version of every key within a bounded time, whether or not
//! anybody reads it.

use abd::Version;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What a replica durably has: by key, its newest version; `None` where it cannot read (it abstains).
pub type Held = BTreeMap<Bytes, Option<Version>>;

/// The first key that a replica lacks.
///
/// # Errors
/// Who lacks what.
pub fn check(replicas: &[(u32, Held)]) -> Result<(), String> {
    let mut newest: BTreeMap<&Bytes, Version> = BTreeMap::new();
    for (key, version) in replicas.iter().flat_map(|(_, held)| held) {
        let entry = newest.entry(key).or_insert(Version::MIN);
        *entry = (*entry).max(version.unwrap_or(Version::MIN));
    }
    for (key, version) in newest {
        for (node, held) in replicas {
            let found = held.get(key).copied().unwrap_or(Some(Version::MIN));
            if found.is_some_and(|found| found < version) {
                let (n, key) = (node + 1, key.escape_ascii());
                let found = found.unwrap_or(Version::MIN);
                return Err(format!("n{n} has {found} of key \"{key}\" and never gets {version}"));
            }
        }
    }
    Ok(())
}
