//! Standard output.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints a line. Unlike `println!` it takes a reader that has gone away, as after `| head`, for one who wants no more.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::out::line(format_args!($($text)*)) };
}

/// Prints a line, for [`say`]. What has no room ends the program, with the exit code for everything that is wrong around it.
pub fn line(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(std::io::stderr(), "error: cannot print to the standard output: {why}");
            #[expect(clippy::disallowed_methods, reason = "nobody can be told anything any more")]
            std::process::exit(2);
        }
        _ => {}
    }
}
