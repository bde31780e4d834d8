//! Redis' glob patterns: `*`, `?`, `[a-z]`, `[^a]` and `\` before a literal character; case does not count.

/// Longer patterns match nothing: the names here are short, and a client may send megabytes.
const MAX_PATTERN_BYTES: usize = 1024;

/// Whether the whole of `text` matches.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if pattern.len() > MAX_PATTERN_BYTES {
        return false;
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last `*`, which then swallows one character more.
    let mut retry = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
        } else if let Some(len) = one(&pattern[p..], text[t]) {
            p += len;
            t += 1;
        } else if let Some((star, swallowed)) = retry {
            (p, t) = (star, swallowed + 1);
            retry = Some((star, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// How much of the pattern matches this one character, if it does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (matched, len) = class_matches(class, byte);
            matched.then_some(len + 1)
        }
        [b'\\', literal, ..] => literal.eq_ignore_ascii_case(&byte).then_some(2),
        [literal, ..] => literal.eq_ignore_ascii_case(&byte).then_some(1),
    }
}

/// Whether a class, without its opening bracket, has the character, and how long it is. A class without an
/// end reaches to the end of the pattern, as in Redis.
fn class_matches(class: &[u8], byte: u8) -> (bool, usize) {
    let byte = byte.to_ascii_lowercase();
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => return (found != negated, at),
            [b']', ..] => return (found != negated, at + 1),
            [b'\\', literal, ..] => {
                found |= literal.to_ascii_lowercase() == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                let (low, high) = (low.to_ascii_lowercase(), high.to_ascii_lowercase());
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal.to_ascii_lowercase() == byte;
                at += 1;
            }
        }
    }
}
