//! `verify`: drives a live cluster, records what its clients see, and judges it.
//!
//! Many clients read and change a few keys through every node: they write values that nobody else writes, append tokens, count,
//! or take locks, with which some of them disappear. Whatever goes wrong meanwhile (kill a node, pause it, unplug it) the record must be explainable by operations
//! that happened one at a time. The keys are new ones and are deleted at the end.

mod ask;
mod expiries;
mod fences;
mod figures;
mod holders;
mod load;
mod script;
mod unread;

pub use fences::{Held, OutOfOrder, out_of_order};
pub use holders::{Holder, TwoHolders, two_holders};
pub use load::{Load, Recording, drive};
pub use script::Workload;

use crate::interrupt::Interrupt;
use crate::picture::{self, Drawing, Unit};
use crate::resp::Client;
use crate::{Addresses, Failed, check_counts, clean, say};
use clap::Args;
use figures::Figures;
use lincheck::{DEFAULT_LIMIT, History, Verdict};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const EXIT_CODES: &str = "\
Ctrl-C ends the driving early; what was seen until then is judged. A second one ends all at once.

Exit codes: 0 linearizable, 1 a violation (also: two clients had one lock at the same time, or one that nobody gives back never expires), 2 wrong command line, no node in reach, or a file that cannot be written,
3 undecided (never a pass).";

/// A client goes on to the next node when one has been silent for this long: longer than an operation may take by
/// default, so that a node gets the chance to say what it knows.
const PATIENCE: Duration = Duration::from_secs(4);

/// Flags of `verify`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct VerifyArgs {
    /// Which nodes to drive.
    #[command(flatten)]
    pub addresses: Addresses,
    /// What the clients do.
    #[arg(long, value_enum, default_value_t = Workload::Register)]
    pub workload: Workload,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// How many clients, spread over the nodes.
    #[arg(long, default_value_t = 16)]
    pub clients: usize,
    /// How many keys they share: fewer keys, more conflicts.
    #[arg(long, default_value_t = 8)]
    pub keys: usize,
    /// Also save what was seen, as JSON lines for `atomic-kv check`.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Also draw what was seen, as one page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// What has been seen is lost if it turns out at the end that the file cannot be written. Nothing that is in it goes yet.
fn check_writable(path: &Path) -> Result<(), Failed> {
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|why| Failed::usage(format!("cannot write to {}: {why}", path.display())))
}

/// Says what was wrong with locks; whether anything was.
fn say_locks(recording: &Recording) -> Result<bool, Failed> {
    let shared = say_holders(&recording.history)?;
    let disordered = out_of_order(&recording.held);
    match &disordered {
        None => say(format!("fencing tokens out of order: none of {}\n", recording.held.len()))?,
        Some(OutOfOrder { key, first, second }) => say(format!(
            "fencing tokens out of order: of {} client {} got {} before client {} got {}\n",
            key.escape_ascii(),
            first.client,
            first.fence.escape_ascii(),
            second.client,
            second.fence.escape_ascii()
        ))?,
    }
    let left = recording.left();
    match left.first() {
        None => say("locks that never expire: none\n")?,
        Some(key) => {
            say(format!("locks that never expire: {}, such as {}\n", left.len(), key.escape_ascii()))?;
        }
    }
    Ok(shared || disordered.is_some() || !left.is_empty())
}

/// Says whether a lock had two holders at a time, and which.
fn say_holders(history: &History) -> Result<bool, Failed> {
    let Some(TwoHolders { key, holders: [first, second] }) = two_holders(history) else {
        say("two holders of a lock at the same time: never\n")?;
        return Ok(false);
    };
    let seconds = |nanoseconds: u64| Duration::from_nanos(nanoseconds).as_secs_f64();
    say(format!(
        "two holders of a lock at the same time: of {} client {} from {:.6} s to {:.6} s, client {} from {:.6} s\n",
        key.escape_ascii(),
        first.client,
        seconds(first.from),
        seconds(first.until),
        second.client,
        seconds(second.from),
    ))?;
    Ok(true)
}

/// Drives, judges, reports.
///
/// # Errors
/// Exit code 1 for a violation, 2 for a wrong command line, 3 when the history shows nothing or cannot be decided.
pub fn run(args: &VerifyArgs) -> Result<(), Failed> {
    check_counts(&[
        ("--seconds", args.seconds, 86_400),
        ("--clients", args.clients as u64, 1024),
        ("--keys", args.keys as u64, 1 << 20),
    ])?;
    let addresses = &args.addresses.addr;
    Client::check_reachable(addresses)?;
    for path in args.save.iter().chain(&args.html) {
        check_writable(path)?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let load = Load {
        workload: args.workload,
        addresses: addresses.clone(),
        clients: args.clients,
        keys: (0..args.keys).map(|key| format!("verify:{now:x}:{key}")).collect(),
        patience: PATIENCE,
    };
    let interrupt = Interrupt::listen()?;
    say(format!(
        "{}: {} clients, {} keys, {} s on {}\n",
        args.workload.name(),
        args.clients,
        args.keys,
        args.seconds,
        addresses.join(", ")
    ))?;
    let (began, limit) = (Instant::now(), Duration::from_secs(args.seconds));
    let recording = drive(&load, || began.elapsed() < limit && !interrupt.is_wanted());
    let mut keys = load.keys.iter().map(|key| key.clone().into_bytes());
    let cleaned = clean::delete(addresses, &mut keys, &mut |_| ());
    say(Figures(&recording).to_string())?;
    if let Err(why) = cleaned {
        say(format!("{why}: their names begin with {}\n", load.keys[0].trim_end_matches('0')))?;
    }
    if let Some(path) = &args.save {
        std::fs::write(path, format!("# unit: ns\n{}", lincheck::read::write_json_lines(&recording.history)))
            .map_err(|why| Failed::usage(format!("cannot save the history to {}: {why}", path.display())))?;
    }
    let began = Instant::now();
    let judgement = args.workload.judge(&recording.history, DEFAULT_LIMIT);
    say(format!("verdict: {} (judged in {:.1?})\n", judgement.verdict, began.elapsed()))?;
    let bad_locks = match args.workload {
        Workload::Lock => say_locks(&recording)?,
        Workload::Register | Workload::Append | Workload::Counter => false,
    };
    if let Some(path) = &args.html {
        let title = format!("verify {}, {}", args.workload.name(), addresses.join(", "));
        let unit = Some(Unit::Nanoseconds);
        let drawing = Drawing {
            title: &title,
            history: &recording.history,
            judgement: &judgement,
            unit,
            events: &recording.events,
        };
        std::fs::write(path, picture::page(&[drawing]))
            .map_err(|why| Failed::usage(format!("cannot write the picture to {}: {why}", path.display())))?;
    }
    match judgement.verdict {
        _ if recording.completed() == 0 => {
            Err(Failed { code: 3, message: "no operation was completed, so this shows nothing".to_owned() })
        }
        _ if bad_locks => Err(Failed::runtime("a lock was none; what was wrong is above")),
        Verdict::Linearizable => Ok(()),
        Verdict::Violation(_) => {
            Err(Failed::runtime("the cluster is not linearizable; the operations are above"))
        }
        Verdict::Unknown(_) => Err(Failed {
            code: 3,
            message: "undecided; fewer clients or more keys are easier to judge".to_owned(),
        }),
    }
}
