//! What a directory knows of the configuration: the newest that its node has installed, whether that names it (M1), and whom the
//! node may meet then.
//!
//! Anybody may connect to a peer port and tell of a configuration. It is believed from a member that shows that it is the one
//! that was met before; from one that was never met, as everything is (see [`crate::introduction`]); and from whoever tells one
//! that names this very directory, whose id only those know who have met it. In other words: a stranger cannot make a node believe
//! that it is no member any more.

use super::Identity;
use crate::acquaintances::PeerRefusal;
use crate::configuration::{Configuration, DirectoryId, Member, disguise};
use crate::introduction::Introduction;
use crate::nonce::{Challenges, Tag};
use abd::NodeId;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;

impl Identity {
    /// The newest configuration that this node has installed, if the directory says one: those of an earlier release do not.
    pub fn configuration(&self) -> Option<&Configuration> {
        self.configuration.as_ref()
    }

    /// The same, once it is another than the first, in which directories are for the members to confirm.
    pub fn changed(&self) -> Option<&Configuration> {
        self.configuration().filter(|configuration| !configuration.is_first())
    }

    /// Its epoch.
    pub fn epoch(&self) -> u32 {
        self.configuration().map_or(1, Configuration::epoch)
    }

    /// Takes a configuration, if it is newer than what is known; whether it is. Whom it does not name is forgotten, and a healing
    /// node is the pair that it has become.
    pub fn install(&mut self, configuration: Configuration) -> bool {
        if self.configuration.as_ref().is_some_and(|known| known.epoch() >= configuration.epoch()) {
            return false;
        }
        self.become_member_of(&configuration);
        self.shown = None;
        self.expected.take_if(|expected| expected.epoch() <= configuration.epoch());
        self.members = configuration.members.iter().map(|member| member.id.0).collect();
        self.peers.keep(|node, disk| configuration.may_connect(NodeId(node), disk));
        self.configuration = Some(configuration);
        true
    }

    /// A configuration is about to be installed, if it is newer than what is known; whether it is. That is to be durable before anything is
    /// answered in it: whatever becomes of the database, the directory knows of every configuration that was served.
    pub fn expect(&mut self, configuration: Configuration) -> bool {
        let newest = self.expected.as_ref().map_or(self.epoch(), Configuration::epoch);
        let is_newer = configuration.epoch() > newest;
        if is_newer {
            self.expected = Some(configuration);
        }
        is_newer
    }

    /// At a start: what was expected may have been served, so it is installed.
    pub fn settle(&mut self) {
        if let Some(expected) = self.expected.take() {
            self.install(expected);
        }
    }

    /// The configuration that is about to be installed.
    pub fn expected(&self) -> Option<&Configuration> {
        self.expected.as_ref()
    }

    /// Whether a configuration names this node, with a directory id that it has, is about to have, or was about to have.
    pub fn is_named_by(&self, configuration: &Configuration) -> bool {
        self.ids().any(|directory| configuration.may_connect(NodeId(self.node), directory))
    }

    /// Whether this node votes, as far as its directory knows: every member has confirmed that in the first configuration; a later
    /// one names the pair.
    pub fn votes(&self) -> bool {
        match self.changed() {
            None => self.admitted && !self.is_gone,
            Some(configuration) => configuration.is_voter(NodeId(self.node), self.voting()),
        }
    }

    /// Since which epoch it is no member any more.
    pub fn retired(&self) -> Option<u32> {
        self.retired
    }

    /// It is no member any more, and never will be.
    pub fn retire(&mut self, epoch: u32) {
        self.retired.get_or_insert(epoch);
    }

    /// Meets a node in a handshake: `true` when it is new or has news, which must be durable before it is told that it was met. What
    /// configuration it tells is believed if this succeeds.
    ///
    /// # Errors
    /// Why it is not the node that this one remembers, or is none of this cluster. Nothing has changed then.
    pub fn meet(&mut self, peer: &Introduction, challenges: Challenges) -> Result<bool, PeerRefusal> {
        let told = self.news_of(peer)?;
        let (id, epoch) = (NodeId(peer.node), told.as_ref().map_or(self.epoch(), Configuration::epoch));
        if let Some(told) = &told
            && !self.is_of_this_cluster(peer, told)
        {
            return Err(PeerRefusal::Unknown { node: peer.node, epoch });
        }
        let newest = told.as_ref().or(self.changed());
        let is_named = match newest {
            None => self.members.contains(&peer.node),
            Some(newest) => newest.may_connect(id, peer.disk),
        };
        if !is_named {
            return Err(PeerRefusal::NotNamed { node: peer.node, epoch });
        }
        // Known with another directory than the one it is named with, or awaited and without a say so far: it is somebody new.
        let is_awaited = |newest: &Configuration| {
            newest.awaited().any(|awaited| awaited.id == id && awaited.directory.is_none())
        };
        if !newest.is_some_and(|newest| names(newest, id, peer.disk) || is_awaited(newest)) {
            return self.peers.meet(peer, self.node, challenges, &self.starts);
        }
        let mut peers = self.peers.clone();
        peers.keep(|node, disk| node != peer.node || disk == peer.disk);
        let news = peers.meet(peer, self.node, challenges, &self.starts)?;
        self.peers = peers;
        Ok(news)
    }

