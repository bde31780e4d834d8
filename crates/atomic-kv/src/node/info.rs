//! What a node says about itself to clients in INFO. The fields are those that redis-cli, the client
//! libraries and their tests, redis_exporter and RedisInsight read, under Redis' names; COMPAT.md says what differs.

use super::now_instant;
use super::process::{Memory, human, processor_seconds, run_id, system};
use super::report::Report;
use crate::logging;
use ::node::inquiry::notes::NoteKind;
use ::node::resp::{CommandCounts, Counts, REDIS_VERSION, Section, by_command, by_error};
use abd::Instant;
use std::borrow::Cow;
use std::fmt::Display;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Rows = Vec<(Cow<'static, str>, String)>;

fn rows<const N: usize>(rows: [(&'static str, &dyn Display); N]) -> Rows {
    rows.map(|(field, value)| (Cow::Borrowed(field), value.to_string())).into()
}

pub(super) fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

pub(super) fn uptime() -> Duration {
    now_instant().since(Instant(0))
}

impl Report {
    fn server_rows(&self) -> Rows {
        let uptime = uptime().as_secs();
        let port = self.settings.listen.rsplit_once(':').map_or("0", |(_, port)| port);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let executable =
            std::env::current_exe().map_or_else(|_| String::new(), |path| path.display().to_string());
        rows([
            ("redis_version", &REDIS_VERSION),
            ("atomic_kv_version", &env!("CARGO_PKG_VERSION")),
            ("os", &system()),
            ("arch_bits", &usize::BITS),
            ("process_id", &std::process::id()),
            ("run_id", &run_id()),
            ("tcp_port", &port),
            ("server_time_usec", &now.as_micros()),
            ("uptime_in_seconds", &uptime),
            ("uptime_in_days", &(uptime / 86_400)),
            ("executable", &executable),
            ("max_value_bytes", &self.settings.max_value_bytes),
            ("redis_mode", &"standalone"),
            ("multiplexing_api", &"epoll"),
            ("config_file", &""),
        ])
    }

    fn client_rows(&self) -> Rows {
        rows([
            ("connected_clients", &read(&self.clients.counts.connected)),
            ("maxclients", &self.clients.limit),
            ("clients_memory", &self.clients.memory()),
            ("clients_memory_limit", &self.settings.clients_memory),
            ("client_output_limit", &self.settings.client_output_limit),
            ("cluster_connections", &"0"),
            ("blocked_clients", &"0"),
            ("tracking_clients", &"0"),
            ("clients_in_timeout_table", &"0"),
        ])
    }

    /// The allocator is not asked what it has given out: what the process has of the machine counts.
    fn memory_rows(&self) -> Rows {
        let Memory { resident, peak, machine } = Memory::now();
        let interpreters = self.scripts.memory.load(Ordering::Relaxed) as u64;
        let (scripts, sources) = {
            let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            (notes.count(NoteKind::Script), notes.bytes(NoteKind::Script) as u64)
        };
        rows([
            ("used_memory", &resident),
            ("used_memory_human", &human(resident)),
            ("used_memory_rss", &resident),
            ("used_memory_rss_human", &human(resident)),
            ("used_memory_peak", &peak),
            ("used_memory_peak_human", &human(peak)),
            ("total_system_memory", &machine),
            ("total_system_memory_human", &human(machine)),
            ("used_memory_lua", &interpreters),
            ("used_memory_lua_human", &human(interpreters)),
            ("used_memory_vm_eval", &interpreters),
            ("used_memory_scripts_eval", &sources),
            ("number_of_cached_scripts", &scripts),
            ("used_memory_scripts", &(interpreters + sources)),
            ("used_memory_scripts_human", &human(interpreters + sources)),
            ("maxmemory", &"0"),
            ("maxmemory_human", &"0B"),
            ("maxmemory_policy", &"noeviction"),
            ("mem_fragmentation_ratio", &"1.00"),
            ("mem_allocator", &"mimalloc"),
            ("active_defrag_running", &"0"),
            ("lazyfree_pending_objects", &"0"),
        ])
    }

    fn persistence_rows(&self) -> Rows {
        let last_write = if self.disk.committer.writable() { "ok" } else { "err" };
        rows([
            ("loading", &"0"),
            ("async_loading", &"0"),
            ("rdb_changes_since_last_save", &"0"),
            ("rdb_bgsave_in_progress", &"0"),
            ("rdb_last_bgsave_status", &"ok"),
            ("rdb_current_bgsave_time_sec", &"-1"),
            ("aof_enabled", &"1"),
            ("aof_rewrite_in_progress", &"0"),
            ("aof_rewrite_scheduled", &"0"),
            ("aof_last_bgrewrite_status", &"ok"),
            ("aof_last_write_status", &last_write),
            ("disk_bytes", &self.disk.store.database.disk_bytes()),
            ("damaged_parts", &self.disk.store.database.damaged_parts()),
            ("abstentions", &self.disk.store.abstentions()),
            ("lost_ranges", &self.healing.lost().len()),
            ("healing", &self.healing.text()),
            ("heals", &self.healing.healed()),
        ])
    }

    fn stats_rows(&self) -> Rows {
        let total = |of| self.stats.total(of);
        let (reads, hits) = (total(|loops| &loops.reads), total(|loops| &loops.hits));
        let errors: u64 = by_error(self.requests()).iter().map(|(_, count)| count).sum();
        let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
        rows([
            ("total_connections_received", &read(&self.clients.counts.received)),
            ("rejected_connections", &read(&self.clients.counts.rejected)),
            ("evicted_clients", &read(&self.clients.counts.evicted)),
            ("client_output_buffer_limit_disconnections", &read(&self.clients.counts.unread)),
            ("total_commands_processed", &self.stats.commands()),
            ("instantaneous_ops_per_sec", &read(&self.stats.rates.commands)),
            ("total_net_input_bytes", &total(|loops| &loops.input_bytes)),
            ("total_net_output_bytes", &total(|loops| &loops.output_bytes)),
            ("instantaneous_input_kbps", &kilobytes(read(&self.stats.rates.input_bytes))),
            ("instantaneous_output_kbps", &kilobytes(read(&self.stats.rates.output_bytes))),
            ("keyspace_hits", &hits),
            ("keyspace_misses", &reads.saturating_sub(hits)),
            ("total_error_replies", &errors),
            ("reads", &reads),
            ("writes", &total(|loops| &loops.writes)),
            ("updates", &total(|loops| &loops.updates)),
            ("refused", &total(|loops| &loops.refused)),
            ("indeterminate", &total(|loops| &loops.indeterminate)),
            ("updates_refused", &total(|loops| &loops.updates_refused)),
            ("updates_indeterminate", &total(|loops| &loops.updates_indeterminate)),
            ("log_lines_dropped", &logging::lines_dropped()),
            ("scripts_run", &read(&self.scripts.ran)),
            ("scripts_ended", &read(&self.scripts.ended)),
            ("expired_keys", &total(|loops| &loops.expired)),
            ("swept_keys", &total(|loops| &loops.swept)),
            ("evicted_keys", &"0"),
            ("pubsub_channels", &"0"),
            ("pubsub_patterns", &"0"),
            ("sync_full", &"0"),
            ("sync_partial_ok", &"0"),
            ("sync_partial_err", &"0"),
            ("latest_fork_usec", &"0"),
        ])
    }

    fn replication_rows() -> Rows {
        rows([
            ("role", &"master"),
            ("connected_slaves", &"0"),
            ("master_failover_state", &"no-failover"),
            ("master_replid", &run_id()),
            ("master_repl_offset", &"0"),
            ("repl_backlog_active", &"0"),
        ])
    }

    fn processor_rows() -> Rows {
        let (system, user) = processor_seconds();
        rows([
            ("used_cpu_sys", &format!("{system:.6}")),
            ("used_cpu_user", &format!("{user:.6}")),
            ("used_cpu_sys_children", &"0.000000"),
            ("used_cpu_user_children", &"0.000000"),
        ])
    }

    fn command_rows(&self) -> Rows {
        let of = |CommandCounts { name, calls, rejected, time, .. }| {
            let each = time as f64 / u64::max(calls, 1) as f64;
            let counts =
                format!("calls={calls},usec={time},usec_per_call={each:.2},rejected_calls={rejected}");
            (format!("cmdstat_{name}").into(), counts)
        };
        by_command(self.requests()).into_iter().map(of).collect()
    }

    fn error_rows(&self) -> Rows {
        let of = |(code, count)| (format!("errorstat_{code}").into(), format!("count={count}"));
        by_error(self.requests()).into_iter().map(of).collect()
    }

    /// What no Redis has.
    fn node_rows(&self) -> Rows {
        let boot = self.membership.directory.identity().boot;
        let not_ready = self.not_ready();
        let (accepted, promised) = self.disk.acceptors.counts();
        let configuration = self.membership.configuration();
        // Those to come, too, while the members change.
        let members: Vec<String> =
            configuration.everybody().iter().map(|member| member.id.to_string()).collect();
        let is_up = |id| self.membership.admission.is_up(id);
        let state = |id| format!("{id}={}", if is_up(id) { "up" } else { "down" });
        let peers: Vec<String> = self.peers().map(state).collect();
        rows([
            ("node_id", &self.membership.own.id),
            ("boot", &boot),
            ("cluster", &configuration.text()),
            ("epoch", &configuration.epoch()),
            ("stage", &configuration.stage.name()),
            ("members", &members.join(",")),
            ("admitted", &u8::from(self.membership.admission.is_admitted())),
            ("ready", &u8::from(not_ready.is_none())),
            ("not_ready_because", &not_ready.map_or_else(String::new, |why| why.to_string())),
            ("writable", &u8::from(self.disk.committer.writable())),
            ("updates_accepted", &accepted),
            ("updates_promised", &promised),
            ("flush_running", &u8::from(self.flushing.is_running())),
            ("flush_deleted_keys", &self.flushing.deleted()),
            ("flush_last_error", &self.flushing.last_error()),
            ("keys_estimate", &self.disk.store.versions.keys_estimate()),
            ("timestamps", &self.settings.timestamps_name()),
            ("multi_keys", &self.settings.policy.multi_keys.name()),
            ("clock", &self.clock.text()),
            ("peers", &peers.join(",")),
            ("repair", &self.repair_text()),
        ])
    }

    fn keyspace_rows(&self) -> Rows {
        // About: whoever reads this section expects the field by this name.
        match self.disk.store.versions.keys_estimate() {
            0 => Vec::new(),
            keys => rows([("db0", &format!("keys={keys},expires=0,avg_ttl=0"))]),
        }
    }

    /// Those sections of `INFO` that are wanted by their names in lower case.
    pub(super) fn info(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut put = |name: &'static str, rows: &dyn Fn() -> Rows| {
            if wanted(&name.to_ascii_lowercase()) {
                sections.push(Section { name, rows: rows() });
            }
        };
        put("Server", &|| self.server_rows());
        put("Clients", &|| self.client_rows());
        put("Memory", &|| self.memory_rows());
        put("Persistence", &|| self.persistence_rows());
        put("Stats", &|| self.stats_rows());
        put("Replication", &Self::replication_rows);
        put("CPU", &Self::processor_rows);
        put("Modules", &Vec::new);
        put("Commandstats", &|| self.command_rows());
        put("Errorstats", &|| self.error_rows());
        put("Cluster", &|| rows([("cluster_enabled", &"0")]));
        put("Node", &|| self.node_rows());
        put("Keyspace", &|| self.keyspace_rows());
        sections
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = &Counts> + Clone {
        self.stats.loops.iter().map(|stats| &stats.requests)
    }
}
