//! What an operator asks for, as the next configuration: with every reason not to begin. A change that was begun, or is through, is not
//! begun again: whoever does not know how his command ended repeats it.

use super::refusal::{Refusal, counted, list};
use super::view::{Ended, View};
use crate::configuration::{Configuration, LEVEL, Member, Stage};
use crate::endpoint::Endpoint;
use abd::NodeId;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A new node, at this peer address, takes the place of a member.
    Replace {
        /// Which member.
        old: NodeId,
        /// HOST:PORT.
        address: String,
    },
    /// New nodes come, and members go, as one change.
    Change {
        /// Peer addresses of those who come.
        add: Vec<String>,
        /// Those who go.
        remove: Vec<NodeId>,
        /// Whether an even number of members is meant.
        even: bool,
    },
    /// A member has another peer address from now on.
    Move {
        /// Which one.
        id: NodeId,
        /// HOST:PORT.
        address: String,
    },
    /// Back to the members as they were.
    Abort,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// This is to be proposed.
    Begin(Configuration),
    /// It is under way.
    UnderWay,
    /// It is through, or there is nothing to be done.
    Done,
}

/// The smallest majority of so many.
pub(super) fn majority(count: usize) -> usize {
    count / 2 + 1
}

/// What is to be done about a request.
///
/// # Errors
/// [`Refusal`]: the reason not to begin.
pub fn plan(view: &View, request: &Request) -> Result<Plan, Refusal> {
    match request {
        Request::Replace { old, address } => {
            let (add, remove) = (vec![address.clone()], vec![*old]);
            // As many as before, whatever that is.
            change(view, &add, &remove, true)
        }
        Request::Change { add, remove, even } => change(view, add, remove, *even),
        Request::Move { id, address } => relocate(view, *id, address),
        Request::Abort => match &view.configuration.stage {
            // Whoever repeats his command is told the same; whoever comes too late is not told that it is done.
            Stage::Stable if view.ended() == Some(Ended::Through) => Err(through(&view.configuration)),
            Stage::Stable => Ok(Plan::Done),
            Stage::Awaiting(_) | Stage::Joint { .. } => {
                let mut back = successor(view)?;
                back.stage = Stage::Stable;
                Ok(Plan::Begin(back))
            }
        },
    }
}

/// Whether a change that was to be given up may still be: `found` is the configuration that is in force meanwhile.
///
/// # Errors
/// [`Refusal`]: it is through, or was given up and another one is under way.
pub fn check_given_up(change: &Configuration, found: &Configuration) -> Result<(), Refusal> {
    if ids(&found.members) != ids(&change.members) || is_healed(change, found) {
        return Err(through(found));
    }
    match (found.next(), change.next()) {
        (Some(other), Some(next)) if ids(other) != ids(next) => Err(under_way(found)),
        _ => Ok(()),
    }
}

fn through(found: &Configuration) -> Refusal {
    Refusal::Through { epoch: found.epoch(), members: list(ids(&found.members)) }
}

/// Whether a member has the directory that it was to have.
fn is_healed(change: &Configuration, found: &Configuration) -> bool {
    let had = |member: &&Member| !change.members.contains(member);
    let heals =
        change.next().into_iter().flatten().filter(|one| change.members.iter().any(|old| old.id == one.id));
    heals.filter(had).any(|member| found.members.contains(member))
}

/// The nodes that a request brings, or has brought, with the ids that they have: they are to be started.
pub fn newcomers<'a>(configuration: &'a Configuration, request: &Request) -> Vec<&'a Member> {
    let addresses = match request {
        Request::Replace { address, .. } => core::slice::from_ref(address),
        Request::Change { add, .. } => add,
        Request::Move { .. } | Request::Abort => &[],
    };
    let coming = configuration.next().unwrap_or(&configuration.members);
    coming.iter().filter(|member| addresses.contains(&member.address)).collect()
}

fn ids(members: &[Member]) -> Vec<NodeId> {
    members.iter().map(|member| member.id).collect()
}

fn change(view: &View, add: &[String], remove: &[NodeId], even: bool) -> Result<Plan, Refusal> {
    let configuration = &view.configuration;
    let members = &configuration.members;
    check_words(add, remove)?;
    if let Some(next) = configuration.next() {
        let comes = |member: &&Member| !members.iter().any(|other| other.id == member.id);
        let goes = |member: &&Member| !next.iter().any(|other| other.id == member.id);
        let coming: Vec<&String> = next.iter().filter(comes).map(|member| &member.address).collect();
        let going: Vec<NodeId> = members.iter().filter(goes).map(|member| member.id).collect();
        let is_same = are_equal(&coming, &add.iter().collect::<Vec<_>>()) && are_equal(&going, remove);
        return if is_same { Ok(Plan::UnderWay) } else { Err(under_way(configuration)) };
    }
    let is_member = |id: &NodeId| members.iter().any(|member| member.id == *id);
    let has_been = |id: &NodeId| !is_member(id) && (1..configuration.next_id).contains(&id.0);
    let owner = |address: &String| members.iter().find(|member| member.address == *address);
    if remove.iter().all(has_been) && add.iter().all(|address| owner(address).is_some()) {
        return Ok(Plan::Done);
    }
    if let Some(id) = remove.iter().find(|id| !is_member(id)) {
        return Err(Refusal::UnknownNode { id: *id, members: list(ids(members)) });
    }
    // Who goes gives his address away: a machine whose disk is lost may be used again.
    let stays = |owner: &&Member| !remove.contains(&owner.id);
    if let Some(owner) = add.iter().filter_map(owner).find(stays) {
        return Err(Refusal::AddressInUse { address: owner.address.clone(), id: owner.id });
    }
    let mut to = begun(view, remove)?;
    let (leaving, mut next): (Vec<Member>, Vec<Member>) =
        to.members.iter().cloned().partition(|member| remove.contains(&member.id));
    assert!(leaving.len() == remove.len(), "each of those who go is a member, and is named once");
    for address in add {
        next.push(Member { id: NodeId(to.next_id), directory: None, address: address.clone() });
        to.next_id = to.next_id.checked_add(1).ok_or(Refusal::UsedUp("ids of nodes"))?;
    }
    if !(1..=abd::quorum::MEMBERS_MAX).contains(&next.len()) {
        return Err(Refusal::Count(next.len()));
    }
    if next.len().is_multiple_of(2) && !even {
        return Err(Refusal::Even(next.len()));
    }
    check_live_afterwards(view, &next)?;
    to.stage = if add.is_empty() { Stage::Joint { next, lost: vec![] } } else { Stage::Awaiting(next) };
    Ok(Plan::Begin(to))
}

