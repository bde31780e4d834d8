//! Groups of units become durable, each in one batch.

use super::MultiVersionStore;
use super::changes::{Changes, Put, RecordChange};
use super::puts::Puts;
use crate::database::{Change, Database, DatabaseError, WriteBatch};
use abd::{Fit, Glimpse, StampedValue, Version, WriteGroup, is_reserved, needs_room};
use bytes::Bytes;
use std::sync::atomic::Ordering;

impl<D: Database> MultiVersionStore<D> {
    /// [`MultiVersionStore::commit_puts`] of versions that are not encoded yet.
    ///
    /// # Errors
    /// As [`Database::write`]. Then nothing may be acknowledged.
    pub fn commit(&self, versions: &[(Bytes, StampedValue)]) -> Result<(), DatabaseError> {
        let mut puts = Puts::default();
        versions.iter().for_each(|(user_key, stamped)| puts.push_version(user_key, stamped));
        self.commit_puts(&puts)
    }

    /// Makes a group of units durable, or those of it that a full disk has room for: each of them as a whole or not at all.
    ///
    /// # Errors
    /// As [`Database::write`], but that the disk is full. Then nothing may be acknowledged.
    pub fn commit_what_fits(&self, puts: &Puts) -> Result<Fit, DatabaseError> {
        let no_room = match self.commit_puts(puts) {
            Ok(()) => return Ok(Fit::All),
            Err(DatabaseError::Full(why)) => why,
            Err(why) => return Err(why),
        };
        let roomless = puts.changes(true);
        // If there are no others, there was no room for them.
        if roomless.units == 0 || roomless.units == puts.len() {
            return Ok(Fit::Nothing(no_room));
        }
        match self.commit_changes(roomless) {
            Ok(()) => Ok(Fit::Roomless(no_room)),
            Err(DatabaseError::Full(why)) => Ok(Fit::Nothing(why)),
            Err(why) => Err(why),
        }
    }

    /// Makes a group of units durable in one batch. If none of them needs room, they may have a part of that which a full disk
    /// keeps free.
    ///
    /// Of several versions of one key only the newest is written: a replica that holds a newer version holds the
    /// older one as far as anybody can tell (rule S1). Nobody looks before the write whether there is a newer one already. A
    /// late older version is harmless: the version is a part of the data key, so it is an entry of its own, behind the newer
    /// one wherever either of them is, and [`MultiVersionStore::newest`] goes to the first. It is garbage like any other
    /// (rule G1).
    ///
    /// Of several changes to the accepted record of one key only the last is written: a replica queues them in the order in which it
    /// has decided on them, and decides by what it has queued (rule P2').
    ///
    /// # Errors
    /// As [`Database::write`]. Then nothing may be acknowledged.
    pub fn commit_puts(&self, puts: &Puts) -> Result<(), DatabaseError> {
        self.commit_changes(puts.changes(false))
    }

    fn commit_changes(&self, changes: Changes) -> Result<(), DatabaseError> {
        let Changes { puts, records, mark, configuration, .. } = changes;
        let mut batch = WriteBatch { changes: Vec::with_capacity(puts.len()), makes_room: true };
        let written = add_newest(&puts, &mut batch);
        add_last(records, &mut batch);
        let certain = if self.doubts.any() { self.newer_than_all(&written)? } else { Vec::new() };
        match (mark, configuration) {
            (None, None) if batch.is_empty() => return Ok(()),
            (None, None) => self.database.write(batch)?,
            (mark, configuration) => self.write_own(mark, configuration, batch)?,
        }
        certain.into_iter().for_each(|put| self.doubts.end(&put.user_key));
        // Only now: what the cache says is durable.
        for put in written {
            let held = self.cache.publish_commit(&put.user_key, put.stamped.clone());
            self.soonest.tell(&put.stamped);
            if is_reserved(&put.user_key) {
                self.has_reserved.store(true, Ordering::Relaxed);
            }
            if held == Some(put.stamped.version) {
                self.check_held(put);
            }
        }
        Ok(())
    }

    /// Of keys that are in doubt those versions that are newer than what is there: when they are durable the doubt is over.
    fn newer_than_all<'a>(&self, written: &[&'a Put]) -> Result<Vec<&'a Put>, DatabaseError> {
        let mut newer = Vec::new();
        for put in written.iter().filter(|put| self.doubts.check(&put.user_key).is_err()) {
            match self.seek(&put.user_key, Version::MAX) {
                Ok(found) if found.version < put.stamped.version => newer.push(*put),
                // A version may have been lost, too.
                Ok(_) | Err(DatabaseError::Unreadable { .. }) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(newer)
    }

    /// Rule V1, where the cache holds the version of a put.
    fn check_held(&self, put: &Put) {
        let held = self.cache.get(&put.user_key, Version::MIN).ok().and_then(Glimpse::stamped);
        if let Some(held) = held {
            check_v1(&put.user_key, &held, &put.stamped);
        }
    }
}

/// Adds the newest version of each key to a batch; those that were added.
fn add_newest<'a>(puts: &'a [Put], batch: &mut WriteBatch) -> Vec<&'a Put> {
    let mut puts: Vec<&Put> = puts.iter().collect();
    // By key, the newest first; of equal versions the one that came first.
    puts.sort_by(|a, b| a.data_key.cmp(&b.data_key));
    let mut written = Vec::with_capacity(puts.len());
    let mut previous: Option<&Put> = None;
    for put in puts {
        let newer = previous.replace(put).filter(|newer| newer.prefix() == put.prefix());
        if let Some(newer) = newer {
            check_v1(&put.user_key, &newer.stamped, &put.stamped);
            continue;
        }
        // "Never written" is what a store without the key says anyway.
        if put.stamped.version == Version::MIN {
            continue;
        }
        batch.put(put.data_key.clone(), put.record.clone());
        batch.makes_room &= !needs_room(&put.user_key, &put.stamped.content);
        written.push(put);
    }
    written
}

/// Adds the last change to each record to a batch.
fn add_last(mut records: Vec<RecordChange>, batch: &mut WriteBatch) {
    // By key, in the order in which they came.
    records.sort_by(|a, b| a.key.cmp(&b.key));
    let mut records = records.into_iter().peekable();
    while let Some(RecordChange { key, record, needs_room }) = records.next() {
        if records.peek().is_some_and(|later| later.key == key) {
            continue;
        }
        batch.makes_room &= !needs_room;
        batch.changes.push(match record {
            Some(record) => Change::Put(key, record),
            None => Change::Delete(key),
        });
    }
}

/// Rule V1: one version names one value. Two values are a bug in the protocol or in a peer; one of them stays.
/// Only tests end here, as what a peer sends may not end a node.
fn check_v1(user_key: &[u8], held: &StampedValue, put: &StampedValue) {
    if held.version == put.version && held != put {
        log::error!("two values for key {user_key:02x?} at version {}: one is lost", put.version);
        debug_assert!(false, "two values under version {} (rule V1)", put.version);
    }
}
