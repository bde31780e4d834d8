//! What nodes answer, as far as it is looked at.

use crate::Failed;
use serde::{Deserialize, Serialize};

/// The exit code of what was interrupted, or is undecided.
pub(super) const UNDECIDED: u8 = 3;

/// The answer to `MEMBERS LIST`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Report {
    pub(super) epoch: u32,
    pub(super) stage: String,
    pub(super) members: Vec<Member>,
    #[serde(default)]
    pub(super) next: Option<Vec<Member>>,
    #[serde(default)]
    pub(super) waits_for: String,
    #[serde(default)]
    pub(super) to_start: Vec<ToStart>,
}

/// A member, or one to come.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Member {
    pub(super) id: u32,
    pub(super) address: String,
    #[serde(default)]
    pub(super) directory: Option<String>,
    #[serde(default)]
    pub(super) client: Option<String>,
    pub(super) up: bool,
    pub(super) votes: bool,
    #[serde(default)]
    pub(super) synced: bool,
    #[serde(default)]
    pub(super) behind_keys: Option<u64>,
    #[serde(default)]
    pub(super) behind_seconds: Option<u64>,
    #[serde(default)]
    pub(super) lost_ranges: Option<u64>,
}

/// A node that is to be started.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct ToStart {
    pub(super) id: u32,
    pub(super) address: String,
    pub(super) command: String,
}

/// The answer to a command that begins a change.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    pub(super) result: String,
    pub(super) epoch: u32,
    pub(super) stage: String,
    #[serde(default)]
    pub(super) nodes: Vec<ToStart>,
    #[serde(default)]
    pub(super) clients: Vec<String>,
}

/// What a tool prints in the end with `--json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ending {
    /// The command.
    pub(super) command: &'static str,
    /// `done`, `refused`, `interrupted` or `undecided`.
    pub(super) result: &'static str,
    /// Why it was not done.
    pub(super) reason: Option<String>,
    /// The last epoch that was heard of.
    pub(super) epoch: Option<u32>,
    /// The ids of the members then.
    pub(super) members: Vec<u32>,
    /// The nodes that come with it.
    pub(super) nodes: Vec<ToStart>,
}

impl Ending {
    /// That it is done.
    pub(super) fn new(command: &'static str) -> Self {
        let (members, nodes) = (Vec::new(), Vec::new());
        Self { command, result: "done", reason: None, epoch: None, members, nodes }
    }

    /// That it is not.
    pub(super) fn failed(self, why: &Failed, is_interrupted: bool) -> Self {
        let result = match why.code {
            UNDECIDED if is_interrupted => "interrupted",
            UNDECIDED => "undecided",
            _ => "refused",
        };
        Self { result, reason: Some(why.message.clone()), ..self }
    }

    /// A node tells of this epoch, or of a later one.
    pub(super) fn note(&mut self, report: &Report) {
        if self.epoch.is_none_or(|epoch| report.epoch >= epoch) {
            self.epoch = Some(report.epoch);
            self.members = report.members.iter().map(|member| member.id).collect();
        }
    }
}

impl Report {
    /// Whether nothing is under way.
    pub(super) fn is_stable(&self) -> bool {
        self.stage == "stable"
    }

    pub(super) fn has(&self, id: u32) -> bool {
        self.members.iter().any(|member| member.id == id)
    }

    /// Where clients reach those who are members and those to come, as far as that is known.
    pub(super) fn clients(&self) -> impl Iterator<Item = &String> {
        let all = self.members.iter().chain(self.next.iter().flatten());
        all.filter_map(|member| member.client.as_ref())
    }

    /// How far the change is, in a line.
    pub(super) fn progress(&self) -> String {
        let mut line = format!("epoch {}, {}", self.epoch, self.stage);
        if !self.waits_for.is_empty() {
            line = format!("{line}: {}", self.waits_for);
        }
        let behind = self.next.iter().flatten().filter(|member| !member.synced).filter_map(|member| {
            let keys = member.behind_keys.filter(|keys| *keys > 0)?;
            Some(format!("node {} lacks about {keys} keys", member.id))
        });
        std::iter::once(line).chain(behind).collect::<Vec<_>>().join(", ")
    }
}
