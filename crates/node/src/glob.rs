//! Redis' glob patterns: `*`, `?`, `[a-z]`, `[^a]` and `\` before a literal character.

use alloc::vec::Vec;

/// Longer patterns match nothing: a client may send megabytes, and comparing takes as long as both are long.
pub(crate) const PATTERN_BYTES_MAX: usize = 1024;

/// Whether the whole of `text` matches; case does not count. For names of settings and commands.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    whole(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// The same, and case counts. For keys.
pub(crate) fn matches_exactly(pattern: &[u8], text: &[u8]) -> bool {
    whole(pattern, text, |byte| byte)
}

/// What everything that matches begins with, as far as the pattern says it literally.
pub(crate) fn beginning(pattern: &[u8]) -> Vec<u8> {
    let mut literal = Vec::new();
    let mut rest = pattern;
    loop {
        rest = match rest {
            [] | [b'*' | b'?' | b'[', ..] => return literal,
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                literal.push(*byte);
                rest
            }
        };
    }
}

/// How characters are compared.
type Fold = fn(u8) -> u8;

fn whole(pattern: &[u8], text: &[u8], fold: Fold) -> bool {
    if pattern.len() > PATTERN_BYTES_MAX {
        return false;
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last `*`, which then swallows one character more.
    let mut retry = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
        } else if let Some(len) = one(&pattern[p..], text[t], fold) {
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
fn one(pattern: &[u8], byte: u8, fold: Fold) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (matched, len) = class_matches(class, byte, fold);
            matched.then_some(len + 1)
        }
        [b'\\', literal, ..] => (fold(*literal) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
    }
}

/// Whether a class, without its opening bracket, has the character, and how long it is. A class without an
/// end reaches to the end of the pattern, as in Redis.
fn class_matches(class: &[u8], byte: u8, fold: Fold) -> (bool, usize) {
    let byte = fold(byte);
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => return (found != negated, at),
            [b']', ..] => return (found != negated, at + 1),
            [b'\\', literal, ..] => {
                found |= fold(*literal) == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                let (low, high) = (fold(*low), fold(*high));
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= fold(*literal) == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_counts_for_keys_and_not_for_names() {
        for (pattern, text, exactly) in [
            ("a*[b-d]", "axC", false),
            ("a*[b-d]", "axc", true),
            ("\\A", "a", false),
            ("h[^a]x", "hAx", true),
        ] {
            assert_eq!(matches_exactly(pattern.as_bytes(), text.as_bytes()), exactly, "{pattern} {text}");
        }
        assert!(matches(b"A*[B-D]", b"axc") && !matches(b"h[^a]x", b"hAx"));
    }

    #[test]
    fn a_pattern_tells_what_its_matches_begin_with() {
        for (pattern, expected) in [
            ("user:*", "user:"),
            ("\\*a?", "*a"),
            ("", ""),
            ("*", ""),
            ("a[bc]", "a"),
            ("plain", "plain"),
            ("a\\", "a\\"),
        ] {
            assert_eq!(beginning(pattern.as_bytes()), expected.as_bytes(), "{pattern}");
        }
    }
}
