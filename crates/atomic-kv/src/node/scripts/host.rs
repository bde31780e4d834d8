//! The node as the commands of a script see it.

use super::Around;
use crate::node::info;
use ::node::clock::{Clock, Moments};
use ::node::inquiry::notes::Notes;
use ::node::resp::{CommandCounts, Counts, Host, Listed, Names, Policy, Response, Section, SlowRequests};
use ::node::topology::Topology;
use bytes::Bytes;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The node around the commands of a script. It is always the same moment there.
pub(super) struct ScriptHost {
    pub(super) around: Around,
    pub(super) moments: Moments,
}

impl Clock for ScriptHost {
    fn moments(&self) -> Moments {
        self.moments
    }
}

impl Host for ScriptHost {
    fn info(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Section> {
        self.around.report.info(wanted)
    }

    fn config(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn policy(&self) -> Policy {
        self.around.report.settings.policy
    }

    fn slow(&self, look: &mut dyn FnMut(&mut SlowRequests)) {
        self.around.report.stats.slow.look(look);
    }

    fn slow_after(&self) -> Duration {
        self.around.report.stats.slow.threshold()
    }

    fn notes(&self, look: &mut dyn FnMut(&mut Notes)) {
        look(&mut self.around.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn check_script(&self, source: &[u8]) -> Result<(), Response> {
        script::check(source).map_err(Response::Error)
    }

    fn end_scripts(&self) -> bool {
        false
    }

    fn give_memory_back(&self) {}

    fn uptime(&self) -> Duration {
        info::uptime()
    }

    fn clients(&self) -> Vec<(Arc<Listed>, Names)> {
        Vec::new()
    }

    fn rename(&self, _: u64, _: &Names) {}

    fn kill(&self, _: u64) {}

    fn topology(&self) -> Topology {
        self.around.report.topology()
    }

    fn sentinel_master(&self) -> &str {
        &self.around.report.settings.sentinel_master
    }

    // What asks all nodes is not for scripts.
    fn key_near(&self, _: u64) -> Option<Bytes> {
        None
    }

    fn flush_in_background(&self) {}

    fn count_flushed(&self, _: usize) {}

    fn command_counts(&self) -> Vec<CommandCounts> {
        Vec::new()
    }

    fn counts(&self) -> &Counts {
        &self.around.counts
    }
}
