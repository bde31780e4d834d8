//! From JSON to values.

use super::{DEPTH_MAX, Settings};
use crate::arguments::fail;
use crate::numbers;
use crate::watch::Watch;
use mlua::{Error, Lua, Result, Table, Value};

pub(super) struct Decoder<'a> {
    lua: &'a Lua,
    watch: &'a Watch,
    settings: &'a Settings,
    text: &'a [u8],
    at: usize,
    depth: i32,
}

/// A token and where it begins. Its name is for errors.
struct Token {
    kind: Kind,
    at: usize,
}

enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Wrong(&'static str),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Text(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Wrong(why) => why,
        }
    }
}

impl<'a> Decoder<'a> {
    pub(super) fn new(lua: &'a Lua, watch: &'a Watch, settings: &'a Settings, text: &'a [u8]) -> Self {
        Self { lua, watch, settings, text, at: 0, depth: 0 }
    }

    pub(super) fn decode(mut self) -> Result<Value> {
        if self.text.len() >= 2 && self.text[..2].contains(&0) {
            return Err(fail(self.lua, "JSON parser does not support UTF-16 or UTF-32"));
        }
        let token = self.next();
        let value = self.value(token)?;
        let token = self.next();
        if !matches!(token.kind, Kind::End) {
            return Err(self.unexpected("the end", &token));
        }
        Ok(value)
    }

    fn unexpected(&self, wanted: &str, found: &Token) -> Error {
        let text = format!("Expected {wanted} but found {} at character {}", found.kind.name(), found.at + 1);
        fail(self.lua, &text)
    }

    fn value(&mut self, token: Token) -> Result<Value> {
        self.watch.step()?;
        Ok(match token.kind {
            Kind::Text(text) => {
                self.watch.bytes(text.len().saturating_mul(8))?;
                Value::String(self.lua.create_string(text)?)
            }
            Kind::Number(number) => Value::Number(number),
            Kind::Boolean(truth) => Value::Boolean(truth),
            Kind::Null => Value::NULL,
            Kind::ObjectBegin => Value::Table(self.object()?),
            Kind::ArrayBegin => Value::Table(self.array()?),
            _ => return Err(self.unexpected("value", &token)),
        })
    }

    fn descend(&mut self) -> Result<Table> {
        self.depth += 1;
        if self.depth > self.settings.decode_depth_max.min(DEPTH_MAX) {
            let Self { depth, at, .. } = self;
            let text = format!("Found too many nested data structures ({depth}) at character {at}");
            return Err(fail(self.lua, &text));
        }
        self.lua.create_table()
    }

    fn object(&mut self) -> Result<Table> {
        let table = self.descend()?;
        let mut token = self.next();
        if !matches!(token.kind, Kind::ObjectEnd) {
            loop {
                let Kind::Text(key) = token.kind else {
                    return Err(self.unexpected("object key string", &token));
                };
                self.watch.bytes(key.len().saturating_mul(8))?;
                let colon = self.next();
                if !matches!(colon.kind, Kind::Colon) {
                    return Err(self.unexpected("colon", &colon));
                }
                let value = self.next();
                table.raw_set(self.lua.create_string(key)?, self.value(value)?)?;
                let after = self.next();
                match after.kind {
                    Kind::ObjectEnd => break,
                    Kind::Comma => token = self.next(),
                    _ => return Err(self.unexpected("comma or object end", &after)),
                }
            }
        }
        self.depth -= 1;
        Ok(table)
    }

    fn array(&mut self) -> Result<Table> {
        let table = self.descend()?;
        let mut token = self.next();
        if !matches!(token.kind, Kind::ArrayEnd) {
            for place in 1.. {
                table.raw_seti(place, self.value(token)?)?;
                let after = self.next();
                match after.kind {
                    Kind::ArrayEnd => break,
                    Kind::Comma => token = self.next(),
                    _ => return Err(self.unexpected("comma or array end", &after)),
                }
            }
        }
        self.depth -= 1;
        Ok(table)
    }

