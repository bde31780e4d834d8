//! What may follow the value in `SET`.

use super::expiry_options::ExpiryOption;
use super::versions::parse_version;
use crate::functions::Condition;
use crate::resp::command::syntax_error;
use crate::resp::response::Response;
use bytes::Bytes;

/// The options of a `SET`.
#[derive(Debug)]
pub(super) struct Options {
    /// When the key gets the value.
    pub(super) condition: Condition,
    /// What becomes of its deadline.
    pub(super) expiry: ExpiryOption,
    /// Whether what it held before is answered.
    pub(super) get: bool,
    /// Whether the version that it has then is answered, too.
    pub(super) with_version: bool,
}

impl Options {
    /// Reads the words behind the value.
    ///
    /// # Errors
    /// The reply, if they are no options, or not such that go together.
    pub(super) fn parse(words: &[Bytes]) -> Result<Self, Response> {
        let mut options = Self {
            condition: Condition::Always,
            expiry: ExpiryOption::None,
            get: false,
            with_version: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let word = word.to_ascii_uppercase();
            if let Some(time) = ExpiryOption::time(&word, &mut words)? {
                options.expiry.set(time)?;
                continue;
            }
            let mut operand = || words.next().cloned().ok_or_else(syntax_error);
            match word.as_slice() {
                b"NX" => options.only_if(Condition::Absent)?,
                b"XX" => options.only_if(Condition::Present)?,
                b"IFEQ" => options.only_if(Condition::Equals(operand()?))?,
                b"IFNE" => options.only_if(Condition::Differs(operand()?))?,
                b"IFVER" => options.only_if(Condition::Version(parse_version(&operand()?)?))?,
                b"KEEPTTL" => options.expiry.set(ExpiryOption::Keep)?,
                b"GET" => options.get = true,
                b"WITHVER" => options.with_version = true,
                _ => return Err(syntax_error()),
            }
        }
        Ok(options)
    }

    /// There is one condition; one without a value may be named again, as in Redis.
    fn only_if(&mut self, condition: Condition) -> Result<(), Response> {
        let again =
            matches!(condition, Condition::Absent | Condition::Present) && self.condition == condition;
        if self.condition != Condition::Always && !again {
            return Err(syntax_error());
        }
        self.condition = condition;
        Ok(())
    }
}
