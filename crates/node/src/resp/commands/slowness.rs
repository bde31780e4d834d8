//! What took long: `SLOWLOG` and `LATENCY`.

use super::{CAT_ADMIN, SERVER, help, needs_subcommand};
use crate::functions::parse_integer;
use crate::resp::command::{Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;
use crate::resp::session::Host;
use crate::resp::slow::{Event, SlowRequest, SlowRequests};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

const ADMIN: &[&str] = &["admin", "loading", "stale"];
const HELP: &[&str] = &["@slow"];

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary).since("2.8.13").flags(ADMIN, CAT_ADMIN)
}

const LATENCY: &[Command] = &[
    row("doctor", 2, doctor, "Returns a report about requests that took long."),
    row("help", 2, latency_help, "Returns helpful text about the subcommands.").flags(SERVER, HELP),
    row("histogram", -2, histogram, "Returns how many calls of each command took how long.")
        .since("7.0.0")
        .args(&[arg("command", "string").flags(&["optional", "multiple"])]),
    row("history", 3, history, "Returns the longest requests of each second.")
        .args(&[arg("event", "string")]),
    row("latest", 2, latest, "Returns the latest and the longest requests of each kind."),
    row("reset", -2, latency_reset, "Forgets what took long.")
        .args(&[arg("event", "string").flags(&["optional", "multiple"])]),
];

const SLOWLOG: &[Command] = &[
    row("get", -2, get, "Returns the newest requests that took long.")
        .since("2.2.12")
        .linear()
        .args(&[arg("count", "integer").flags(&["optional"])]),
    row("help", 2, slowlog_help, "Returns helpful text about the subcommands.")
        .since("6.2.0")
        .flags(SERVER, HELP),
    row("len", 2, len, "Returns how many requests the slow log has.").since("2.2.12"),
    row("reset", 2, slowlog_reset, "Clears the slow log.").since("2.2.12"),
];

pub(super) const COMMANDS: &[Command] = &[
    row("latency", -2, needs_subcommand, "A container for latency diagnostics commands.")
        .flags(&[], &["@slow"])
        .subcommands(LATENCY),
    row("slowlog", -2, needs_subcommand, "A container for slow log commands.")
        .since("2.2.12")
        .flags(&[], &["@slow"])
        .subcommands(SLOWLOG),
];

/// What is made of the slow requests of the node.
fn told<T>(host: &dyn Host, mut of: impl FnMut(&mut SlowRequests) -> T) -> T {
    let mut told = None;
    host.slow(&mut |slow| told = Some(of(slow)));
    told.expect("a host lets see what it has")
}

fn number(number: impl TryInto<i64>) -> Response {
    Response::Integer(number.try_into().unwrap_or(i64::MAX))
}

fn get(call: Call<'_>) -> Planned {
    let count = match &call.args[2..] {
        [] => 10,
        [count] => match parse_integer(count) {
            Some(-1) => usize::MAX,
            Some(count) if count >= 0 => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(Response::error("ERR count should be greater than or equal to -1")),
        },
        _ => {
            let name = String::from_utf8_lossy(&call.args[1]);
            return Err(Response::err(format_args!(
                "unknown subcommand or wrong number of arguments for '{name}'. Try SLOWLOG HELP."
            )));
        }
    };
    let entries = told(call.host, |slow| slow.log().iter().take(count).map(entry).collect());
    Ok(Plan::Reply(Response::Array(entries)))
}

fn entry(request: &SlowRequest) -> Response {
    let SlowRequest { id, time, took, words, client, client_name } = request;
    Response::Array(vec![
        number(*id),
        number(*time),
        number(took.as_micros()),
        Response::Array(words.iter().cloned().map(Response::Bulk).collect()),
        Response::text(client),
        Response::text(client_name),
    ])
}

fn len(call: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::count(told(call.host, |slow| slow.log().len()))))
}

