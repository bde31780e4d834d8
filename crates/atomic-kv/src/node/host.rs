//! The node as the commands of clients see it.

use super::info::uptime;
use super::now_instant;
use super::shard::Shard;
use ::node::change::Driver;
use ::node::client::patience;
use ::node::clock::{Clock, Moments};
use ::node::configuration::Configuration;
use ::node::inquiry::notes::Notes;
use ::node::resp::{
    CommandCounts, Counts, Host, Listed, Names, Policy, Response, Section, SlowRequests, by_command,
};
use ::node::topology::Topology;
use abd::Instant;
use bytes::Bytes;
use std::fmt::Display;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

impl Clock for Shard {
    fn moments(&self) -> Moments {
        self.clock.moments()
    }
}

impl Host for Shard {
    fn info(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Section> {
        self.report.info(wanted)
    }

    fn config(&self) -> Vec<(String, String)> {
        let settings = &self.settings;
        // As Redis says it: no hard limit, but one for so many seconds; and no other kind of client.
        let (output, seconds) = (settings.client_output_limit, patience::UNREAD.as_secs());
        let output = format!("normal 0 {output} {seconds} slave 0 0 0 pubsub 0 0 0");
        let rows: [(&str, &dyn Display); _] = [
            ("save", &""),
            ("appendonly", &"yes"),
            ("appendfsync", &"always"),
            ("maxmemory", &"0"),
            ("maxmemory-policy", &"noeviction"),
            ("databases", &"1"),
            ("timeout", &"0"),
            ("tcp-keepalive", &super::sockets::KEEPALIVE.as_secs()),
            ("maxclients", &self.all_clients.limit),
            ("notify-keyspace-events", &""),
            ("maxmemory-clients", &settings.clients_memory),
            ("client-output-buffer-limit", &output),
            ("proto-max-bulk-len", &settings.max_value_bytes),
            ("enable-debug-command", &settings.policy.debug_command.name()),
        ];
        let mut all: Vec<_> = rows.map(|(name, value)| (name.to_owned(), value.to_string())).into();
        Host::slow(self, &mut |slow| {
            all.extend(slow.parameters().map(|(name, value)| (name.to_owned(), value.to_string())));
        });
        all
    }

    fn change(&self, look: &mut dyn FnMut(&Driver, Instant)) {
        look(&self.changes.driver(), now_instant());
    }

    fn meet_configuration(&self, configuration: &Configuration) {
        // The machine is in the middle of something: it is told as if a peer had.
        self.membership.learn_configuration(configuration.clone());
    }

    fn policy(&self) -> Policy {
        self.settings.policy
    }

    fn key_near(&self, number: u64) -> Option<Bytes> {
        self.disk.store.versions.key_near(number).ok().flatten()
    }

    fn flush_in_background(&self) {
        self.report.flushing.ask();
    }

    fn count_flushed(&self, keys: usize) {
        self.report.flushing.count(keys);
    }

    fn slow(&self, look: &mut dyn FnMut(&mut SlowRequests)) {
        Self::slow(self).look(look);
    }

    fn slow_after(&self) -> Duration {
        Self::slow(self).threshold()
    }

    fn notes(&self, look: &mut dyn FnMut(&mut Notes)) {
        look(&mut self.report.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn check_script(&self, source: &[u8]) -> Result<(), Response> {
        script::check(source).map_err(Response::Error)
    }

    fn end_scripts(&self) -> bool {
        self.report.scripts.end_running()
    }

    fn give_memory_back(&self) {
        crate::memory::give_back();
    }

    fn uptime(&self) -> Duration {
        uptime()
    }

    fn clients(&self) -> Vec<(Arc<Listed>, Names)> {
        self.all_clients.connections.all()
    }

    fn rename(&self, id: u64, names: &Names) {
        self.all_clients.connections.rename(id, names);
    }

    fn kill(&self, id: u64) {
        self.all_clients.connections.end(id);
    }

    fn topology(&self) -> Topology {
        self.report.topology()
    }

    fn sentinel_master(&self) -> &str {
        &self.settings.sentinel_master
    }

    fn command_counts(&self) -> Vec<CommandCounts> {
        by_command(self.report.requests())
    }

    fn counts(&self) -> &Counts {
        &self.stats().requests
    }
}
