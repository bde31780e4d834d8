//! Why the program ends early, and with which exit code.

use std::fmt;

/// An end with one clear line for whoever started the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// 2: the command line, the configuration or the environment is wrong. 1: something failed. 70: a fault in the program.
    /// A tool may have others, which its help tells.
    pub code: u8,
    /// What happened and what to do.
    pub message: String,
}

impl Fatal {
    /// Something that whoever started the program can correct: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// A command line that cannot be understood, in one line. Help and version, which end the program too, are printed
    /// as they are.
    pub fn command_line(why: &clap::Error) -> Self {
        use clap::error::ErrorKind;
        if !why.use_stderr() || why.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            match why.print() {
                Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => {
                    return Self::runtime(format!("cannot print to the standard output: {why}"));
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
        Self::usage(format!("{} (see atomic-kv --help)", parts.join("; ").replace(":; ", ": ")))
    }

    /// A fault in the program itself: exit code 70.
    pub fn fault(message: impl Into<String>) -> Self {
        Self { code: crate::fault::EXIT_CODE, message: message.into() }
    }

    /// Something that failed: exit code 1.
    pub fn runtime(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }
}

impl From<tools::Failed> for Fatal {
    fn from(failed: tools::Failed) -> Self {
        Self { code: failed.code, message: failed.message }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fatal {}
