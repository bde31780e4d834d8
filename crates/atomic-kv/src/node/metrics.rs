//! What a node says about itself to Prometheus: /metrics.

use super::report::Report;
use crate::logging;
use std::fmt::Write;

impl Report {
    /// Metrics in the Prometheus text format.
    pub(crate) fn metrics(&self) -> String {
        let boot = u64::from(self.membership.directory.identity().boot);
        let (commits, committed) = self.disk.committer.counts();
        let rows = [
            ("atomic_kv_reads_total", "counter", "Gets answered", self.stats.total(|stats| &stats.reads)),
            (
                "atomic_kv_writes_total",
                "counter",
                "Sets and deletes answered",
                self.stats.total(|stats| &stats.writes),
            ),
            (
                "atomic_kv_refused_total",
                "counter",
                "Operations that certainly had no effect",
                self.stats.total(|stats| &stats.refused),
            ),
            (
                "atomic_kv_indeterminate_total",
                "counter",
                "Operations whose effect is unknown",
                self.stats.total(|stats| &stats.indeterminate),
            ),
            (
                "atomic_kv_commands_total",
                "counter",
                "Commands that clients have called",
                self.stats.commands(),
            ),
            (
                "atomic_kv_hits_total",
                "counter",
                "Gets that found a value",
                self.stats.total(|stats| &stats.hits),
            ),
            (
                "atomic_kv_input_bytes_total",
                "counter",
                "Bytes from clients",
                self.stats.total(|stats| &stats.input_bytes),
            ),
            (
                "atomic_kv_output_bytes_total",
                "counter",
                "Bytes to clients",
                self.stats.total(|stats| &stats.output_bytes),
            ),
            ("atomic_kv_commits_total", "counter", "Batches made durable", commits),
            ("atomic_kv_committed_writes_total", "counter", "Versions in those batches", committed),
            (
                "atomic_kv_log_lines_dropped_total",
                "counter",
                "Lines of the log that could not be written",
                logging::lines_dropped(),
            ),
            (
                "atomic_kv_lookups_handed_over_total",
                "counter",
                "Lookups that waited for the disk elsewhere than in an event loop",
                self.disk.readers.handed_over(),
            ),
            (
                "atomic_kv_keys_estimate",
                "gauge",
                "Keys here, about: more while keys are written again, and with deleted ones",
                self.disk.store.versions().keys_estimate(),
            ),
            (
                "atomic_kv_large_values_read_total",
                "counter",
                "Values that were read apart from their keys",
                self.disk.store.large_values_read(),
            ),
            (
                "atomic_kv_damaged_parts",
                "gauge",
                "Parts of the tables that were lost to damage",
                self.disk.store.damaged_parts(),
            ),
            (
                "atomic_kv_abstentions_total",
                "counter",
                "Questions not answered because what they are about may be damaged",
                self.disk.store.abstentions(),
            ),
            ("atomic_kv_disk_bytes", "gauge", "Bytes that the database takes", self.disk.store.disk_bytes()),
            ("atomic_kv_boot", "gauge", "Starts of this data directory", boot),
            (
                "atomic_kv_writable",
                "gauge",
                "1 while the disk has room",
                u64::from(self.disk.committer.writable()),
            ),
            (
                "atomic_kv_ready",
                "gauge",
                "1 while operations can be expected to succeed",
                u64::from(self.not_ready().is_none()),
            ),
            ("atomic_kv_clients", "gauge", "Client connections", self.clients.connected() as u64),
            (
                "atomic_kv_clients_limit",
                "gauge",
                "Client connections that there may be",
                self.clients.limit() as u64,
            ),
            (
                "atomic_kv_clients_rejected_total",
                "counter",
                "Client connections refused beyond that",
                self.clients.rejected(),
            ),
            (
                "atomic_kv_clients_memory_bytes",
                "gauge",
                "Memory that clients hold: requests and replies",
                self.clients.memory(),
            ),
            (
                "atomic_kv_clients_memory_limit_bytes",
                "gauge",
                "Memory that clients may hold together",
                self.settings.clients_memory,
            ),
            (
                "atomic_kv_client_output_limit_bytes",
                "gauge",
                "Replies that may wait for one client",
                self.settings.client_output_limit as u64,
            ),
            (
                "atomic_kv_clients_evicted_total",
                "counter",
                "Connections closed because all clients together held too much",
                self.clients.evicted(),
            ),
            (
                "atomic_kv_clients_unread_total",
                "counter",
                "Connections closed because they did not read their replies",
                self.clients.unread(),
            ),
        ];
        let mut out = String::new();
        for (name, kind, help, value) in rows {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        out.push_str(
            "# HELP atomic_kv_peer_up 1 while a link to the peer is up\n# TYPE atomic_kv_peer_up gauge\n",
        );
        for (index, id) in self
            .membership
            .own
            .members
            .ids()
            .iter()
            .enumerate()
            .filter(|(_, id)| **id != self.membership.own.id)
        {
            let _ = writeln!(
                out,
                "atomic_kv_peer_up{{peer=\"{id}\"}} {}",
                u64::from(self.membership.admission.is_up(index))
            );
        }
        self.repair_metrics(&mut out);
        out
    }
}
