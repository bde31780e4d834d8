//! The first line of a script, such as `#!lua flags=no-writes`.

/// What a script says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// It has a first line of this kind at all.
    pub declared: bool,
    /// It calls no command that writes.
    pub no_writes: bool,
    /// It may run on a cluster; all may here.
    pub no_cluster: bool,
}

/// A script taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// What it says about itself.
    pub flags: Flags,
    /// The rest, with the end of the first line, so that lines keep their numbers.
    pub body: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the first line of a script.
    ///
    /// # Errors
    /// It is not understood. The text is the error for the client, with its code.
    pub fn read(source: &'a [u8]) -> Result<Self, String> {
        if !source.starts_with(b"#!") {
            return Ok(Self { flags: Flags::default(), body: source });
        }
        let Some(end) = source.iter().position(|byte| *byte == b'\n') else {
            return Err("ERR Invalid script shebang".to_owned());
        };
        let line = String::from_utf8_lossy(&source[..end]);
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("#!lua") => {}
            engine => {
                let engine = engine.unwrap_or_default();
                return Err(format!("ERR Unexpected engine in script shebang: {engine}"));
            }
        }
        let mut flags = Flags { declared: true, ..Flags::default() };
        for word in words {
            let Some(names) = word.strip_prefix("flags=") else {
                return Err(format!("ERR Unknown lua shebang option: {word}"));
            };
            for name in names.split(',').filter(|name| !name.is_empty()) {
                match name {
                    "no-writes" => flags.no_writes = true,
                    "no-cluster" => flags.no_cluster = true,
                    // A node is never short of memory or stale as Redis means it; so is any key allowed that the script asks for.
                    "allow-oom" | "allow-stale" | "allow-cross-slot-keys" => {}
                    _ => return Err(format!("ERR Unexpected flag in script shebang: {name}")),
                }
            }
        }
        Ok(Self { flags, body: &source[end..] })
    }
}

#[cfg(test)]
mod tests {
    use super::{Flags, Header};

    #[test]
    fn a_script_without_a_header_is_its_own_body() {
        let header = Header::read(b"return 1").expect("it is a script");
        assert_eq!(header, Header { flags: Flags::default(), body: b"return 1" });
    }

    #[test]
    fn a_header_says_what_the_script_does_and_lines_keep_their_numbers() {
        let header = Header::read(b"#!lua flags=no-writes,allow-stale\nreturn 1").expect("it is a script");
        assert_eq!(header.flags, Flags { declared: true, no_writes: true, no_cluster: false });
        assert_eq!(header.body, b"\nreturn 1");
    }

    #[test]
    fn what_is_not_understood_is_refused_as_in_redis() {
        for (source, error) in [
            ("#!lua", "ERR Invalid script shebang"),
            ("#!luax\n", "ERR Unexpected engine in script shebang: #!luax"),
            ("#!lua name=x\n", "ERR Unknown lua shebang option: name=x"),
            ("#!lua flags=x\n", "ERR Unexpected flag in script shebang: x"),
        ] {
            assert_eq!(Header::read(source.as_bytes()), Err(error.to_owned()));
        }
    }
}
