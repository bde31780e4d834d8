//! Settings that come from the environment. A variable that is set but empty counts as not set, as `FOO= command` and the
//! configurations of service managers mean it; and what is wrong with a variable is said of it, not of the flag that it
//! stands for.

use crate::fatal::Fatal;
use clap::{Arg, Command};
use std::ffi::OsString;

/// What the environment says, and what of it the command line does not say better.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    settings: Vec<Setting>,
}

#[derive(Clone, Debug)]
struct Setting {
    flag: String,
    variable: String,
    /// It is set but empty.
    is_empty: bool,
}

/// Has a command overlook variables that are empty.
pub(super) fn without_empty(command: Command) -> Command {
    command.mut_subcommands(|command| {
        command.mut_args(|arg| {
            if variable(&arg).is_some_and(|(_, is_empty)| is_empty) { arg.env(None::<&str>) } else { arg }
        })
    })
}

/// The variable that an argument can come from, if that is set, and whether it is empty.
fn variable(arg: &Arg) -> Option<(String, bool)> {
    let name = arg.get_env()?;
    let value = std::env::var_os(name)?;
    Some((name.to_string_lossy().into_owned(), value.is_empty()))
}

impl Environment {
    /// What the environment says to the subcommand of this command line.
    pub(super) fn of(command: &Command, arguments: &[OsString]) -> Self {
        let on_line = |flag: &str| {
            arguments.iter().any(|argument| {
                let rest = argument.to_str().and_then(|argument| argument.strip_prefix(flag));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            })
        };
        let mut words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
        let subcommand = words.find(|word| !word.starts_with('-'));
        let args = subcommand.and_then(|name| command.find_subcommand(name)).into_iter();
        let settings = args.flat_map(Command::get_arguments).filter_map(|arg| {
            let flag = format!("--{}", arg.get_long()?);
            let (variable, is_empty) = variable(arg)?;
            (!on_line(&flag)).then_some(Setting { flag, variable, is_empty })
        });
        Self { settings: settings.collect() }
    }

    /// The same complaint, in the words of whoever has set the variables.
    pub fn name_variables(&self, fatal: Fatal) -> Fatal {
        if fatal.code != 2 {
            return fatal;
        }
        let mut message = fatal.message;
        for Setting { flag, variable, is_empty } in &self.settings {
            if !is_empty {
                message = renamed(&message, flag, variable);
            } else if message.starts_with(&format!("{flag} is missing")) {
                message = format!("{message}; {variable} is set, but empty");
            }
        }
        Fatal { message, ..fatal }
    }
}

/// A message with another name in place of a flag, and of the placeholder of its value.
fn renamed(message: &str, flag: &str, name: &str) -> String {
    let mut out = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(flag) {
        let (before, found) = rest.split_at(at);
        let after = &found[flag.len()..];
        out.push_str(before);
        if after.starts_with(|next: char| next == '-' || next.is_ascii_alphanumeric()) {
            // Another flag, which begins like this one.
            out.push_str(flag);
            rest = after;
            continue;
        }
        out.push_str(name);
        let placeholder = after.strip_prefix(" <").and_then(|after| after.split_once('>'));
        rest = placeholder.map_or(after, |(_, after)| after);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_renamed_and_not_one_that_begins_alike() {
        for (message, expected) in [
            ("--listen: \"x\" is not HOST:PORT", "VAR: \"x\" is not HOST:PORT"),
            ("invalid value 'x' for '--listen <LISTEN>': no", "invalid value 'x' for 'VAR': no"),
            ("--listen-more and --listen", "--listen-more and VAR"),
            ("--http-listen: no", "--http-listen: no"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(renamed(message, "--listen", "VAR"), expected);
        }
    }
}
