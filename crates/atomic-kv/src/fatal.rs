//! Why the program ends early, and with which exit code: 2, the command line, the configuration or the environment is wrong; 1,
//! something failed; 4, the node is no member of its cluster any more; 70, a fault in the program. A tool may have others, which
//! its help tells.

pub use tools::Failed as Fatal;

use std::path::Path;

/// The exit code of a node that is no member of its cluster any more. To start it again changes nothing.
pub const RETIRED: u8 = 4;

/// A node is no member of its cluster any more, since this epoch: exit code 4.
pub fn retired(node: u32, epoch: u32, directory: &Path) -> Fatal {
    let message = format!(
        "node {node} is no member of its cluster any more, since epoch {epoch}: it was removed or replaced, and its id is not used \
         again. For a new node on this machine delete {}, run atomic-kv add or atomic-kv replace, and start it with --join",
        directory.display()
    );
    Fatal { code: RETIRED, message }
}

/// A command line that cannot be understood, in one line. Help and version, which end the program too, are printed
/// as they are.
pub fn command_line(why: &clap::Error) -> Fatal {
    use clap::error::ErrorKind;
    if !why.use_stderr() || why.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        match why.print() {
            Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => {
                return Fatal::runtime(format!("cannot print to the standard output: {why}"));
            }
            #[expect(clippy::disallowed_methods, reason = "help was wanted, and nothing has begun")]
            _ => std::process::exit(why.exit_code()),
        }
    }
    let text = why.render().to_string();
    let parts = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix("error: ").unwrap_or(line));
    let parts: Vec<&str> = parts.collect();
    Fatal::usage(format!("{} (see atomic-kv --help)", parts.join("; ").replace(":; ", ": ")))
}

/// A fault in the program itself: exit code 70.
pub fn fault(message: impl Into<String>) -> Fatal {
    Fatal { code: crate::fault::EXIT_CODE, message: message.into() }
}
