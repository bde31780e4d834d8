//! Standard output.

use crate::Failed;
use std::io::{ErrorKind, Write};

/// Prints. A reader that has gone away, as after `| head`, wants no more: that is no failure.
///
/// # Errors
/// When there is no room for it, say.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => {
            Err(Failed::runtime(format!("cannot print to the standard output: {why}")))
        }
        _ => Ok(()),
    }
}

/// Prints for a tool whose exit code 1 means something else: the code is 2.
pub(crate) fn say(text: impl AsRef<[u8]>) -> Result<(), Failed> {
    print(text).map_err(|why| Failed { code: 2, ..why })
}
