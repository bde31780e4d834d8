//! Who a node is when it starts: what its directory says; at its first start what its settings say, or the cluster that it joins.

use super::peer;
use crate::config::{Settings, check_listed, parse_timestamps, required};
use crate::fatal::{self, Fatal};
use crate::identity::{DataDir, Found};
use ::node::configuration::{Configuration, text};
use ::node::directory::Identity;
use abd::NodeId;
use bytes::Bytes;

/// A node, and the newest configuration that it knows of. Settings that the directory knows better are as that says.
pub(super) fn identify(settings: &mut Settings, found: &Found) -> Result<(NodeId, Configuration), Fatal> {
    let Some(identity) = found.identity() else {
        let (id, configuration) =
            if settings.first.join.is_empty() { first(settings, None)? } else { peer::join(settings)? };
        if !settings.first.join.is_empty() {
            settings.timestamps = configuration.timestamps;
        }
        return Ok((id, configuration));
    };
    if settings.first.timestamps.is_none() && !identity.timestamps.is_empty() {
        settings.timestamps = parse_timestamps(&identity.timestamps)?;
    }
    let Some(configuration) = identity.configuration() else { return first(settings, Some(identity)) };
    let id = settings.first.node_id.map_or(NodeId(identity.node), NodeId);
    let known = configuration.text();
    let (known_at, listens) = (peer_address(id, configuration), settings.peer_listen.as_deref());
    if !settings.first.join.is_empty() && known_at != listens {
        tracing::warn!(
            listens,
            known_at,
            node = identity.node,
            "--join is read at the first start alone, and the data directory is that of a node that is known at another address; a new node \
             needs an empty directory"
        );
    }
    if let Some(given) = &settings.first.cluster {
        let given: Vec<String> = given.iter().map(|(id, address)| format!("{id}={address}")).collect();
        let given = given.join(",");
        if given != known {
            tracing::warn!(
                given,
                known,
                epoch = configuration.epoch(),
                "--cluster is read at the first start alone, and says something else than the data directory, which counts; for new \
                 addresses there is atomic-kv move, for other members add, remove and replace"
            );
        }
    }
    Ok((id, configuration.clone()))
}

/// What the settings say. `before`: what an earlier release has left, which had no configuration.
fn first(settings: &Settings, before: Option<&Identity>) -> Result<(NodeId, Configuration), Fatal> {
    let given = settings.first.node_id.or(before.map(|identity| identity.node));
    let node_id = required(given, "--node-id")?;
    let cluster = required(settings.first.cluster.clone(), "--cluster")?;
    check_listed(node_id, &cluster)?;
    let members = cluster.into_iter().map(|(id, address)| (NodeId(id), address));
    Ok((NodeId(node_id), Configuration::first(members, settings.timestamps)))
}

/// Where its peers reach a node.
pub(super) fn peer_address(id: NodeId, configuration: &Configuration) -> Option<&str> {
    configuration.everybody().into_iter().find(|member| member.id == id).map(|member| member.address.as_str())
}

/// Whether a configuration gives node `id` another address than the one before, and than that at which it listens: it is to be started
/// again there.
pub(super) fn new_address<'a>(
    id: NodeId,
    listens: &str,
    before: &Configuration,
    installed: &'a Configuration,
) -> Option<&'a str> {
    let address = peer_address(id, installed)?;
    (address != listens && peer_address(id, before) != Some(address)).then_some(address)
}

/// The newest configuration that the directory and the database know of, which the directory has from then on. `stored` is what the
/// database says.
///
/// # Errors
/// Exit code 4 when this node is no member any more, 2 when timestamps are to be chosen in another way than by the members, 1 when the database cannot be understood or the disk fails.
pub(super) fn newest(
    settings: &Settings,
    directory: &DataDir,
    stored: Option<Bytes>,
) -> Result<Configuration, Fatal> {
    let failed =
        |why: &dyn std::fmt::Display| Fatal::runtime(format!("the configuration in the database: {why}"));
    if let Some(stored) = stored {
        let stored = Configuration::decode(&stored).map_err(|why| failed(&why))?;
        directory.install(&stored).map_err(|why| failed(&why))?;
    }
    let (mut configuration, is_named) = {
        let identity = directory.identity();
        let known = identity.configuration().cloned();
        let known = known.ok_or_else(|| failed(&"there is none"))?;
        let is_named = identity.is_named_by(&known);
        (known, is_named)
    };
    if !is_named {
        return Err(retired(directory, &configuration));
    }
    if configuration.is_first() {
        // All nodes are started anew for another mode (PROTOCOL 3.7).
        configuration.timestamps = settings.timestamps;
    } else if configuration.timestamps != settings.timestamps {
        return Err(Fatal::usage(format!(
            "--timestamps {} is not how the members choose timestamps, and since they were changed (epoch {}) that stays as it is; leave \
             it out",
            settings.timestamps_name(),
            configuration.epoch()
        )));
    }
    Ok(configuration)
}

/// This node is no member any more: marks its directory, and says so.
pub(super) fn retired(directory: &DataDir, configuration: &Configuration) -> Fatal {
    let epoch = configuration.epoch();
    if let Err(why) = directory.retire(epoch) {
        tracing::warn!(%why, "cannot mark the data directory as that of a node that is no member any more");
    }
    tracing::info!(epoch, members = text(&configuration.members), "this node is no member any more");
    fatal::retired(directory.identity().node, epoch, directory.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::TimestampMode;

    #[test]
    fn a_node_whose_address_is_changed_is_to_be_started_there() {
        let at = |address: &str| {
            let members = [(NodeId(1), address.to_owned()), (NodeId(2), "b:1".to_owned())];
            Configuration::first(members, TimestampMode::Logical)
        };
        let moved = at("c:1");
        assert_eq!(new_address(NodeId(1), "a:1", &at("a:1"), &moved), Some("c:1"));
        assert_eq!(new_address(NodeId(1), "c:1", &at("a:1"), &moved), None, "it listens there already");
        assert_eq!(new_address(NodeId(2), "0.0.0.0:1", &at("a:1"), &moved), None, "its own is the same");
        assert_eq!(new_address(NodeId(3), "c:1", &at("a:1"), &moved), None, "it is no member");
    }
}
