//! Notes: what a node remembers for others for a while, in memory and without any promise that it stays.
//!
//! Positions of scans and sources of scripts are such: whoever makes one has a majority remember it, so that it is found through any
//! node while most of them live. What is not found is made anew by its client. When there is no room for a note those of its
//! kind go that were not used for longest.

use alloc::collections::BTreeMap;
use bytes::Bytes;

/// Bytes of the longest note.
pub const NOTE_BYTES_MAX: usize = 1 << 20;
/// What a note takes beside its bytes, about.
const OVERHEAD: usize = 256;

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// A cursor of SCAN: behind which key it goes on.
    Cursor = 1,
    /// A script, named by its SHA-1.
    Script = 2,
}

impl NoteKind {
    const ALL: [Self; 2] = [Self::Cursor, Self::Script];

    pub(super) fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Bytes that all notes of this kind may take on a node.
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Cursor => 8 << 20,
            Self::Script => 64 << 20,
        }
    }
}

/// The name of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoteId {
    /// What it is about.
    pub kind: NoteKind,
    /// Which one. Shorter names end in zeros.
    pub name: [u8; 20],
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its name.
    pub id: NoteId,
    /// What it says: at most [`NOTE_BYTES_MAX`].
    pub bytes: Bytes,
}

/// The notes of a node.
#[derive(Debug, Default)]
pub struct Notes {
    notes: BTreeMap<NoteId, (Bytes, u64)>,
    /// By kind, when each was used, the oldest first.
    uses: BTreeMap<(NoteKind, u64), NoteId>,
    bytes: BTreeMap<NoteKind, usize>,
    clock: u64,
}

impl Notes {
    /// Remembers a note, as the one of its kind that was used last.
    ///
    /// # Panics
    /// When it is too long: what peers send is checked when it arrives.
    pub fn remember(&mut self, note: Note) {
        assert!(note.bytes.len() <= NOTE_BYTES_MAX, "a note of {} bytes", note.bytes.len());
        let Note { id, bytes } = note;
        self.drop(id);
        let cost = bytes.len() + OVERHEAD;
        while self.bytes(id.kind) + cost > id.kind.bytes_max() {
            let oldest = self.uses.range((id.kind, 0)..=(id.kind, u64::MAX)).next();
            let Some((_, oldest)) = oldest else { break };
            self.drop(*oldest);
        }
        self.clock += 1;
        self.uses.insert((id.kind, self.clock), id);
        self.notes.insert(id, (bytes, self.clock));
        *self.bytes.entry(id.kind).or_default() += cost;
    }

    /// What a note says; it counts as used now.
    pub fn recall(&mut self, id: NoteId) -> Option<Bytes> {
        let (bytes, used) = self.notes.get_mut(&id)?;
        self.clock += 1;
        self.uses.remove(&(id.kind, core::mem::replace(used, self.clock)));
        self.uses.insert((id.kind, self.clock), id);
        Some(bytes.clone())
    }

    /// Forgets all notes of a kind.
    pub fn forget(&mut self, kind: NoteKind) {
        self.notes.retain(|id, _| id.kind != kind);
        self.uses.retain(|(of, _), _| *of != kind);
        self.bytes.remove(&kind);
    }

    /// How many notes of a kind there are.
    pub fn count(&self, kind: NoteKind) -> usize {
        self.uses.range((kind, 0)..=(kind, u64::MAX)).count()
    }

    /// Bytes that the notes of a kind take, about.
    pub fn bytes(&self, kind: NoteKind) -> usize {
        self.bytes.get(&kind).copied().unwrap_or_default()
    }

    fn drop(&mut self, id: NoteId) {
        let Some((bytes, used)) = self.notes.remove(&id) else { return };
        self.uses.remove(&(id.kind, used));
        *self.bytes.entry(id.kind).or_default() -= bytes.len() + OVERHEAD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn note(kind: NoteKind, number: u8, length: usize) -> Note {
        Note { id: NoteId { kind, name: [number; 20] }, bytes: vec![number; length].into() }
    }

    #[test]
    fn those_that_were_not_used_for_longest_make_room() {
        let mut notes = Notes::default();
        for number in 0..7 {
            notes.remember(note(NoteKind::Cursor, number, NOTE_BYTES_MAX));
        }
        notes.remember(note(NoteKind::Script, 1, 10));
        assert!(notes.recall(note(NoteKind::Cursor, 0, 0).id).is_some());
        notes.remember(note(NoteKind::Cursor, 7, NOTE_BYTES_MAX));
        let left = |notes: &mut Notes| -> Vec<u8> {
            let is_there = |number: &u8| notes.recall(note(NoteKind::Cursor, *number, 0).id).is_some();
            (0..8).filter(is_there).collect()
        };
        assert_eq!(left(&mut notes), [0, 2, 3, 4, 5, 6, 7]);
        assert!(notes.bytes(NoteKind::Cursor) <= NoteKind::Cursor.bytes_max());
        // The same again takes no more room.
        let before = notes.bytes(NoteKind::Cursor);
        notes.remember(note(NoteKind::Cursor, 7, NOTE_BYTES_MAX));
        assert_eq!((notes.bytes(NoteKind::Cursor), notes.count(NoteKind::Cursor)), (before, 7));
        notes.forget(NoteKind::Cursor);
        assert_eq!((left(&mut notes), notes.bytes(NoteKind::Cursor)), (Vec::new(), 0));
        assert_eq!(notes.recall(note(NoteKind::Script, 1, 0).id), Some(vec![1; 10].into()));
    }
}
