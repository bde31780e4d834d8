//! The client connections of all event loops, for `CLIENT LIST` and `CLIENT KILL`.

use super::client::Notice;
use ::node::resp::{Listed, Names};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who is connected, by number.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<HashMap<u64, Connection>>);

#[derive(Debug)]
struct Connection {
    listed: Arc<Listed>,
    names: Names,
    /// Told when the connection is to be closed.
    end: Arc<Notice>,
}

/// A connection that is known until this is dropped.
pub(crate) struct Known<'a> {
    connections: &'a Connections,
    id: u64,
}

impl Connections {
    /// Makes a connection known; whoever serves it closes it when `end` is told.
    pub(crate) fn add(&self, listed: Arc<Listed>, end: Arc<Notice>) -> Known<'_> {
        let id = listed.id();
        self.lock().insert(id, Connection { listed, names: Names::default(), end });
        Known { connections: self, id }
    }

    pub(crate) fn all(&self) -> Vec<(Arc<Listed>, Names)> {
        self.lock().values().map(|connection| (connection.listed.clone(), connection.names.clone())).collect()
    }

    pub(crate) fn rename(&self, id: u64, names: &Names) {
        if let Some(connection) = self.lock().get_mut(&id) {
            connection.names = names.clone();
        }
    }

    /// Has a connection closed, if it is still there.
    pub(crate) fn end(&self, id: u64) {
        if let Some(connection) = self.lock().get(&id) {
            connection.end.tell(None);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.id);
    }
}
