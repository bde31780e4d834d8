//! `check`: a verdict for each recorded history.

use crate::picture::{self, Drawing, Unit};
use crate::{Failed, say};
use clap::{Args, ValueEnum};
use lincheck::read::{ModelKind, Recording};
use lincheck::{DEFAULT_LIMIT, Judgement, Verdict};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXIT_CODES: &str = "\
The format of a file is recognised: JSON lines (one operation a line), Jepsen or Knossos EDN, or a log of Jepsen's
test of etcd. docs/HISTORIES.md describes them. The shortest history, a stale read:
  {\"op\":\"write\",\"value\":\"new\",\"client\":1,\"invoke\":0,\"return\":10}
  {\"op\":\"read\",\"value\":null,\"client\":2,\"invoke\":20,\"return\":30}

Exit codes: 0 all linearizable, 1 a violation, 3 undecided (never a pass), 2 a file that cannot be read, or no room for the output.
Of several the first of 2, 1, 3 counts: what was not read may hide a violation, and a violation is one whatever
the undecided histories are.";

/// Flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct CheckArgs {
    /// The recorded histories.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How one key behaves. Without it: register-with-updates where an update is no mere append or compare-and-set, kv
    /// where there are appends, cas-register where there are compare-and-sets or the format is Jepsen's, register
    /// elsewhere.
    #[arg(long)]
    pub model: Option<ModelName>,
    /// Also draw the histories into this file: one page that works offline.
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
}

/// The models by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelName {
    /// Read, write and delete; absent at first.
    Register,
    /// Read, write and compare-and-set; starts as the format says: 0 in EDN, absent elsewhere.
    CasRegister,
    /// Get, put and append; a key that was never written reads as the empty string.
    Kv,
    /// Read, write, delete and every kind of update; absent at first.
    RegisterWithUpdates,
}

impl From<ModelName> for ModelKind {
    fn from(name: ModelName) -> Self {
        match name {
            ModelName::Register => Self::Register,
            ModelName::CasRegister => Self::CasRegister,
            ModelName::Kv => Self::Kv,
            ModelName::RegisterWithUpdates => Self::RegisterWithUpdates,
        }
    }
}

/// A file with its verdict.
struct Judged {
    recording: Recording,
    unit: Option<Unit>,
    kind: ModelKind,
    judgement: Judgement,
    took: Duration,
}

/// Judges every file and prints a verdict for each, in the order given.
///
/// # Errors
/// Exit code 2 when a file could not be read or the picture not be written, else 1 when a history is not linearizable,
/// else 3 when one is undecided.
pub fn run(args: &CheckArgs) -> Result<(), Failed> {
    let (mut unreadable, mut violations, mut undecided) = (0, 0, 0);
    let mut drawn = Vec::new();
    for file in &args.files {
        match judge(file, args.model) {
            Ok(judged) => {
                say(report(file, &judged))?;
                match judged.judgement.verdict {
                    Verdict::Linearizable => {}
                    Verdict::Violation(_) => violations += 1,
                    Verdict::Unknown(_) => undecided += 1,
                }
                if args.html.is_some() {
                    drawn.push((file.display().to_string(), judged));
                }
            }
            Err(why) => {
                unreadable += 1;
                say(format!("{}: unreadable: {why}\n", file.display()))?;
            }
        }
    }
    if let Some(out) = &args.html {
        draw(out, &drawn)?;
    }
    let files = args.files.len();
    if unreadable > 0 {
        Err(Failed::usage(format!("{unreadable} of {files} files cannot be read")))
    } else if violations > 0 {
        Err(Failed::runtime(format!("{violations} of {files} histories are not linearizable")))
    } else if undecided > 0 {
        Err(Failed { code: 3, message: format!("{undecided} of {files} histories are undecided") })
    } else {
        Ok(())
    }
}

fn draw(out: &Path, judged: &[(String, Judged)]) -> Result<(), Failed> {
    let mut drawings = Vec::with_capacity(judged.len());
    for (title, Judged { recording, judgement, unit, .. }) in judged {
        drawings.push(Drawing { title, history: &recording.history, judgement, unit: *unit, events: &[] });
    }
    std::fs::write(out, picture::page(&drawings))
        .map_err(|why| Failed::usage(format!("cannot write {}: {why}", out.display())))
}

fn judge(file: &Path, model: Option<ModelName>) -> Result<Judged, String> {
    let bytes = std::fs::read(file).map_err(|why| why.to_string())?;
    let recording = lincheck::read::read(&bytes).map_err(|why| why.to_string())?;
    let kind = model.map_or_else(|| recording.likely_model(), ModelKind::from);
    let began = Instant::now();
    let judgement = lincheck::judge(&recording.model(kind), &recording.history, DEFAULT_LIMIT);
    Ok(Judged { recording, unit: Unit::of_file(&bytes), kind, judgement, took: began.elapsed() })
}

/// A line that says it, and for a violation the picture of its window below.
fn report(file: &Path, judged: &Judged) -> String {
    let history = &judged.recording.history;
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let judged_as = format!(
        "{}, {}, {}, {:.1?}",
        count(history.operations.len(), "operation"),
        count(history.by_key().len(), "key"),
        judged.kind,
        judged.took
    );
    let file = file.display();
    match &judged.judgement.verdict {
        Verdict::Linearizable => format!("{file}: linearizable ({judged_as})\n"),
        Verdict::Violation(violation) => format!("{file}: {violation}  ({judged_as})\n"),
        verdict @ Verdict::Unknown(_) => format!("{file}: {verdict} ({judged_as})\n"),
    }
}
