//! `DEBUG SLEEP`, for tests of clients. It is off unless `--enable-debug-command` says otherwise.

use super::{CAT_ADMIN, help};
use crate::inquiry::Inquiry;
use crate::resp::command::{Call, Command, Plan, Planned, arg};
use crate::resp::policy::DebugCommand;
use crate::resp::response::Response;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

pub(super) const COMMANDS: &[Command] = &[Command::new(
    "server",
    "debug",
    -2,
    debug,
    "Delays replies, for tests of clients, if that is allowed.",
)
.flags(&["admin", "noscript", "loading", "stale", "no_multi"], CAT_ADMIN)
.args(&[arg("subcommand", "string"), arg("arg", "string").flags(&["optional", "multiple"])])];

/// Whether its client may is looked at first, as in Redis, whatever it asks for.
fn debug(call: Call<'_>) -> Planned {
    let is_allowed = match call.host.policy().debug_command {
        DebugCommand::No => false,
        DebugCommand::Local => call.session.listed().is_local(),
        DebugCommand::Yes => true,
    };
    if !is_allowed {
        return Err(Response::error(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local \
             connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        ));
    }
    match (call.args[1].to_ascii_lowercase().as_slice(), &call.args[2..]) {
        (b"sleep", [seconds]) => sleep(seconds),
        (b"help", []) => Ok(Plan::Reply(help(
            "DEBUG",
            &["SLEEP <seconds>", "    Delay what this connection asks for by <seconds>. Decimals allowed."],
        ))),
        _ => {
            let name = String::from_utf8_lossy(&call.args[1][..call.args[1].len().min(128)]);
            Err(Response::error(format!(
                "ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
            )))
        }
    }
}

/// This connection waits, and no other. As in Redis, what is no number is zero.
fn sleep(seconds: &[u8]) -> Planned {
    let seconds = core::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(SLEEP_MAX);
    Plan::inquire(Inquiry::Pause(time), 0, |_, _| Ok(Plan::Reply(Response::OK)))
}