fn relocate(view: &View, id: NodeId, address: &String) -> Result<Plan, Refusal> {
    let configuration = &view.configuration;
    check_words(core::slice::from_ref(address), &[])?;
    if configuration.next().is_some() {
        return Err(under_way(configuration));
    }
    let members = &configuration.members;
    let Some(place) = members.iter().position(|member| member.id == id) else {
        return Err(Refusal::UnknownNode { id, members: list(ids(members)) });
    };
    if members[place].address == *address {
        return Ok(Plan::Done);
    }
    if let Some(owner) = members.iter().find(|member| member.address == *address) {
        return Err(Refusal::AddressInUse { address: address.clone(), id: owner.id });
    }
    let mut to = begun(view, &[])?;
    to.members[place].address.clone_from(address);
    Ok(Plan::Begin(to))
}

/// Addresses are such, and nothing is said twice.
fn check_words(add: &[String], remove: &[NodeId]) -> Result<(), Refusal> {
    if add.is_empty() && remove.is_empty() {
        return Err(Refusal::Nothing);
    }
    if let Some(address) = add.iter().find(|address| Endpoint::parse(address).is_none()) {
        return Err(Refusal::NoAddress(address.clone()));
    }
    if let Some((_, address)) =
        add.iter().enumerate().find(|(place, address)| add[..*place].contains(address))
    {
        return Err(Refusal::Twice(address.clone()));
    }
    match remove.iter().enumerate().find(|(place, id)| remove[..*place].contains(id)) {
        Some((_, id)) => Err(Refusal::Twice(format!("node {id}"))),
        None => Ok(()),
    }
}

fn are_equal<T: Ord + Clone>(one: &[T], other: &[T]) -> bool {
    let sorted = |list: &[T]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    sorted(one) == sorted(other)
}

fn under_way(configuration: &Configuration) -> Refusal {
    if let Some(id) = configuration.heals() {
        return Refusal::Healing { id, epoch: configuration.epoch() };
    }
    Refusal::UnderWay {
        epoch: configuration.epoch(),
        stage: configuration.stage.name(),
        from: list(ids(&configuration.members)),
        to: list(ids(configuration.next().unwrap_or_default())),
    }
}

fn successor(view: &View) -> Result<Configuration, Refusal> {
    view.configuration.successor().map_err(|_| Refusal::UsedUp("epochs"))
}

/// The successor of a stable configuration, once everybody is known who votes in it: with his directory (M1), and with a release that
/// can take part. Those who leave need not answer.
pub(super) fn begun(view: &View, leaving: &[NodeId]) -> Result<Configuration, Refusal> {
    let members = &view.configuration.members;
    let up: Vec<NodeId> = ids(members).into_iter().filter(|id| view.is_up(*id)).collect();
    let (count, needed) = (members.len(), majority(members.len()));
    if up.len() < needed {
        return Err(Refusal::NoMajority { members: list(ids(members)), who: counted(&up), needed, count });
    }
    let mut to = successor(view)?;
    if to.level < LEVEL {
        for id in ids(members) {
            match view.seen(id).and_then(|seen| seen.level) {
                Some(LEVEL..) => {}
                Some(_) => return Err(Refusal::Level(id)),
                None if leaving.contains(&id) && !view.is_up(id) => {}
                None if view.is_up(id) => return Err(Refusal::LevelUntold(id)),
                None => return Err(Refusal::LevelUnknown(id)),
            }
        }
        to.level = LEVEL;
    }
    to.members = view.with_directories(members);
    match to.members.iter().find(|member| member.directory.is_none()) {
        Some(unknown) => Err(Refusal::DirectoryUnknown(unknown.id)),
        None => Ok(to),
    }
}

/// Whether the new members can decide anything, those to come counted as if they had come: the change waits for them.
fn check_live_afterwards(view: &View, next: &[Member]) -> Result<(), Refusal> {
    let is_new = |member: &&Member| !view.configuration.members.iter().any(|other| other.id == member.id);
    let (coming, staying): (Vec<&Member>, Vec<&Member>) = next.iter().partition(is_new);
    let up: Vec<NodeId> = staying.iter().map(|member| member.id).filter(|id| view.is_up(*id)).collect();
    let (live, needed) = (up.len() + coming.len(), majority(next.len()));
    if live >= needed {
        return Ok(());
    }
    let mut sum = counted(&up);
    if !coming.is_empty() {
        let coming: Vec<NodeId> = coming.iter().map(|member| member.id).collect();
        sum = format!("{sum} + {} to come", counted(&coming));
    }
    let members = list(ids(next)).to_string();
    Err(Refusal::NoMajorityAfterwards { members, sum: format!("{sum} = {live} of {}", next.len()), needed })
}
