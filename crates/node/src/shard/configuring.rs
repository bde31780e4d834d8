//! Configurations: an event loop meets a newer one, has it made durable, and goes on in it (rule C1).
//!
//! First the directory expects it, durably, and meanwhile the older one is served. Requests of the older epoch may still wait for the disk
//! then, and their replies leave afterwards. So it is installed *behind* them: the acceptors take the new epoch, and change nothing for an
//! older one any more; then the configuration is queued for the disk; and when it is durable, the event loops serve it. What a sync reads
//! after that has everything that the older epoch was ever told.

use super::{Environment, ReplyTo, Return, Shard};
use crate::configuration::{Configuration, KEY};
use crate::hello::WITH_CONFIGURATIONS;
use crate::lanes::lane::{CONFIGURATION, LaneKey};
use crate::lanes::outgoing::Patience;
use crate::lookups;
use abd::{Base, CallId, Instant, NodeId, Now, OperationId, Refusal, Replica, Reply, Request, Scope};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes};
use core::time::Duration;

/// The operation under which a configuration is made durable; the phase is its epoch.
const INSTALLING: u64 = u64::MAX;
/// Requests of an epoch that is about to be installed wait here, so many at most; others are refused, and asked again.
const EARLY_MAX: usize = 1024;
/// Bytes of them.
const EARLY_BYTES_MAX: usize = 8 << 20;
/// For so long a node that is named no more may still hear so.
pub const PARTING: Duration = Duration::from_secs(2);
/// After this time the disk is tried again that did not take a configuration.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How an event loop stands with its configuration.
#[derive(Debug)]
pub(super) struct Configuring {
    /// The one that is served.
    installed: Configuration,
    /// The newest epoch that this event loop has met: the directory expects it before anything else happens.
    expected: u32,
    /// One that this event loop has queued for the disk, or will.
    coming: Option<Coming>,
    /// One that was stored under its key, and was not looked at yet.
    noticed: Option<Bytes>,
    /// Requests of the epoch that is about to be installed.
    early: Vec<Early>,
    early_bytes: usize,
    /// When the lanes to those are closed who are named no more.
    part_at: Option<Instant>,
}

#[derive(Debug)]
struct Coming {
    configuration: Configuration,
    /// When to try again, as the disk did not take it.
    again_at: Option<Instant>,
}

#[derive(Debug)]
struct Early {
    scope: Scope,
    request: Request,
    to: ReplyTo,
    deadline: Instant,
}

impl Configuring {
    pub(super) fn new(installed: Configuration) -> Self {
        let (expected, early) = (installed.epoch(), Vec::new());
        Self { installed, expected, coming: None, noticed: None, early, early_bytes: 0, part_at: None }
    }

    /// The one that is served.
    pub(super) fn installed(&self) -> &Configuration {
        &self.installed
    }

    /// This replica was given a version of the configuration's key.
    pub(super) fn notice(&mut self, configuration: Option<Bytes>) {
        self.noticed = configuration.or(self.noticed.take());
    }
}

