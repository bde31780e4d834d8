//! Enough of EDN to read what Jepsen writes.

use crate::read::ReadError;

/// How deep collections may nest. Histories need three levels; hostile files must not exhaust the stack.
const DEPTH: usize = 64;

/// A value, with everything unknown kept as its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edn {
    /// A number, symbol, `nil`, `true` or `false`.
    Word(String),
    /// A keyword without its colon.
    Keyword(String),
    /// A string or a character.
    Text(String),
    /// A vector, list or set.
    Sequence(Vec<Spot>),
    /// A map, in the order of the file.
    Map(Vec<(Edn, Edn)>),
}

/// A value and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) line: usize,
    pub(crate) value: Edn,
}

impl Edn {
    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Edn::Word(word) if word == "nil")
    }
}

/// All values of the text.
pub(crate) fn parse(text: &str) -> Result<Vec<Spot>, ReadError> {
    let mut parser = Parser { rest: text, line: 1 };
    let mut values = Vec::new();
    while let Some(value) = parser.value(0)? {
        values.push(value);
    }
    match parser.rest.chars().next() {
        Some(bracket) => Err(parser.error(format!("{bracket:?} closes nothing"))),
        None => Ok(values),
    }
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
}

impl Parser<'_> {
    fn error(&self, message: impl Into<String>) -> ReadError {
        ReadError::new(self.line, message)
    }

    fn skip(&mut self, bytes: usize) -> &str {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
        skipped
    }

    fn skip_blank(&mut self) {
        loop {
            let blank = self.rest.find(|c: char| !c.is_whitespace() && c != ',').unwrap_or(self.rest.len());
            self.skip(blank);
            if !self.rest.starts_with(';') {
                return;
            }
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    /// The next value, or `None` at a closing bracket or at the end.
    fn value(&mut self, depth: usize) -> Result<Option<Spot>, ReadError> {
        if depth > DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.skip_blank();
        while self.rest.starts_with("#_") {
            self.skip(2);
            if self.value(depth + 1)?.is_none() {
                return Err(self.error("nothing to discard"));
            }
            self.skip_blank();
        }
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let value = match first {
            ')' | ']' | '}' => return Ok(None),
            '[' => Edn::Sequence(self.until(']', depth)?),
            '(' => Edn::Sequence(self.until(')', depth)?),
            '{' => self.map(depth)?,
            '"' => Edn::Text(self.string()?),
            '#' if self.rest.starts_with("#{") => {
                self.skip(1);
                Edn::Sequence(self.until('}', depth)?)
            }
            '#' => {
                // A tag says how to interpret the value after it; histories use it for records and dates.
                self.word();
                return match self.value(depth + 1)? {
                    Some(tagged) => Ok(Some(tagged)),
                    None => Err(self.error("a tag without a value")),
                };
            }
            '\\' => {
                self.skip(1);
                let length = self.rest.chars().next().map_or(0, char::len_utf8);
                let mut name = self.skip(length).to_owned();
                name += self.word();
                Edn::Text(name)
            }
            ':' => Edn::Keyword(self.word().trim_start_matches(':').to_owned()),
            _ => Edn::Word(self.word().to_owned()),
        };
        Ok(Some(Spot { line, value }))
    }

    fn word(&mut self) -> &str {
        let ends = |c: char| c.is_whitespace() || "()[]{}\",;".contains(c);
        self.skip(self.rest.find(ends).unwrap_or(self.rest.len()))
    }

    fn until(&mut self, close: char, depth: usize) -> Result<Vec<Spot>, ReadError> {
        let opened = self.line;
        self.skip(1);
        let mut values = Vec::new();
        while let Some(value) = self.value(depth + 1)? {
            values.push(value);
        }
        match self.rest.chars().next() {
            Some(bracket) if bracket == close => {
                self.skip(1);
                Ok(values)
            }
            Some(bracket) => {
                Err(self.error(format!("{bracket:?} where {close:?} was due since line {opened}")))
            }
            None => Err(self.error(format!("the file ends before the {close:?} due since line {opened}"))),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Edn, ReadError> {
        let mut values = self.until('}', depth)?.into_iter().map(|spot| spot.value);
        let mut members = Vec::new();
        while let Some(key) = values.next() {
            let Some(value) = values.next() else { return Err(self.error("a map key without a value")) };
            members.push((key, value));
        }
        Ok(Edn::Map(members))
    }

    fn string(&mut self) -> Result<String, ReadError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.skip(at + 1);
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => return Err(self.error("an escape other than \\n, \\t, \\r, \\\" and \\\\")),
                },
                c => text.push(c),
            }
        }
        Err(self.error("a string without end"))
    }
}
