//! What a node says about itself to Prometheus: /metrics.

use super::info::read;
use super::now_instant;
use super::report::Report;
use crate::logging;
use std::fmt::Write;

impl Report {
    /// Metrics in the Prometheus text format.
    pub(crate) fn metrics(&self) -> String {
        let boot = u64::from(self.membership.directory.identity().boot);
        let (commits, committed) = self.disk.committer.counts();
        let (store, clients) = (&self.disk.store, &self.clients);
        let (accepted, promised) = self.disk.acceptors.counts();
        let configuration = self.membership.configuration();
        let scrubbed = store.database.scrubbed();
        let total = |of| self.stats.total(of);
        let rows = [
            ("reads_total", "Gets answered", total(|loops| &loops.reads)),
            ("writes_total", "Sets and deletes answered", total(|loops| &loops.writes)),
            ("updates_total", "Updates answered", total(|loops| &loops.updates)),
            ("refused_total", "Operations that certainly had no effect", total(|loops| &loops.refused)),
            (
                "indeterminate_total",
                "Operations whose effect is unknown",
                total(|loops| &loops.indeterminate),
            ),
            (
                "updates_refused_total",
                "Updates among the operations that certainly had no effect",
                total(|loops| &loops.updates_refused),
            ),
            (
                "updates_indeterminate_total",
                "Updates among the operations whose effect is unknown",
                total(|loops| &loops.updates_indeterminate),
            ),
            ("commands_total", "Commands that clients have called", self.stats.commands()),
            ("hits_total", "Gets that found a value", total(|loops| &loops.hits)),
            ("expired_keys_total", "Expiries that this node has proposed", total(|loops| &loops.expired)),
            ("sweeps_total", "Walks of the sweeper through this node's store", total(|loops| &loops.sweeps)),
            ("sweep_keys_total", "Keys that the sweeper has passed", total(|loops| &loops.sweep_keys)),
            (
                "swept_keys_total",
                "Keys that were due and that the sweeper has read",
                total(|loops| &loops.swept),
            ),
            (
                "sweep_failures_total",
                "Keys that were due and that the sweeper could not read",
                total(|loops| &loops.sweep_failures),
            ),
            ("input_bytes_total", "Bytes from clients", total(|loops| &loops.input_bytes)),
            ("output_bytes_total", "Bytes to clients", total(|loops| &loops.output_bytes)),
            ("commits_total", "Batches made durable", commits),
            ("committed_writes_total", "Versions in those batches", committed),
            (
                "log_lines_dropped_total",
                "Lines of the log that could not be written",
                logging::lines_dropped(),
            ),
            (
                "lookups_handed_over_total",
                "Lookups that waited for the disk elsewhere than in an event loop",
                self.disk.readers.handed_over(),
            ),
            (
                "keys_estimate",
                "Keys here, about: more while keys are written again, and with deleted ones",
                store.versions.keys_estimate(),
            ),
            (
                "large_values_read_total",
                "Values that were read apart from their keys",
                store.database.large_values_read(),
            ),
            (
                "damaged_parts",
                "Parts of the tables that were lost to damage",
                store.database.damaged_parts() as u64,
            ),
            (
                "abstentions_total",
                "Questions not answered because what they are about may be damaged",
                store.abstentions(),
            ),
            (
                "lost_ranges",
                "Ranges of keys of which this node may have lost something, and for which it abstains",
                self.healing.lost().len() as u64,
            ),
            (
                "healing_seconds",
                "For how long it has been known that something is lost, 0 while nothing is",
                self.healing.since().map_or(0, |since| now_instant().since(since).as_secs()),
            ),
            ("heals_total", "Times that this node was healed of what it had lost", self.healing.healed()),
            (
                "scrub_rounds_total",
                "Times that everything stored was read in search of damage",
                scrubbed.rounds,
            ),
            ("scrub_bytes_total", "Bytes read in search of damage", scrubbed.bytes),
            ("scrub_damaged_total", "Tables and large values that were found damaged so", scrubbed.damaged),
            (
                "updates_accepted",
                "Keys with an accepted update that is not known to be over",
                accepted as u64,
            ),
            ("updates_promised", "Keys with nothing but a promise to an update", promised as u64),
            ("disk_bytes", "Bytes that the database takes", store.database.disk_bytes()),
            ("boot", "Starts of this data directory", boot),
            ("epoch", "Which configuration is installed, counted from 1", u64::from(configuration.epoch())),
            ("members", "Members of that configuration", configuration.members.len() as u64),
            (
                "members_to_come",
                "Members of the configuration that is to take its place, 0 while none is",
                configuration.next().map_or(0, <[_]>::len) as u64,
            ),
            ("writable", "1 while the disk has room", u64::from(self.disk.committer.writable())),
            ("ready", "1 while operations can be expected to succeed", u64::from(self.not_ready().is_none())),
            ("clients", "Client connections", read(&clients.counts.connected)),
            ("clients_limit", "Client connections that there may be", clients.limit as u64),
            (
                "clients_rejected_total",
                "Client connections refused beyond that",
                read(&clients.counts.rejected),
            ),
            ("clients_memory_bytes", "Memory that clients hold: requests and replies", clients.memory()),
            (
                "clients_memory_limit_bytes",
                "Memory that clients may hold together",
                self.settings.clients_memory,
            ),
            (
                "client_output_limit_bytes",
                "Replies that may wait for one client",
                self.settings.client_output_limit as u64,
            ),
            (
                "clients_evicted_total",
                "Connections closed because all clients together held too much",
                read(&clients.counts.evicted),
            ),
            (
                "clients_unread_total",
                "Connections closed because they did not read their replies",
                read(&clients.counts.unread),
            ),
        ];
        let mut out = String::new();
        for (name, help, value) in rows {
            describe(&mut out, name, help);
            let _ = writeln!(out, "atomic_kv_{name} {value}");
        }
        describe(&mut out, "peer_up", "1 while a link to the peer is up");
        for id in self.peers() {
            let is_up = u8::from(self.membership.admission.is_up(id));
            let _ = writeln!(out, "atomic_kv_peer_up{{peer=\"{id}\"}} {is_up}");
        }
        self.repair_metrics(&mut out);
        out
    }
}

/// What comes before the values of a metric. Counters are known by their names.
pub(super) fn describe(out: &mut String, name: &str, help: &str) {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    let _ = writeln!(out, "# HELP atomic_kv_{name} {help}\n# TYPE atomic_kv_{name} {kind}");
}
