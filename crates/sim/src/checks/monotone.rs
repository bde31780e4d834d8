//! Rule S1 and S2: a replica that reported a version as durable never reports an older one, and still has it, or a
//! newer one, after any restart.

use super::Conviction;
use abd::{NodeId, Version};
use bytes::Bytes;
use node::configuration::DirectoryId;
use std::collections::BTreeMap;

/// What every replica has promised.
#[derive(Debug)]
pub struct Monotone {
    promised: Vec<Promised>,
    /// What nodes had promised under directory ids that are theirs no more.
    former: Vec<(NodeId, DirectoryId, Promised)>,
}

/// By key: the newest version.
type Promised = BTreeMap<Bytes, Version>;

impl Monotone {
    /// Nobody has promised anything.
    pub fn new(nodes: u32) -> Self {
        Self { promised: (0..nodes).map(|_| BTreeMap::new()).collect(), former: Vec::new() }
    }

    /// A reply says that this version, or a newer one, is durable at the node.
    pub fn promises(&mut self, node: u32, key: &[u8], version: Version) {
        let promised = &mut self.promised[node as usize];
        match promised.get_mut(key) {
            Some(known) => *known = version.max(*known),
            None => {
                promised.insert(Bytes::copy_from_slice(key), version);
            }
        }
    }

    /// What the node has promised it has promised as the directory with this id, and not as what it is from now on.
    pub fn part(&mut self, node: u32, directory: DirectoryId) {
        let promised = std::mem::take(&mut self.promised[node as usize]);
        self.former.push((NodeId(node + 1), directory, promised));
    }

    /// Who has promised a version or a newer one under an id that is his no more.
    pub fn former(&self, key: &[u8], version: Version) -> impl Iterator<Item = (NodeId, DirectoryId)> {
        let has = move |promised: &Promised| promised.get(key).is_some_and(|known| *known >= version);
        let holders = self.former.iter().filter(move |(.., promised)| has(promised));
        holders.map(|(id, directory, _)| (*id, *directory))
    }

    /// The node reports this as its newest version.
    pub fn reports(&self, node: u32, key: &[u8], version: Version) -> Result<(), Conviction> {
        let promised = self.promised(node, key);
        if version >= promised {
            return Ok(());
        }
        let text = format!("n{} reports {version} after it has reported {promised}", node + 1);
        Err(Conviction::new("a replica never goes back", text))
    }

    /// The node has started again: everything that it promised is still there.
    pub fn restarted<E>(
        &self,
        node: u32,
        mut newest: impl FnMut(&Bytes) -> Result<Version, E>,
    ) -> Result<(), Conviction> {
        for (key, promised) in &self.promised[node as usize] {
            let Ok(found) = newest(key) else { continue };
            if found < *promised {
                let key = key.escape_ascii();
                let text = format!(
                    "n{} acknowledged version {promised} of key \"{key}\"; after its restart it has {found}",
                    node + 1
                );
                return Err(Conviction::new("what was acknowledged survives a restart", text));
            }
        }
        Ok(())
    }

    /// What the node has promised for a key.
    pub fn promised(&self, node: u32, key: &[u8]) -> Version {
        self.promised[node as usize].get(key).copied().unwrap_or(Version::MIN)
    }
}
