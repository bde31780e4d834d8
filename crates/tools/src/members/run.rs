//! Beginning a change, and following it to its end.

use super::arguments::{AbortArgs, AddArgs, Asked, MembersArgs, MoveArgs, RemoveArgs, ReplaceArgs};
use super::ask::{Unanswered, ask};
use super::report::{Ending, Report, ToStart, Told, UNDECIDED};
use super::table::table;
use crate::interrupt::Interrupt;
use crate::{Failed, print};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long a node may take to have a configuration decided.
const DECIDING: Duration = Duration::from_secs(15);
/// How long a node may take to tell what it knows.
const TELLING: Duration = Duration::from_secs(3);
/// How long a node may take to install what it has decided.
const INSTALLING: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// No node that tells anything for so long: whoever waits is told so.
const SILENCE: Duration = Duration::from_secs(60);

/// No more addresses are learned from nodes: there are fewer members, old and new.
const ADDRESSES_MAX: usize = 64;

/// What becomes of a change when it is through.
pub(super) struct Change<'a> {
    pub(super) name: &'static str,
    /// The words of the command.
    pub(super) words: Vec<String>,
    /// Who is no member then.
    pub(super) leaves: &'a [u32],
    pub(super) asked: &'a Asked,
}

/// What a tool writes to, and who ends it.
pub(super) struct Around<'a> {
    pub(super) out: &'a mut dyn FnMut(&str) -> Result<(), Failed>,
    pub(super) progress: &'a mut dyn FnMut(&str),
    pub(super) interrupt: Interrupt,
    pub(super) silence: Duration,
}

/// Prints the configuration, and how its members stand.
///
/// # Errors
/// Exit code 3 when no node tells it, 1 when they run an older release.
pub fn list(args: &MembersArgs) -> Result<(), Failed> {
    let addresses = &args.asked.addresses.addr;
    let told = ask(addresses, &mut 0, &[b"MEMBERS", b"LIST"], TELLING).map_err(failed);
    match told {
        Ok(text) if args.asked.json => print(text + "\n"),
        Ok(text) => print(table(&read(&text)?)),
        Err(why) if args.asked.json => {
            print(json(&Ending::new("members").failed(&why, false))?)?;
            Err(why)
        }
        Err(why) => Err(why),
    }
}

/// A new node takes the place of a member.
///
/// # Errors
/// Exit code 1 when it is refused, 3 when it is undecided.
pub fn replace(args: &ReplaceArgs) -> Result<(), Failed> {
    let words = ["REPLACE", &args.old.to_string(), &args.with].map(str::to_owned).to_vec();
    carry_out("replace", words, &[args.old], &args.asked)
}

/// Nodes come, and others may go.
///
/// # Errors
/// As [`replace`].
pub fn add(args: &AddArgs) -> Result<(), Failed> {
    carry_out("add", change_words(&args.add, &args.remove, args.even), &args.remove, &args.asked)
}

/// Nodes go, and others may come.
///
/// # Errors
/// As [`replace`].
pub fn remove(args: &RemoveArgs) -> Result<(), Failed> {
    carry_out("remove", change_words(&args.add, &args.remove, args.even), &args.remove, &args.asked)
}

/// A member gets another peer address.
///
/// # Errors
/// As [`replace`].
pub fn relocate(args: &MoveArgs) -> Result<(), Failed> {
    let words = ["MOVE", &args.id.to_string(), &args.address].map(str::to_owned).to_vec();
    carry_out("move", words, &[], &args.asked)
}

/// Back to the members as they were.
///
/// # Errors
/// As [`replace`].
pub fn abort(args: &AbortArgs) -> Result<(), Failed> {
    carry_out("abort-change", vec!["ABORT".to_owned()], &[], &args.asked)
}

/// The words of a change in which nodes come, go, or both.
pub(super) fn change_words(add: &[String], remove: &[u32], even: bool) -> Vec<String> {
    let mut words = Vec::new();
    if !add.is_empty() {
        words.push("ADD".to_owned());
        words.extend_from_slice(add);
    }
    if !remove.is_empty() {
        words.push("REMOVE".to_owned());
        words.extend(remove.iter().map(u32::to_string));
    }
    if even {
        words.push("EVEN".to_owned());
    }
    words
}

fn carry_out(name: &'static str, words: Vec<String>, leaves: &[u32], asked: &Asked) -> Result<(), Failed> {
    let around = Around {
        out: &mut |text| print(text),
        // Nobody is kept waiting because nobody reads it.
        progress: &mut |line| _ = writeln!(std::io::stderr(), "{line}"),
        interrupt: Interrupt::listen_with(UNDECIDED)?,
        silence: SILENCE,
    };
    run(&Change { name, words, leaves, asked }, around)
}

/// Begins the change and follows it; prints how it has ended.
///
/// # Errors
/// As [`replace`].
pub(super) fn run(change: &Change<'_>, mut around: Around<'_>) -> Result<(), Failed> {
    let mut ending = Ending::new(change.name);
    let ended = begin_and_follow(change, &mut around, &mut ending);
    if let Err(why) = &ended {
        ending = ending.failed(why, around.interrupt.is_wanted());
    }
    if change.asked.json {
        (around.out)(&json(&ending)?)?;
    } else if ended.is_ok() {
        (around.out)(&done(&ending))?;
    }
    ended
}

