//! Enough of JSON for one line.

/// How deep a line may nest: an object, a value in hex, and one to spare.
const DEPTH: usize = 3;

/// How many members an object may have. Operations have nine; a hostile file must not make the search for doubles
/// quadratic.
const MEMBERS: usize = 32;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string.
    Text(String),
    /// An object, in the order of the file.
    Object(Vec<(String, Json)>),
}

/// The one value of the line.
pub(crate) fn parse(line: &str) -> Result<Json, String> {
    let mut parser = Parser { rest: line };
    let value = parser.value(0)?;
    parser.blank();
    if parser.rest.is_empty() { Ok(value) } else { Err("something follows the object".to_owned()) }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
    }

    fn take(&mut self, start: &str) -> bool {
        self.blank();
        match self.rest.strip_prefix(start) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH {
            return Err("nested too deeply".to_owned());
        }
        if self.take("null") {
            return Ok(Json::Null);
        }
        for (word, value) in [("true", true), ("false", false)] {
            if self.take(word) {
                return Ok(Json::Bool(value));
            }
        }
        if self.rest.starts_with('"') {
            return self.string().map(Json::Text);
        }
        if self.take("{") {
            return self.object(depth);
        }
        let ends = |c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c);
        let (number, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        // One spelling a number: values are compared as text.
        if number.parse::<i128>().map(|parsed| parsed.to_string()).as_deref() != Ok(number) {
            return Err("neither a string, a whole number, an object, null, true nor false".to_owned());
        }
        self.rest = rest;
        Ok(Json::Number(number.to_owned()))
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        let mut members: Vec<(String, Json)> = Vec::new();
        if self.take("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.blank();
            let name = self.string()?;
            if members.len() == MEMBERS {
                return Err(format!("an object with more than {MEMBERS} members"));
            }
            if members.iter().any(|(other, _)| *other == name) {
                return Err(format!("two members are called {name:?}"));
            }
            if !self.take(":") {
                return Err(format!("no colon after {name:?}"));
            }
            members.push((name, self.value(depth + 1)?));
            if self.take("}") {
                return Ok(Json::Object(members));
            }
            if !self.take(",") {
                return Err("an object without end".to_owned());
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let Some(inside) = self.rest.strip_prefix('"') else {
            return Err("a name has to be a string".to_owned());
        };
        let mut text = String::new();
        let mut chars = inside.chars();
        loop {
            match chars.next().ok_or("a string without end")? {
                '"' => break,
                '\\' => text.push(escape(&mut chars)?),
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<char, String> {
    match chars.next().ok_or("a string without end")? {
        'n' => Ok('\n'),
        't' => Ok('\t'),
        'r' => Ok('\r'),
        'b' => Ok('\u{8}'),
        'f' => Ok('\u{c}'),
        c @ ('"' | '\\' | '/') => Ok(c),
        'u' => {
            let first = unit(chars)?;
            // Characters beyond the first plane come as two halves.
            let code = if (0xd800..0xdc00).contains(&first) {
                let second =
                    if chars.as_str().starts_with("\\u") { chars.nth(1).map(|_| unit(chars)) } else { None };
                match second.transpose()? {
                    Some(second @ 0xdc00..0xe000) => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return Err("half of a character".to_owned()),
                }
            } else {
                first
            };
            char::from_u32(code).ok_or_else(|| "half of a character".to_owned())
        }
        c => Err(format!("an unknown escape, \\{c}")),
    }
}

fn unit(chars: &mut std::str::Chars<'_>) -> Result<u32, String> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = chars.next().and_then(|c| c.to_digit(16)).ok_or("\\u needs four hexadecimal digits")?;
        unit = 16 * unit + digit;
    }
    Ok(unit)
}
