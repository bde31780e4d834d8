//! What clients do to keys.

/// What a client does to a key. A value is written only once in a run, and a token is appended only once, so every read says which
/// writes it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OperationKind {
    /// Reads it.
    Get,
    /// Gives it a new value.
    Set,
    /// The same if it is absent.
    SetIfAbsent,
    /// The same if it holds a value that was seen there.
    SetIfEqual,
    /// The same, and reads what it held before.
    GetSet,
    /// Appends to it.
    Append,
    /// Adds to the number that it holds.
    Increment,
    /// Takes it away.
    Delete,
    /// The same if it holds a value that was seen there.
    DeleteIfEqual,
    /// Takes it away, and reads what it held before.
    GetDelete,
    /// Gives it a new value with a deadline.
    SetEx,
    /// The same if it is absent, as a lock is taken.
    Lock,
    /// Gives what it holds a deadline.
    Expire,
    /// Takes the deadline of what it holds away.
    Persist,
    /// Gives what it holds a deadline, and reads it.
    GetEx,
}

impl OperationKind {
    /// Whether it gives a value a deadline, or takes it away.
    pub fn is_about_deadlines(self) -> bool {
        self.has_deadline() || self == Self::Persist
    }

    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Get,
        Self::Set,
        Self::SetIfAbsent,
        Self::SetIfEqual,
        Self::GetSet,
        Self::Append,
        Self::Increment,
        Self::Delete,
        Self::DeleteIfEqual,
        Self::GetDelete,
        Self::SetEx,
        Self::Lock,
        Self::Expire,
        Self::Persist,
        Self::GetEx,
    ];

    /// Whether what it does depends on what the key holds: consensus decides it.
    pub fn is_update(self) -> bool {
        !matches!(self, Self::Get | Self::Set | Self::SetEx)
    }

    /// Whether there is a deadline with it.
    pub fn has_deadline(self) -> bool {
        matches!(self, Self::SetEx | Self::Lock | Self::Expire | Self::GetEx)
    }

    /// Whether it leaves the value as it is, for a while at least.
    pub fn keeps_value(self) -> bool {
        matches!(self, Self::Get | Self::Expire | Self::Persist | Self::GetEx)
    }

    /// Whether it may leave the key absent.
    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteIfEqual | Self::GetDelete)
    }

    /// Whether it has a value with it: to write, to append, or to add.
    pub fn has_value(self) -> bool {
        !self.keeps_value() && !self.deletes()
    }

    /// Whether it has a value with it that the key must hold.
    pub fn has_expected(self) -> bool {
        matches!(self, Self::SetIfEqual | Self::DeleteIfEqual)
    }

    /// Its name in a script.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::SetIfAbsent => "setnx",
            Self::SetIfEqual => "setifeq",
            Self::GetSet => "getset",
            Self::Append => "append",
            Self::Increment => "incrby",
            Self::Delete => "delete",
            Self::DeleteIfEqual => "delifeq",
            Self::GetDelete => "getdel",
            Self::SetEx => "setpx",
            Self::Lock => "lock",
            Self::Expire => "pexpire",
            Self::Persist => "persist",
            Self::GetEx => "getex",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