fn slowlog_reset(call: Call<'_>) -> Planned {
    told(call.host, SlowRequests::clear_log);
    Ok(Plan::Reply(Response::OK))
}

fn latest(call: Call<'_>) -> Planned {
    let row = |event: &Event| {
        let last = event.samples.back()?;
        let numbers = [last.time, last.milliseconds, event.most].map(number);
        Some(Response::Array(core::iter::once(Response::text(event.name)).chain(numbers).collect()))
    };
    Ok(Plan::Reply(Response::Array(told(call.host, |slow| slow.events().filter_map(row).collect()))))
}

fn history(call: Call<'_>) -> Planned {
    let name = &call.args[2];
    let samples: Vec<_> = told(call.host, |slow| {
        let events = slow.events().filter(|event| name.eq_ignore_ascii_case(event.name.as_bytes()));
        let samples = events.flat_map(|event| &event.samples);
        samples
            .map(|sample| Response::Array(vec![number(sample.time), number(sample.milliseconds)]))
            .collect()
    });
    Ok(Plan::Reply(Response::Array(samples)))
}

/// Of all commands, or of those that are named.
fn histogram(call: Call<'_>) -> Planned {
    let wanted = |name: &str| {
        call.args.len() == 2
            || call.args[2..].iter().any(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes()))
    };
    let times = |(microseconds, count): &(u64, u64)| (number(*microseconds), number(*count));
    let counts = call.host.command_counts().into_iter();
    let counts = counts.filter(|counts| !counts.times.is_empty() && wanted(counts.name)).map(|counts| {
        let calls = number(counts.times.last().map_or(0, |(_, count)| *count));
        let times = Response::Map(counts.times.iter().map(times).collect());
        (Response::text(counts.name), Response::map([("calls", calls), ("histogram_usec", times)]))
    });
    Ok(Plan::Reply(Response::Map(counts.collect())))
}

fn latency_reset(call: Call<'_>) -> Planned {
    let names = &call.args[2..];
    Ok(Plan::Reply(Response::count(told(call.host, |slow| slow.reset_events(names)))))
}

fn doctor(call: Call<'_>) -> Planned {
    let (is_on, events): (bool, Vec<String>) = told(call.host, |slow| {
        let line = |event: &Event| {
            let (name, count, most) = (event.name, event.samples.len(), event.most);
            format!("{name}: in {count} seconds of those that are remembered, {most} ms at the most.\n")
        };
        (slow.has_events(), slow.events().map(line).collect())
    });
    let report = match (is_on, events.is_empty()) {
        // Redis' words.
        (false, _) => "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \
            \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. If we weren't in a deep space mission \
            I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n"
            .into(),
        (true, true) => "Dave, no request took as long as latency-monitor-threshold says.\n".into(),
        (true, false) => format!(
            "Dave, requests took longer than latency-monitor-threshold says:\n{}SLOWLOG GET tells which. INFO (peers, repair) \
             tells how the other nodes are.\n",
            events.concat()
        ),
    };
    Ok(Plan::Reply(Response::Verbatim(report.into())))
}

fn slowlog_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "SLOWLOG",
        &[
            "GET [<count>]",
            "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
            "    Entries are made of:",
            "    id, timestamp, time in microseconds, arguments array, client IP and port,",
            "    client name",
            "LEN",
            "    Return the length of the slowlog.",
            "RESET",
            "    Reset the slowlog.",
        ],
    )))
}

fn latency_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "LATENCY",
        &[
            "DOCTOR",
            "    Return a human readable latency analysis report.",
            "HISTORY <event>",
            "    Return time-latency samples for the <event> class.",
            "LATEST",
            "    Return the latest latency samples for all events.",
            "RESET [<event> ...]",
            "    Reset latency data of one or more <event> classes.",
            "    (default: reset all data for all event classes)",
            "HISTOGRAM [COMMAND ...]",
            "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
            "    If no commands are specified then all histograms are replied.",
        ],
    )))
}
