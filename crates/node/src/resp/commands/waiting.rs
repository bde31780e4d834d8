//! `WAIT`: who has the last write of the connection.

use super::{CAT_SLOW, integer};
use crate::functions::parse_integer;
use crate::inquiry::Finding;
use crate::resp::command::{Arg, Call, Command, Plan, Planned, Stage, Step, arg};
use crate::resp::response::Response;
use alloc::boxed::Box;
use core::time::Duration;

const WAIT_ARGS: &[Arg] = &[arg("numreplicas", "integer"), arg("timeout", "integer")];

pub(super) const COMMANDS: &[Command] = &[Command::new(
    "generic",
    "wait",
    3,
    wait,
    "Waits until so many other nodes have the last write of the connection on their disks, and counts them.",
)
.since("3.0.0")
.flags(&["noscript", "no_multi"], CAT_SLOW)
.args(WAIT_ARGS)];

fn wait(call: Call<'_>) -> Planned {
    let wanted = usize::try_from(integer(&call.args[1])?).unwrap_or_default();
    let timeout = parse_integer(&call.args[2])
        .ok_or_else(|| Response::error("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| Response::error("ERR timeout is negative"))?;
    let counted = |finding| match finding {
        Finding::Holders(count) => Ok(Plan::Reply(Response::count(count))),
        other => unreachable!("holders were asked for: {other:?}"),
    };
    let next = Box::new(move |finding, _: &dyn crate::resp::Host| counted(finding));
    let step = Step::InquireHolders(wanted, Duration::from_millis(timeout), next);
    Ok(Plan::First(Stage { step, held: 0 }))
}