/// What a request gives the own replica to store under the configuration's key. A version of it was decided: whoever has it installs
/// it.
pub(super) fn decided(request: &Request) -> Option<Bytes> {
    if request.key() != KEY {
        return None;
    }
    let stamped = match request {
        Request::LocalWrite { stamped, .. } => stamped,
        Request::Prepare { base: Some(base), .. } | Request::Accept { base, .. } => match &**base {
            Base::Whole(stamped) => stamped,
            Base::Named(_) => return None,
        },
        Request::Adopt { base, .. } => base,
        Request::LocalRead { .. }
        | Request::LocalReadTimestamp { .. }
        | Request::Prepare { base: None, .. } => {
            return None;
        }
    };
    stamped.content.value().cloned()
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// The configuration that is served.
    pub fn configuration(&self) -> &Configuration {
        &self.configuring.installed
    }

    /// Somebody says that this is a configuration that was decided. A newer one than what this node has is installed.
    pub fn meet_configuration(&mut self, configuration: Configuration, now: Now) {
        let installed = &self.configuring.installed;
        if configuration.scope.partition != installed.scope.partition
            || configuration.epoch() <= installed.epoch()
            || configuration.epoch() <= self.environment.newest_epoch()
        {
            return;
        }
        self.configuring.expected = self.configuring.expected.max(configuration.epoch());
        if self.environment.expect(&configuration) {
            self.configuring.coming = Some(Coming { configuration, again_at: None });
            self.write_configuration(now);
        }
    }

    /// As [`Shard::meet_configuration`], as it came.
    pub(super) fn meet_encoded(&mut self, encoded: &Bytes, now: Now) {
        // Bytes that are none come from a release that this one does not understand; whoever sent them is answered nothing.
        if let Ok(configuration) = Configuration::decode(encoded) {
            self.meet_configuration(configuration, now);
        }
    }

    /// Queues the configuration that is coming for the disk, behind everything that waits there.
    fn write_configuration(&mut self, now: Now) {
        let Some(coming) = &mut self.configuring.coming else { return };
        let (unit, reply) = Replica::install(coming.configuration.encoded());
        let call = CallId { operation: INSTALLING, phase: coming.configuration.epoch() };
        let to = ReplyTo { lane: None, call, epoch: call.phase };
        let environment = &self.environment;
        match environment.begin_installing(call.phase, || environment.commit(unit, reply, to)) {
            Some(queued) => coming.again_at = queued.err().map(|_| now.instant + TRY_AGAIN_AFTER),
            // Another event loop has begun a newer one, and this must not come behind it.
            None => self.configuring.coming = None,
        }
    }

    /// When the disk is tried again that did not take a configuration, or those are left who are named no more.
    pub(super) fn install_at(&self) -> Option<Instant> {
        let again_at = self.configuring.coming.as_ref().and_then(|coming| coming.again_at);
        [again_at, self.configuring.part_at].into_iter().flatten().min()
    }

    /// Does that, if it is time.
    pub(super) fn install_again(&mut self, now: Now) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        if is_due(self.configuring.coming.as_ref().and_then(|coming| coming.again_at)) {
            self.write_configuration(now);
        }
        if is_due(self.configuring.part_at) {
            self.configuring.part_at = None;
            let named: Vec<NodeId> =
                self.configuring.installed.everybody().iter().map(|member| member.id).collect();
            let local = self.local;
            self.keep_lanes(named.into_iter().filter(|id| *id != local), now);
        }
    }

    /// What became of a configuration on its way to the disk; `false` if the reply is to something else.
    pub(super) fn configuration_written(&mut self, call: CallId, reply: &Reply, now: Now) -> bool {
        if call.operation != INSTALLING {
            return false;
        }
        // A still newer one may have come meanwhile; then that one is waited for.
        let coming = self.configuring.coming.as_mut();
        match (reply, coming.filter(|coming| coming.configuration.epoch() == call.phase)) {
            (Reply::Written { .. }, Some(coming)) => {
                let configuration = coming.configuration.clone();
                self.environment.installed(&configuration);
                self.install(configuration, now);
            }
            (_, Some(coming)) => coming.again_at = Some(now.instant + TRY_AGAIN_AFTER),
            (_, None) => {}
        }
        true
    }

    /// A configuration is durable here: it is served from now on, by this event loop as by the others of the node.
    pub fn install(&mut self, configuration: Configuration, now: Now) {
        if configuration.epoch() <= self.configuring.installed.epoch() {
            return;
        }
        self.configuring.coming.take_if(|coming| coming.configuration.epoch() <= configuration.epoch());
        self.replica.scope = configuration.scope;
        self.replica.configuration = configuration.encoded();
        let named: Vec<NodeId> = configuration.everybody().iter().map(|member| member.id).collect();
        let local = self.local;
        // Whoever is named no more hears it from here: his lanes stay for a while.
        let leaving = self.lanes.up().filter(|id| !named.contains(id)).collect::<Vec<_>>();
        self.configuring.part_at = (!leaving.is_empty()).then(|| now.instant + PARTING);
        self.keep_lanes(named.into_iter().filter(|id| *id != local).chain(leaving), now);
        let quorums = configuration.quorums();
        self.configuring.installed = configuration;
        self.inquiries.install(&quorums, now.instant);
        // Before anything of the new epoch is sent: whoever lags has it first.
        for peer in self.lanes.up().collect::<Vec<_>>() {
            self.tell_configuration(peer);
        }
        self.coordinator.install(quorums, now, &self.environment.issuer());
        let Self { lanes, coordinator, replica, .. } = self;
        lanes.install(replica.scope, |call, version| {
            coordinator.is_storing(OperationId(call.operation), version)
        });
        self.miss_lanes();
        self.install_sync();
        self.configuring.early_bytes = 0;
        for Early { scope, request, to, deadline } in core::mem::take(&mut self.configuring.early) {
            // In which epoch it is answered: when it came, another one was served.
            let to = ReplyTo { epoch: scope.epoch, ..to };
            if let (Some(reply), Some(key)) = (self.serve(scope, request, to, deadline).reply(), to.lane) {
                self.answer(key, to.call, &reply);
            }
        }
        self.environment.driver(|driver| driver.handle_installed(&self.configuring.installed, now.instant));
        self.drive_soon(now.instant);
        self.pump(now);
    }

    /// Sends a peer the configuration that is served here, over each of its lanes, so that it comes before whatever is sent next.
    pub(super) fn tell_configuration(&mut self, peer: NodeId) {
        let encoded = self.replica.configuration.clone();
        let epoch = self.replica.scope.epoch;
        // Once for each epoch: it is told again when it connects anew.
        let knows = self.speaks(peer, WITH_CONFIGURATIONS);
        let Some(lanes) = self.lanes.to_mut(peer).filter(|lanes| knows && lanes.told < epoch) else { return };
        lanes.told = epoch;
        let mut woken = Vec::new();
        for lane in lanes.all() {
            let put = |body: &mut bytes::BytesMut| {
                body.put_u8(CONFIGURATION);
                body.put_slice(&encoded);
            };
            let wakes = lane.outgoing.frame(Patience::None, put);
            woken.push((wakes, lane.key));
        }
        for (wakes, key) in woken {
            self.wake_if(wakes, key);
        }
    }

    /// A peer says which configuration it serves.
    pub(super) fn handle_configuration(&mut self, key: LaneKey, encoded: &Bytes, now: Now) {
        if *encoded == self.replica.configuration {
            let epoch = self.replica.scope.epoch;
            let Some(lanes) = self.lanes.to_mut(key.peer).filter(|lanes| lanes.serves < epoch) else {
                return;
            };
            lanes.serves = epoch;
            // What it could not take before it can take now: once for each epoch, over whichever lane it says so first.
            return self.coordinator.call_again(key.peer);
        }
        self.meet_encoded(encoded, now);
    }

    /// A reply may say that one side of a call is behind.
    pub(super) fn compare_configurations(&mut self, from: NodeId, reply: &Reply, now: Now) {
        match reply {
            Reply::Stale { configuration } => self.meet_encoded(&configuration.clone(), now),
            Reply::Refused(Refusal::OtherConfiguration) if from != self.local => {
                self.tell_configuration(from);
            }
            _ => {}
        }
    }

    /// Installs what was noticed since it was looked last.
    pub(super) fn install_noticed(&mut self, now: Now) {
        if let Some(encoded) = self.configuring.noticed.take() {
            self.meet_encoded(&encoded, now);
        }
    }

    /// Keeps a request of an epoch that is about to be installed; gives it back if it has to be refused.
    pub(super) fn keep_early(
        &mut self,
        scope: Scope,
        request: Request,
        to: ReplyTo,
        deadline: Instant,
    ) -> Option<Request> {
        let is_coming = [self.environment.newest_epoch(), self.configuring.expected].contains(&scope.epoch)
            && scope.partition == self.replica.scope.partition
            && scope.epoch > self.replica.scope.epoch;
        let configuring = &mut self.configuring;
        let bytes = configuring.early_bytes + request.bytes();
        if !is_coming || configuring.early.len() == EARLY_MAX || bytes > EARLY_BYTES_MAX {
            return Some(request);
        }
        configuring.early_bytes = bytes;
        // Of its own: what came over a lane keeps a whole buffer alive.
        configuring.early.push(Early { scope, request: lookups::own(request), to, deadline });
        None
    }
}
