//! What a node says of itself, and whom it talks to at all.

use crate::directory::Identity;
use crate::endpoint::Endpoint;
use crate::hello::{About, Hello, LaneId, Limits, Service, Versions, WITH_CONFIGURATIONS};
use crate::lanes::pair_count;
use abd::{Members, NodeId};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What a node says of itself to everybody, and what it wants to have in common with members.
#[derive(Clone, Debug)]
pub struct Own {
    /// Which member it is.
    pub id: NodeId,
    /// The members of its cluster.
    pub members: Members,
    /// The same with their addresses, as in [`About::cluster`].
    pub cluster: String,
    /// How timestamps are chosen.
    pub timestamps: String,
    /// What it lets others send.
    pub limits: Limits,
    /// How many event loops it has.
    pub loops: u16,
    /// Where clients reach it.
    pub endpoint: Option<Endpoint>,
    /// What it speaks.
    pub versions: Versions,
}

impl Own {
    /// Whether the other side belongs to the same cluster.
    ///
    /// In the first configuration it is one of the same members. Their addresses may differ, as they do while a changed one is made
    /// known to one node after the other; who is who is told by the data directories (M1). Once the members have been changed the
    /// introductions tell who is one.
    pub(super) fn check_cluster(
        &self,
        identity: &Identity,
        theirs: &About,
        version: u16,
    ) -> Result<(), String> {
        if theirs.timestamps != self.timestamps {
            let (theirs, ours) = (&theirs.timestamps, &self.timestamps);
            return Err(format!("its --timestamps is {theirs}, this node's is {ours}"));
        }
        if identity.changed().is_some() && version < WITH_CONFIGURATIONS {
            return Err(format!(
                "the members have been changed (epoch {}), which its release knows nothing of: it speaks version {version}, and \
                 version {WITH_CONFIGURATIONS} is needed",
                identity.epoch()
            ));
        }
        if identity.changed().is_some() || theirs.epoch.is_some() {
            return Ok(());
        }
        let id = |entry: &str| entry.split_once('=')?.0.trim().parse().map(NodeId).ok();
        let mut ids: Option<Vec<NodeId>> = theirs.cluster.split(',').map(id).collect();
        ids.iter_mut().for_each(|ids| ids.sort_unstable());
        if ids.as_deref() != Some(self.members.ids()) {
            let (theirs, ours) = (&theirs.cluster, &self.cluster);
            return Err(format!(
                "its --cluster is \"{theirs}\", this node's is \"{ours}\": the ids must be the same"
            ));
        }
        match theirs.member {
            Some(member) if !self.members.contains(NodeId(member)) => {
                Err(format!("node {member} is not in --cluster"))
            }
            _ => Ok(()),
        }
    }

    /// Who it is and which lane it opens, if it is for the Replica service; or why it may not come in.
    pub(super) fn check(
        &self,
        identity: &Identity,
        hello: &Hello,
        version: u16,
    ) -> Result<Option<(NodeId, LaneId)>, String> {
        let about = &hello.about;
        if let Some(member) = about.member {
            self.check_cluster(identity, about, version)?;
            if member == self.id.0 {
                return Err(format!("this is node {member}, too: two nodes have one id"));
            }
        }
        match (hello.service, about.member, hello.lane) {
            (Service::Coordinator | Service::Join, ..) => Ok(None),
            (Service::Replica, None, _) => Err("the Replica service is for members only".into()),
            (Service::Replica, Some(member), Some(lane))
                if lane.pair < pair_count(about.loops, self.loops) =>
            {
                Ok(Some((NodeId(member), lane)))
            }
            (Service::Replica, Some(_), _) => {
                Err("it does not say which lane it opens, or one that is not there".into())
            }
        }
    }
}
