//! Standard output.

use std::io::{ErrorKind, Result, Write};

/// Prints. A reader that has gone away, as after `| head`, wants no more: that is no failure.
///
/// # Errors
/// When there is no room for it, say.
pub fn print(text: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => {
            Err(std::io::Error::new(why.kind(), format!("cannot print to the standard output: {why}")))
        }
        _ => Ok(()),
    }
}
