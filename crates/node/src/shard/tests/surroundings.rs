//! What the event loops of these tests reach.

use super::*;

/// What an event loop reaches: a disk that syncs at once, but tells so later.
pub(super) struct Surroundings {
    pub(super) issuer: TimestampIssuer,
    pub(super) store: RefCell<Store>,
    pub(super) acceptor: RefCell<Acceptor>,
    pub(super) done: RefCell<Vec<(ReplyTo, Completed)>>,
    pub(super) repair: RefCell<Repair>,
    pub(super) notes: RefCell<Notes>,
    pub(super) own: usize,
    pub(super) now: Rc<RefCell<Instant>>,
    pub(super) writable: RefCell<bool>,
    /// How many more commits are refused.
    pub(super) refuses: Cell<usize>,
    /// Nothing is in memory until it was looked up; and the requests that wait for that.
    pub(super) is_cold: Cell<bool>,
    pub(super) asked: RefCell<Vec<(ReplyTo, Request)>>,
    pub(super) driver: RefCell<Driver>,
    /// The newest epoch that the directory expects; and whether it takes a while to write that down.
    pub(super) expected: Cell<u32>,
    pub(super) directory_is_slow: Cell<bool>,
    pub(super) newest_epoch: Cell<u32>,
    pub(super) served_epoch: Cell<u32>,
    pub(super) expired: Cell<usize>,
    pub(super) swept: Cell<Progress>,
}

impl Surroundings {
    pub(super) fn accepted(&self, range: &Range) -> Records {
        let mut records = Records::new();
        records_of(&mut self.acceptor.borrow_mut(), range, <[u8]>::cmp, &mut records);
        records
    }
}

impl Environment for Rc<Surroundings> {
    type Store = Store;

    fn moments(&self) -> Moments {
        Moments::of_wall(self.now.borrow().0)
    }

    fn hand_over(&self, evaluation: Evaluation) -> Option<Evaluation> {
        Some(evaluation)
    }

    fn now(&self, instant: Instant) -> Now {
        Now { instant, interval: None, moment: self.moments().earliest }
    }

    fn horizon(&self) -> u64 {
        u64::MAX
    }

    fn issuer(&self) -> impl Deref<Target = TimestampIssuer> {
        &self.issuer
    }

    fn store(&self) -> impl Deref<Target = Store> {
        self.store.borrow()
    }

    fn standing(&self) -> Standing {
        Standing { admitted: true, writable: *self.writable.borrow() }
    }

    fn sequence(&self) -> u64 {
        1
    }

    fn acceptor<T>(&self, _: &[u8], run: impl FnOnce(&mut Acceptor) -> T) -> T {
        run(&mut self.acceptor.borrow_mut())
    }

    fn commit(&self, unit: Unit, reply: AfterCommit, to: ReplyTo) -> Result<(), Reply> {
        if let Some(left) = self.refuses.get().checked_sub(1) {
            self.refuses.set(left);
            return Err(Reply::Refused(Refusal::Overloaded));
        }
        let mut store = self.store.borrow_mut();
        if let Some((key, stamped)) = unit.version()
            && store.versions.get(key).is_none_or(|stored| stored.version < stamped.version)
        {
            store.versions.insert(key.clone(), stamped.clone());
        }
        if let Unit::Mark(mark) = unit {
            store.mark = store.mark.max(mark);
        }
        self.done.borrow_mut().push((to, Completed::Written(reply.committed())));
        Ok(())
    }

    fn expect(&self, configuration: &Configuration) -> bool {
        let expects = !self.directory_is_slow.get() || self.expected.get() >= configuration.epoch();
        self.expected.set(self.expected.get().max(configuration.epoch()));
        expects
    }

    fn begin_installing<T>(&self, epoch: u32, queue: impl FnOnce() -> T) -> Option<T> {
        if epoch < self.newest_epoch.get() {
            return None;
        }
        self.newest_epoch.set(epoch);
        self.acceptor.borrow_mut().install(epoch);
        Some(queue())
    }

    fn served_epoch(&self) -> u32 {
        self.served_epoch.get()
    }

    fn newest_epoch(&self) -> u32 {
        self.newest_epoch.get()
    }

    fn installed(&self, configuration: &Configuration) {
        self.served_epoch.set(configuration.epoch());
    }

    fn driver<T>(&self, run: impl FnOnce(&mut Driver) -> T) -> T {
        run(&mut self.driver.borrow_mut())
    }

    fn news(&self) -> News {
        News::default()
    }

    fn remembered(&self) -> Vec<(NodeId, DirectoryId)> {
        Vec::new()
    }

    fn hands_over(&self) -> bool {
        self.is_cold.get()
    }

    fn is_slow(&self) -> bool {
        false
    }

    fn ask_disk(&self, request: Request, to: ReplyTo, _: Instant) -> Result<(), Reply> {
        self.asked.borrow_mut().push((to, request));
        Ok(())
    }

    fn look_here<T>(&self, look: impl FnOnce() -> T) -> T {
        look()
    }

    fn taken(&self, _: usize) {}

    fn repair(&self, tell: impl FnOnce(&mut Repair, Instant)) {
        tell(&mut self.repair.borrow_mut(), *self.now.borrow());
    }

    fn notes<T>(&self, run: impl FnOnce(&mut Notes) -> T) -> T {
        run(&mut self.notes.borrow_mut())
    }

    fn missed(&self, member: NodeId, key: &Bytes, version: Version) {
        self.repair(|repair, now| repair.handle_missed(member, key, version, now));
    }

    fn peer_is_up(&self, peer: NodeId, up: bool) {
        self.repair(|repair, now| match up {
            true => repair.handle_peer_up(peer, now),
            false => repair.handle_peer_down(peer),
        });
    }

    fn observe(&self, _: NodeId, sequence: u64) {
        assert_eq!(sequence, 1);
    }

    fn expires(&self) {
        self.expired.set(self.expired.get() + 1);
    }

    fn swept(&self, progress: Progress) {
        self.swept.set(progress);
    }

    fn value_bytes_max(&self) -> usize {
        1 << 20
    }

    fn reason_to_refuse(&self, _: &Operation) -> Option<Reason> {
        None
    }
}
