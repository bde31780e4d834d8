//! What a node says about itself: INFO, CONFIG GET, /metrics.

use super::Node;
use super::now_instant;
use crate::logging;
use crate::resp::ServerInfo;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Node {
    /// Metrics in the Prometheus text format.
    pub(crate) fn metrics(&self) -> String {
        let counters = &self.counters;
        let (commits, committed) = self.committer.counts();
        let rows = [
            ("atomic_kv_reads_total", "counter", "Gets answered", counters.reads.load(Ordering::Relaxed)),
            (
                "atomic_kv_writes_total",
                "counter",
                "Sets and deletes answered",
                counters.writes.load(Ordering::Relaxed),
            ),
            (
                "atomic_kv_refused_total",
                "counter",
                "Operations that certainly had no effect",
                counters.refused.load(Ordering::Relaxed),
            ),
            (
                "atomic_kv_indeterminate_total",
                "counter",
                "Operations whose effect is unknown",
                counters.indeterminate.load(Ordering::Relaxed),
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
                self.readers.handed_over(),
            ),
            ("atomic_kv_keys", "gauge", "Keys that hold a value here", self.store.versions().live_keys()),
            ("atomic_kv_disk_bytes", "gauge", "Bytes that the database takes", self.store.disk_bytes()),
            ("atomic_kv_boot", "gauge", "Starts of this data directory", u64::from(self.boot())),
            (
                "atomic_kv_writable",
                "gauge",
                "1 while the disk has room",
                u64::from(self.committer.writable()),
            ),
            (
                "atomic_kv_ready",
                "gauge",
                "1 while operations can be expected to succeed",
                u64::from(self.not_ready().is_none()),
            ),
            (
                "atomic_kv_clients",
                "gauge",
                "Client connections",
                counters.clients.load(Ordering::Relaxed) as u64,
            ),
        ];
        let mut out = String::new();
        for (name, kind, help, value) in rows {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        out.push_str(
            "# HELP atomic_kv_peer_up 1 while a link to the peer is up\n# TYPE atomic_kv_peer_up gauge\n",
        );
        for (index, id) in self.members.ids().iter().enumerate().filter(|(_, id)| **id != self.id) {
            let _ = writeln!(out, "atomic_kv_peer_up{{peer=\"{id}\"}} {}", u64::from(self.is_peer_up(index)));
        }
        out
    }
}

impl ServerInfo for Node {
    fn info(&self, section: Option<&str>) -> String {
        let wanted = |name: &str| {
            section.is_none_or(|section| {
                section == name || section == "all" || section == "everything" || section == "default"
            })
        };
        let counters = &self.counters;
        let mut out = String::new();
        let mut put = |name: &str, rows: &[(&str, String)]| {
            if wanted(&name.to_lowercase()) {
                let _ = write!(out, "# {name}\r\n");
                for (field, value) in rows {
                    let _ = write!(out, "{field}:{value}\r\n");
                }
                out.push_str("\r\n");
            }
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        put(
            "Server",
            &[
                ("redis_version", "7.0.0".to_owned()),
                ("atomic_kv_version", version),
                ("redis_mode", "standalone".to_owned()),
                ("process_id", std::process::id().to_string()),
                ("uptime_in_seconds", self.uptime().as_secs().to_string()),
                ("max_value_bytes", self.settings.max_value_bytes.to_string()),
            ],
        );
        put("Clients", &[("connected_clients", counters.clients.load(Ordering::Relaxed).to_string())]);
        put(
            "Persistence",
            &[("loading", "0".to_owned()), ("disk_bytes", self.store.disk_bytes().to_string())],
        );
        put(
            "Stats",
            &[
                ("total_connections_received", counters.connections.load(Ordering::Relaxed).to_string()),
                ("reads", counters.reads.load(Ordering::Relaxed).to_string()),
                ("writes", counters.writes.load(Ordering::Relaxed).to_string()),
                ("refused", counters.refused.load(Ordering::Relaxed).to_string()),
                ("log_lines_dropped", logging::lines_dropped().to_string()),
                ("indeterminate", counters.indeterminate.load(Ordering::Relaxed).to_string()),
            ],
        );
        put("Replication", &[("role", "master".to_owned()), ("connected_slaves", "0".to_owned())]);
        let not_ready = self.not_ready();
        let mut rows = vec![
            ("node_id", self.id.to_string()),
            ("boot", self.boot().to_string()),
            ("cluster", self.settings.cluster_text()),
            ("admitted", u8::from(self.is_admitted()).to_string()),
            ("ready", u8::from(not_ready.is_none()).to_string()),
            ("not_ready_because", not_ready.map_or_else(String::new, |why| why.to_string())),
            ("writable", u8::from(self.committer.writable()).to_string()),
            ("keys", self.store.versions().live_keys().to_string()),
            ("timestamps", self.settings.timestamps_name().to_owned()),
            ("clock", self.clock_text()),
        ];
        let peers: Vec<String> = self
            .members
            .ids()
            .iter()
            .enumerate()
            .filter(|(_, id)| **id != self.id)
            .map(|(index, id)| format!("{id}={}", if self.is_peer_up(index) { "up" } else { "down" }))
            .collect();
        rows.push(("peers", peers.join(",")));
        put("Node", &rows);
        let keys = self.store.versions().live_keys();
        put("Keyspace", &[("db0", format!("keys={keys},expires=0,avg_ttl=0"))]);
        out
    }

    fn config(&self) -> Vec<(String, String)> {
        let limit = self.settings.max_value_bytes.to_string();
        [
            ("save", ""),
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
            ("databases", "1"),
            ("timeout", "0"),
            ("proto-max-bulk-len", &limit),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    fn uptime(&self) -> Duration {
        now_instant().since(abd::Instant(0))
    }
}
