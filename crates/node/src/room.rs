//! Whether the disk has room for values, and when that is looked at again (rule D1).

use abd::Instant;
use core::time::Duration;

/// The disk is looked at this often, whether or not anybody wants to write.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a replica knows of the room on its disk.
///
/// Batches alone cannot tell it: while there is no room values are refused before they become part of one, so a replica that
/// waited for a batch to show that there is room again would wait for ever (rule D1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRoom {
    has_room: bool,
    look_at: Instant,
}

impl DiskRoom {
    /// What is known at the start of a node.
    pub fn new(has_room: bool, now: Instant) -> Self {
        Self { has_room, look_at: now + LOOK_EVERY }
    }

    /// Whether this replica takes values.
    pub fn has_room(&self) -> bool {
        self.has_room
    }

    /// When to look at the disk at the latest.
    pub fn next_look(&self) -> Instant {
        self.look_at
    }

    /// The disk was looked at; whether that is news.
    pub fn looked(&mut self, has_room: bool, now: Instant) -> bool {
        self.look_at = now + LOOK_EVERY;
        core::mem::replace(&mut self.has_room, has_room) != has_room
    }

    /// A batch has shown whether there is room for values; whether that is news.
    pub fn shown(&mut self, has_room: bool) -> bool {
        core::mem::replace(&mut self.has_room, has_room) != has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_a_full_disk_is_looked_at_by_time_alone() {
        let start = Instant(5);
        let mut room = DiskRoom::new(false, start);
        let mut now = start;
        for _ in 0..3 {
            assert_eq!(room.next_look(), now + LOOK_EVERY);
            now = room.next_look();
            assert!(!room.looked(false, now) && !room.has_room());
        }
        // What batches show does not put the next look off.
        assert!(!room.shown(false));
        assert_eq!(room.next_look(), now + LOOK_EVERY);
        now = room.next_look();
        assert!(room.looked(true, now) && room.has_room());
        assert!(room.shown(false) && !room.has_room());
        assert_eq!(room.next_look(), now + LOOK_EVERY);
    }
}
