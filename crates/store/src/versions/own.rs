//! What a replica keeps of itself: its mark (rule P5), and the configuration that it has installed (rule C1).

use super::MultiVersionStore;
use super::doubts::Doubts;
use crate::database::{Database, DatabaseError, WriteBatch};
use crate::encoding::key;
use abd::Ballot;
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// As it is durable, as far as batches that are under way go.
#[derive(Debug)]
pub(super) struct Own {
    state: Mutex<State>,
    /// Held while a batch changes it.
    changing: Mutex<()>,
}

/// What there is of it.
#[derive(Debug)]
pub(super) struct State {
    mark: Ballot,
    configuration: Option<Bytes>,
}

impl Own {
    /// What a database has of it. If the mark is lost, or was once, all keys are in doubt: a later mark says nothing about what was
    /// promised before.
    pub(super) fn read(database: &impl Database, doubts: &Doubts) -> Result<Self, DatabaseError> {
        Ok(Self { state: Mutex::new(State::read(database, doubts)?), changing: Mutex::default() })
    }

    /// What can be read by now of what was lost at the start: unless there is newer by now, that counts.
    pub(super) fn take_over(&self, read: State) {
        let mut state = self.state();
        state.mark = state.mark.max(read.mark);
        if state.configuration.is_none() {
            state.configuration = read.configuration;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn read(database: &impl Database, doubts: &Doubts) -> Result<Self, DatabaseError> {
        let read = |what: &str, key: &[u8]| match database.get(key) {
            Err(DatabaseError::Unreadable { why, .. }) => {
                log::error!("the {what} of this replica cannot be read: {why}");
                Ok(Err(()))
            }
            found => found.map(Ok),
        };
        let mark = read("mark", key::MARK)?;
        if mark.is_err() || read("mark", key::MARK_LOST)? != Ok(None) {
            log::error!("this replica abstains until keys are written: nobody knows what it has promised");
            doubts.add_all();
        }
        let mark = match mark {
            Ok(Some(bytes)) => {
                let Ok(bytes) = <&[u8; Ballot::LEN]>::try_from(&bytes[..]) else {
                    return Err(DatabaseError::Damaged(format!("the mark has {} bytes", bytes.len())));
                };
                Ballot::from_bytes(bytes)
            }
            Ok(None) | Err(()) => Ballot::MIN,
        };
        let configuration = read("configuration", key::CONFIGURATION)?.unwrap_or(None);
        Ok(Self { mark, configuration })
    }
}

impl<D: Database> MultiVersionStore<D> {
    /// The largest ballot that this replica may promise, as large as is durable (rule P5).
    pub fn mark(&self) -> Ballot {
        self.own.state().mark
    }

    /// The configuration that this replica has installed, as it was given ([`abd::Unit::Configuration`]): the last one that is
    /// durable. `None`: none was ever, or it is lost: the directory knows it in any case.
    pub fn configuration(&self) -> Option<Bytes> {
        self.own.state().configuration.clone()
    }

    /// Writes a batch and with it a mark, unless a larger one is there, and a configuration.
    pub(super) fn write_own(
        &self,
        mark: Option<Ballot>,
        configuration: Option<Bytes>,
        mut batch: WriteBatch,
    ) -> Result<(), DatabaseError> {
        // One after the other, so that the largest mark and the last configuration stay. Whoever asks for them does not wait for
        // the disk.
        let _changing = self.own.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = mark.filter(|mark| *mark > self.mark());
        if let Some(mark) = mark {
            batch.put(Bytes::from_static(key::MARK), mark.to_bytes().to_vec());
            if self.doubts.are_about_all() {
                // The new mark must not hide that.
                batch.put(Bytes::from_static(key::MARK_LOST), Bytes::new());
            }
        }
        if let Some(configuration) = &configuration {
            batch.put(Bytes::from_static(key::CONFIGURATION), configuration.clone());
        }
        if !batch.is_empty() {
            self.database.write(batch)?;
        }
        let mut state = self.own.state();
        state.mark = mark.unwrap_or(state.mark);
        if configuration.is_some() {
            state.configuration = configuration;
        }
        Ok(())
    }
}
