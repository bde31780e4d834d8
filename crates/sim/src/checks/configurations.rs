//! Rule C2: a configuration has one successor, and that is one which may follow it. Rule M1: whoever it does not name has no vote.

use super::Conviction;
use abd::{NodeId, NodeSet};
use node::configuration::{Configuration, DirectoryId};
use std::collections::BTreeMap;

/// Every configuration that a node has installed.
#[derive(Debug)]
pub struct Configurations {
    by_epoch: BTreeMap<u32, Configuration>,
}

impl Configurations {
    /// The cluster begins with this one.
    pub fn new(first: Configuration) -> Self {
        Self { by_epoch: BTreeMap::from([(first.epoch(), first)]) }
    }

    /// That with which the cluster began.
    pub fn first(&self) -> &Configuration {
        let first = self.by_epoch.first_key_value();
        first.map_or_else(|| unreachable!("there is a first one"), |(_, first)| first)
    }

    /// The newest that anybody has installed.
    pub fn newest(&self) -> &Configuration {
        let newest = self.by_epoch.last_key_value();
        newest.map_or_else(|| unreachable!("there is a first one"), |(_, newest)| newest)
    }

    /// That of an epoch.
    pub fn at(&self, epoch: u32) -> Option<&Configuration> {
        self.by_epoch.get(&epoch)
    }

    /// A node installs a configuration.
    ///
    /// # Errors
    /// When another one has the same epoch, or when it does not follow the one before.
    pub fn installed(&mut self, node: u32, configuration: &Configuration) -> Result<(), Conviction> {
        let epoch = configuration.epoch();
        let known = self.by_epoch.entry(epoch).or_insert_with(|| configuration.clone());
        if known != configuration {
            let (n, one, other) = (node + 1, text(known), text(configuration));
            let text = format!("epoch {epoch} is {one}, and n{n} installs {other}");
            return Err(Conviction::new("a configuration has one successor", text));
        }
        let before = epoch.checked_sub(1).and_then(|before| self.by_epoch.get(&before));
        let fits = before.map_or(Ok(()), |before| before.check_successor(configuration));
        fits.map_err(|why| {
            Conviction::new("a configuration follows the one before", format!("epoch {epoch}: {why}"))
        })
    }

    /// An answer of a replica is counted in an epoch.
    ///
    /// # Errors
    /// When that configuration does not name the pair of its node and its directory.
    pub fn voted(&self, epoch: u32, id: NodeId, directory: DirectoryId) -> Result<(), Conviction> {
        let Some(configuration) = self.at(epoch) else { return Ok(()) };
        if configuration.is_voter(id, directory) {
            return Ok(());
        }
        let text = format!(
            "n{id} answers in epoch {epoch}, {}, which does not name its directory",
            text(configuration)
        );
        Err(Conviction::new("nobody votes who is not named", text))
    }

    /// Whether holders suffice in one of these epochs. `holders` are pairs of nodes and directories.
    pub fn suffice(&self, epochs: std::ops::RangeInclusive<u32>, holders: &[(NodeId, DirectoryId)]) -> bool {
        self.by_epoch.range(epochs).any(|(_, configuration)| {
            let voters = holders.iter().filter(|(id, directory)| configuration.is_voter(*id, *directory));
            let voters: NodeSet = voters.map(|(id, _)| *id).collect();
            configuration.quorums().is_quorum(voters)
        })
    }
}

/// A configuration for people.
pub fn text(configuration: &Configuration) -> String {
    let ids = |members: &[node::configuration::Member]| {
        members.iter().map(|member| member.id.to_string()).collect::<Vec<_>>().join(",")
    };
    let members = ids(&configuration.members);
    match configuration.next() {
        Some(next) => format!("{} {{{members}}} {{{}}}", configuration.stage.name(), ids(next)),
        None => format!("{} {{{members}}}", configuration.stage.name()),
    }
}
