//! What a node's settings say about commands.

/// What commands may do at a node. All nodes of a cluster should have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of requests that would have to be atomic over several keys.
    pub multi_keys: MultiKeys,
    /// Who may use `DEBUG`.
    pub debug_command: DebugCommand,
}

/// What becomes of requests on several keys that are atomic in Redis, such as `RENAME`: nothing here is atomic across keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MultiKeys {
    /// They are refused, with an error that names the setting.
    #[default]
    Refuse,
    /// They are carried out key by key.
    PerKey,
}

/// Who may use `DEBUG`, as Redis' `enable-debug-command`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DebugCommand {
    /// Nobody.
    #[default]
    No,
    /// Clients that connect over the loopback interface.
    Local,
    /// Everybody.
    Yes,
}

impl MultiKeys {
    /// The name of the choice.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::PerKey => "per-key",
        }
    }

    /// The choice of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Refuse, Self::PerKey].into_iter().find(|choice| choice.name() == name)
    }
}

impl DebugCommand {
    /// The name of the choice.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Local => "local",
            Self::Yes => "yes",
        }
    }

    /// The choice of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::No, Self::Local, Self::Yes].into_iter().find(|choice| choice.name() == name)
    }
}