    /// The configuration that somebody tells, if it is newer than what is known here.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub(crate) fn news_of(&self, peer: &Introduction) -> Result<Option<Configuration>, PeerRefusal> {
        let told = peer.configuration.as_ref().map(Configuration::decode).transpose();
        let told = told.map_err(|why| PeerRefusal::Unreadable(peer.node, why.to_string()))?;
        Ok(told.filter(|told| told.epoch() > self.epoch()))
    }

    /// Whether a newer configuration may be that of this cluster, if whoever tells it proves who he is.
    fn is_of_this_cluster(&self, peer: &Introduction, told: &Configuration) -> bool {
        let is_member = |node| match self.changed() {
            None => self.members.contains(&node),
            Some(configuration) => configuration.may_connect(NodeId(node), peer.disk),
        };
        let proves = self.peers.directory_of(peer.node).is_none_or(|disk| disk == peer.disk);
        (is_member(peer.node) && proves) || self.ids().any(|own| names(told, NodeId(self.node), own))
    }

    /// Whether somebody may judge this node at all: as far as it knows, he belongs to its cluster.
    pub(crate) fn may_be_judged_by(&self, node: u32) -> bool {
        match self.configuration() {
            None => self.members.contains(&node),
            Some(configuration) => configuration.names(NodeId(node)),
        }
    }

    /// What shows to whoever has met this node that it is this one that tells him this configuration, which names him no more.
    pub(crate) fn vouch_for(&self, to: u32, challenges: Challenges, configuration: &[u8]) -> Vec<Tag> {
        self.tags(to, challenges, crate::nonce::Purpose::Retirement, configuration)
    }

    /// What the configuration says with which a node has refused this one, if it can be believed and says something new.
    pub(crate) fn refused_with(
        &self,
        from: u32,
        challenges: Challenges,
        disguised: &Bytes,
        tags: &[Tag],
    ) -> Option<RefusedWith> {
        let purpose = crate::nonce::Purpose::Retirement;
        let is_his = self.peers.believes(from, self.node, challenges, purpose, disguised, tags);
        let told = Configuration::decode(disguised).ok().filter(|_| is_his)?;
        let is_newer = told.epoch() > self.epoch();
        let is_named = |id: &DirectoryId| told.may_connect(NodeId(self.node), disguise(*id));
        if let Some(directory) = self.ids().find(is_named) {
            // With another id than it has shown: it was away when that was decided.
            return is_newer.then_some(RefusedWith::NewName { directory, epoch: told.epoch() });
        }
        let is_news = is_newer || self.changed().is_some_and(|known| known.disguised() == told);
        is_news.then_some(RefusedWith::Retirement(told))
    }
}

/// With what configuration a node was refused.
pub(crate) enum RefusedWith {
    /// It names this node by another directory id than was shown.
    NewName {
        /// Which.
        directory: DirectoryId,
        /// Of the configuration.
        epoch: u32,
    },
    /// It does not name this node.
    Retirement(Configuration),
}

/// Whether a configuration names a pair with its directory.
fn names(configuration: &Configuration, id: NodeId, directory: DirectoryId) -> bool {
    let sets = core::iter::once(configuration.members.as_slice()).chain(configuration.next());
    let is_it = |member: &Member| member.id == id && member.directory == Some(directory);
    configuration.may_connect(id, directory) && sets.flatten().any(is_it)
}

/// A configuration in a text file: its bytes in hexadecimal digits.
pub(super) mod as_text {
    use super::Configuration;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::fmt::Write as _;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(
        configuration: &Option<Configuration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = configuration.as_ref().map(Configuration::encoded).unwrap_or_default();
        let mut text = String::with_capacity(2 * bytes.len());
        // Writing to a string cannot fail.
        bytes.iter().for_each(|byte| _ = write!(text, "{byte:02x}"));
        serializer.serialize_str(&text)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Configuration>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.as_bytes().chunks(2).map(|pair| core::str::from_utf8(pair).unwrap_or_default());
        let bytes = digits.map(|pair| u8::from_str_radix(pair, 16)).collect::<Result<Vec<u8>, _>>();
        let bytes = bytes.map_err(|why| de::Error::custom(format!("a configuration: {why}")))?;
        Configuration::decode(&bytes.into()).map(Some).map_err(de::Error::custom)
    }
}