    /// The byte at a place; a zero ends the text, as in C.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let kind = match self.byte(at) {
            0 => return Token { kind: Kind::End, at },
            b'{' => Kind::ObjectBegin,
            b'}' => Kind::ObjectEnd,
            b'[' => Kind::ArrayBegin,
            b']' => Kind::ArrayEnd,
            b',' => Kind::Comma,
            b':' => Kind::Colon,
            b'"' => {
                return match self.quoted() {
                    Ok(text) => Token { kind: Kind::Text(text), at },
                    Err(why) => Token { kind: Kind::Wrong(why), at: self.at },
                };
            }
            b'-' | b'0'..=b'9' => return self.number(),
            _ => return self.word(),
        };
        self.at += 1;
        Token { kind, at }
    }

    fn word(&mut self) -> Token {
        let at = self.at;
        let rest = &self.text[at..];
        let words = [("true", Kind::Boolean(true)), ("false", Kind::Boolean(false)), ("null", Kind::Null)];
        for (word, kind) in words {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Token { kind, at };
            }
        }
        let may_be_number = matches!(rest[0], b'i' | b'I' | b'n' | b'N' | b'+');
        if self.settings.decode_invalid && may_be_number && is_invalid_number(rest) {
            return self.number();
        }
        Token { kind: Kind::Wrong("invalid token"), at }
    }

    fn number(&mut self) -> Token {
        let at = self.at;
        let rest = &self.text[at..];
        if !self.settings.decode_invalid && is_invalid_number(rest) {
            return Token { kind: Kind::Wrong("invalid number"), at };
        }
        match numbers::read(rest) {
            Some((number, length)) => {
                self.at += length;
                Token { kind: Kind::Number(number), at }
            }
            None => Token { kind: Kind::Wrong("invalid number"), at },
        }
    }

    /// A string, whose first quote is here. After an error this is where it is wrong.
    fn quoted(&mut self) -> std::result::Result<Vec<u8>, &'static str> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let byte = match self.byte(self.at) {
                b'"' => break,
                0 => return Err("unexpected end of string"),
                b'\\' => match self.byte(self.at + 1) {
                    b'u' => {
                        let (character, length) = self.escaped().ok_or("invalid unicode escape code")?;
                        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                        self.at += length;
                        continue;
                    }
                    escape => {
                        let byte = match escape {
                            b'"' | b'\\' | b'/' => escape,
                            b'b' => 0x08,
                            b't' => b'\t',
                            b'n' => b'\n',
                            b'f' => 0x0c,
                            b'r' => b'\r',
                            _ => return Err("invalid escape code"),
                        };
                        self.at += 1;
                        byte
                    }
                },
                byte => byte,
            };
            out.push(byte);
            self.at += 1;
        }
        self.at += 1;
        Ok(out)
    }

    /// A character given by its number, in one part or two, and the length of that.
    fn escaped(&self) -> Option<(char, usize)> {
        let part = |at: usize| {
            let digits = self.text.get(at + 2..at + 6)?;
            digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
        };
        let high = part(self.at)?;
        if high & 0xf800 != 0xd800 {
            return Some((char::from_u32(high)?, 6));
        }
        if high & 0x400 != 0 || self.byte(self.at + 6) != b'\\' || self.byte(self.at + 7) != b'u' {
            return None;
        }
        let low = part(self.at + 6)?;
        if low & 0xfc00 != 0xdc00 {
            return None;
        }
        let number = 0x1_0000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
        Some((char::from_u32(number)?, 12))
    }
}

/// Whether a text is a number for C and none for JSON.
fn is_invalid_number(text: &[u8]) -> bool {
    let begins =
        |text: &[u8], word: &[u8]| text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let text = match text {
        [b'+', ..] => return true,
        [b'-', rest @ ..] => rest,
        text => text,
    };
    match text {
        [b'0', after, ..] => after.eq_ignore_ascii_case(&b'x') || after.is_ascii_digit(),
        [first, ..] if *first <= b'9' => false,
        _ => begins(text, b"inf") || begins(text, b"nan"),
    }
}
