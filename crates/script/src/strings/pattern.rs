//! Lua's patterns, with a bound on their depth, and asking again and again whether the script may go on.

use crate::arguments::fail;
use crate::watch::Watch;
use mlua::{Error, Lua, Result};

/// How many items of a pattern may be under way at once.
const DEPTH_MAX: u32 = 200;

/// How many captures a pattern may have.
const CAPTURES_MAX: usize = 32;

/// A pattern. It ends before a zero, as in C.
#[derive(Clone, Copy)]
pub(super) struct Pattern<'a>(&'a [u8]);

impl<'a> Pattern<'a> {
    pub(super) fn new(pattern: &'a [u8]) -> Self {
        let end = pattern.iter().position(|byte| *byte == 0).unwrap_or(pattern.len());
        Self(&pattern[..end])
    }

    /// The same, and whether it holds only where the search begins.
    pub(super) fn anchored(pattern: &'a [u8]) -> (bool, Self) {
        match pattern {
            [b'^', rest @ ..] => (true, Self::new(rest)),
            _ => (false, Self::new(pattern)),
        }
    }
}

/// Whether a text means something else as a pattern than as a text.
pub(super) fn has_specials(pattern: &[u8]) -> bool {
    Pattern::new(pattern).0.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// What a pair of parentheses holds. Offsets are from 0.
#[derive(Clone, Copy)]
pub(super) enum Capture {
    /// It is not closed yet.
    Open { from: usize },
    /// A part of the subject.
    Text { from: usize, end: usize },
    /// A place, of `()`.
    Place(usize),
}

/// Matches one pattern.
pub(super) struct Matcher<'a> {
    pub(super) lua: &'a Lua,
    pub(super) subject: &'a [u8],
    pattern: &'a [u8],
    watch: &'a Watch,
    captures: Vec<Capture>,
    depth: u32,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(lua: &'a Lua, subject: &'a [u8], pattern: Pattern<'a>, watch: &'a Watch) -> Self {
        Self { lua, subject, pattern: pattern.0, watch, captures: Vec::new(), depth: 0 }
    }

    /// What the last match has captured.
    pub(super) fn captures(&self) -> &[Capture] {
        &self.captures
    }

    pub(super) fn fail(&self, text: &str) -> Error {
        fail(self.lua, text)
    }

    /// Matches at an offset. Answers where the match ends.
    pub(super) fn at(&mut self, from: usize) -> Result<Option<usize>> {
        self.captures.clear();
        self.depth = 0;
        self.run(from, 0)
    }

    /// Matches the rest of the pattern, from the offset `p`, at the offset `s`.
    fn run(&mut self, s: usize, p: usize) -> Result<Option<usize>> {
        if self.depth == DEPTH_MAX {
            return Err(self.fail("pattern too complex"));
        }
        self.depth += 1;
        let end = self.items(s, p);
        self.depth -= 1;
        end
    }

    fn items(&mut self, mut s: usize, mut p: usize) -> Result<Option<usize>> {
        loop {
            self.watch.step()?;
            match &self.pattern[p..] {
                [] => return Ok(Some(s)),
                [b'(', b')', ..] => return self.open(s, p + 2, Capture::Place(s)),
                [b'(', ..] => return self.open(s, p + 1, Capture::Open { from: s }),
                [b')', ..] => return self.close(s, p + 1),
                [b'%', b'b', ..] => match self.balanced(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                [b'%', b'f', ..] => match self.frontier(s, p + 2)? {
                    Some(next) => p = next,
                    None => return Ok(None),
                },
                [b'%', digit @ b'0'..=b'9', ..] => match self.again(s, *digit)? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                [b'$'] => return Ok((s == self.subject.len()).then_some(s)),
                _ => {
                    let next = self.item_end(p)?;
                    match self.pattern.get(next) {
                        Some(b'?') => {
                            if self.fits(s, p, next)
                                && let Some(end) = self.run(s + 1, next + 1)?
                            {
                                return Ok(Some(end));
                            }
                            p = next + 1;
                        }
                        Some(b'*') => return self.longest(s, p, next),
                        Some(b'+') if self.fits(s, p, next) => return self.longest(s + 1, p, next),
                        Some(b'+') => return Ok(None),
                        Some(b'-') => return self.shortest(s, p, next),
                        _ if self.fits(s, p, next) => (s, p) = (s + 1, next),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// As many as there are, then fewer and fewer until the rest fits.
    fn longest(&mut self, s: usize, p: usize, next: usize) -> Result<Option<usize>> {
        let mut count = 0;
        while self.fits(s + count, p, next) {
            self.watch.step()?;
            count += 1;
        }
        for count in (0..=count).rev() {
            if let Some(end) = self.run(s + count, next + 1)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// As few as it takes until the rest fits.
    fn shortest(&mut self, mut s: usize, p: usize, next: usize) -> Result<Option<usize>> {
        loop {
            if let Some(end) = self.run(s, next + 1)? {
                return Ok(Some(end));
            }
            if !self.fits(s, p, next) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, capture: Capture) -> Result<Option<usize>> {
        if self.captures.len() == CAPTURES_MAX {
            return Err(self.fail("too many captures"));
        }
        self.captures.push(capture);
        let end = self.run(s, p)?;
        if end.is_none() {
            self.captures.pop();
        }
        Ok(end)
    }

    fn close(&mut self, s: usize, p: usize) -> Result<Option<usize>> {
        let open = self.captures.iter().rposition(|capture| matches!(capture, Capture::Open { .. }));
        let Some((place, Capture::Open { from })) = open.map(|place| (place, self.captures[place])) else {
            return Err(self.fail("invalid pattern capture"));
        };
        self.captures[place] = Capture::Text { from, end: s };
        let end = self.run(s, p)?;
        if end.is_none() {
            self.captures[place] = Capture::Open { from };
        }
        Ok(end)
    }

    /// `%b()`: from one byte to another, with pairs of them in between.
    fn balanced(&self, s: usize, p: usize) -> Result<Option<usize>> {
        let [begin, end, ..] = self.pattern[p..] else {
            return Err(self.fail("unbalanced pattern"));
        };
        if self.subject.get(s) != Some(&begin) {
            return Ok(None);
        }
        let mut open = 1_usize;
        for (at, byte) in self.subject.iter().enumerate().skip(s + 1) {
            self.watch.step()?;
            if *byte == end {
                open -= 1;
                if open == 0 {
                    return Ok(Some(at + 1));
                }
            } else if *byte == begin {
                open += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: between a byte outside the set and one inside. The ends of the subject are zeros. Answers where the set ends.
    fn frontier(&self, s: usize, p: usize) -> Result<Option<usize>> {
        if self.pattern.get(p) != Some(&b'[') {
            return Err(self.fail("missing '[' after '%f' in pattern"));
        }
        let end = self.item_end(p)?;
        let before = if s == 0 { 0 } else { self.subject[s - 1] };
        let after = self.subject.get(s).copied().unwrap_or(0);
        let holds = !self.in_set(before, p, end) && self.in_set(after, p, end);
        Ok(holds.then_some(end))
    }

    /// `%1`: what was captured, once more.
    fn again(&self, s: usize, digit: u8) -> Result<Option<usize>> {
        let capture =
            usize::from(digit).checked_sub(usize::from(b'1')).and_then(|place| self.captures.get(place));
        let Some(Capture::Text { from, end }) = capture else {
            return Err(self.fail("invalid capture index"));
        };
        let captured = &self.subject[*from..*end];
        self.watch.steps(u32::try_from(captured.len() / 64).unwrap_or(u32::MAX))?;
        Ok(self.subject[s..].starts_with(captured).then_some(s + captured.len()))
    }

    /// Where the item that begins at `p` ends: a byte, an escaped one, or a set.
    fn item_end(&self, p: usize) -> Result<usize> {
        match &self.pattern[p..] {
            [b'%'] => Err(self.fail("malformed pattern (ends with '%')")),
            [b'%', ..] => Ok(p + 2),
            [b'[', ..] => {
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                // The first byte belongs to the set, even if it is a bracket.
                loop {
                    match self.pattern.get(at) {
                        None => return Err(self.fail("malformed pattern (missing ']')")),
                        Some(b'%') if at + 1 < self.pattern.len() => at += 2,
                        Some(_) => at += 1,
                    }
                    if self.pattern.get(at) == Some(&b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the byte at `s` is one of the item from `p` to `end`.
    fn fits(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(byte) = self.subject.get(s).copied() else {
            return false;
        };
        match self.pattern[p] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end),
            literal => literal == byte,
        }
    }

    fn in_set(&self, byte: u8, p: usize, end: usize) -> bool {
        let inside = &self.pattern[p + 1..end - 1];
        let (negated, mut rest) = match inside {
            [b'^', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        while let [first, ..] = *rest {
            let (found, length) = match *rest {
                [b'%', class, ..] => (in_class(byte, class), 2),
                [low, b'-', high, ..] => ((low..=high).contains(&byte), 3),
                _ => (first == byte, 1),
            };
            if found {
                return !negated;
            }
            rest = &rest[length..];
        }
        negated
    }
}

/// Whether a byte is of a class such as `%a`; a capital letter means all others.
fn in_class(byte: u8, class: u8) -> bool {
    let holds = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    holds != class.is_ascii_uppercase()
}