/// As one line.
fn json(ending: &Ending) -> Result<String, Failed> {
    let text = serde_json::to_string(ending).map_err(|why| Failed::runtime(why.to_string()))?;
    Ok(text + "\n")
}

/// In words.
fn done(ending: &Ending) -> String {
    let members = ending.members.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    match ending.epoch {
        Some(epoch) if !members.is_empty() => format!("done in epoch {epoch}: the members are {members}\n"),
        Some(epoch) => format!("done in epoch {epoch}\n"),
        None => "done\n".to_owned(),
    }
}

fn begin_and_follow(change: &Change<'_>, around: &mut Around<'_>, ending: &mut Ending) -> Result<(), Failed> {
    let addresses = &change.asked.addresses.addr;
    let words = std::iter::once("MEMBERS").chain(change.words.iter().map(String::as_str));
    let words: Vec<&[u8]> = words.map(str::as_bytes).collect();
    let mut first = 0;
    let told: Told = read(&ask(addresses, &mut first, &words, DECIDING).map_err(failed)?)?;
    ending.epoch = Some(told.epoch);
    ending.nodes.clone_from(&told.nodes);
    (around.progress)(&format!("{} in epoch {} ({})", told.result, told.epoch, told.stage));
    if told.result == "done" || told.stage == "stable" {
        // It was one step, or is through: others may change the members by now. Who has decided it may not have installed it yet.
        let decided = Instant::now();
        while let Ok(text) = ask(addresses, &mut first, &[b"MEMBERS", b"LIST"], TELLING) {
            let report: Report = read(&text)?;
            ending.note(&report);
            if report.epoch >= told.epoch || decided.elapsed() > INSTALLING {
                break;
            }
            pause();
        }
        return Ok(());
    }
    for ToStart { id, address, command } in &told.nodes {
        let line = format!("node {id} is to come at {address}; start it: {command}");
        if change.asked.json { (around.progress)(&line) } else { (around.out)(&(line + "\n"))? }
    }
    follow(change, &told, first, around, ending)
}

/// Waits until no change is under way any more; then it is through, or was given up. The node that is asked may be one that goes: then
/// it ends, and those are asked whom it has named.
fn follow(
    change: &Change<'_>,
    told: &Told,
    mut first: usize,
    around: &mut Around<'_>,
    ending: &mut Ending,
) -> Result<(), Failed> {
    let undecided = |message: String| Failed { code: UNDECIDED, message };
    let (mut heard, mut last_line) = (Instant::now(), String::new());
    let mut addresses = change.asked.addresses.addr.clone();
    learn(&mut addresses, told.clients.iter());
    loop {
        if around.interrupt.is_wanted() {
            let why = "interrupted; the change goes on: repeat the command to wait for it, or give it up with abort-change";
            return Err(undecided(why.to_owned()));
        }
        match ask(&addresses, &mut first, &[b"MEMBERS", b"LIST"], TELLING) {
            Ok(text) => {
                let report: Report = read(&text)?;
                learn(&mut addresses, report.clients());
                // A node that has not heard of the change yet, as it was away, says nothing about it.
                if report.epoch >= told.epoch {
                    heard = Instant::now();
                    ending.note(&report);
                    if report.is_stable() {
                        return end(change, told, &report);
                    }
                    let line = report.progress();
                    if line != last_line {
                        (around.progress)(&line);
                        last_line = line;
                    }
                } else {
                    first += 1;
                }
            }
            Err(Unanswered::Refused(why)) => return Err(Failed::runtime(why)),
            Err(Unanswered::Undecided(why)) if heard.elapsed() > around.silence => {
                return Err(undecided(why));
            }
            Err(Unanswered::Undecided(_)) => {}
        }
        if heard.elapsed() > around.silence {
            return Err(undecided("no node has heard of the change; repeat it".to_owned()));
        }
        pause();
    }
}

fn pause() {
    #[expect(clippy::disallowed_methods, reason = "no event loop runs here")]
    std::thread::sleep(PAUSE);
}

/// Adds those that are not there yet, up to a bound.
fn learn<'a>(addresses: &mut Vec<String>, told: impl Iterator<Item = &'a String>) {
    for address in told {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(address) {
            addresses.push(address.clone());
        }
    }
}

/// No change is under way.
fn end(change: &Change<'_>, told: &Told, report: &Report) -> Result<(), Failed> {
    let has_come = told.nodes.iter().all(|node| report.has(node.id));
    let has_gone = change.leaves.iter().all(|id| !report.has(*id));
    if has_come && has_gone {
        return Ok(());
    }
    Err(Failed::runtime(format!("the change was given up: epoch {} has the members as before", report.epoch)))
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, Failed> {
    serde_json::from_str(text)
        .map_err(|why| Failed::runtime(format!("a node's answer is not understood: {why}")))
}

fn failed(why: Unanswered) -> Failed {
    match why {
        Unanswered::Refused(message) => Failed::runtime(message),
        Unanswered::Undecided(message) => Failed { code: UNDECIDED, message },
    }
}
