//! Changes of the members: operators ask for them, machines come to be nodes, and nodes install what was decided. What is decided, and by
//! whom, is the node's own driver's affair ([`node::change`]).

use super::directories::{new_identity, random};
use super::node::Node;
use super::running::About;
use super::{Back, Event, To, World};
use crate::plan::Wish;
use crate::time::MS;
use crate::trace::What;
use ::node::change::plan::{Plan as Planned, Request, plan};
use ::node::change::{Decision, Proposal};
use ::node::client::operations::Operations;
use ::node::configuration::{Configuration, DirectoryId, Stage};
use ::node::peer::greeting::{Greeting, Host};
use ::node::peer::joining::{self, Answer};
use abd::{Instant, NodeId};
use bytes::Bytes;

/// Most nodes of a run, those that are no members any more with them.
pub(crate) const PLACES: u32 = 32;
/// A machine that nobody awaits yet asks again after this.
const ASK_AGAIN_AFTER: u64 = 300 * MS;

/// A machine that is to become a node.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The fault that brought it.
    fault: usize,
    address: String,
    has_started: bool,
}

impl Node {
    /// By which directories it knows the nodes that its configuration names.
    pub(super) fn known_directories(&self) -> Vec<(NodeId, DirectoryId)> {
        let named = self.identity.configuration().map_or_else(Vec::new, Configuration::everybody);
        let named = named.iter().map(|member| member.id.0).chain(self.identity.members.iter().copied());
        named.filter_map(|id| Some((NodeId(id), self.identity.peers.directory_of(id)?))).collect()
    }
}

impl World {
    /// How many nodes there are, or were.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// An operator asks a node to change the members.
    pub(crate) fn ask_for_change(&mut self, fault: usize, node: u32, wish: Wish) {
        if matches!(wish, Wish::Shrink(_)) {
            if !self.may_shrink() {
                return;
            }
            self.shrinks = true;
        }
        let Some((process, now)) = self.enter(node, About::Other) else { return };
        let view = process.around().driver.borrow().view().clone();
        let configuration = &view.configuration;
        if configuration.next_id + 2 > PLACES {
            return;
        }
        let machine = |letter: char| format!("m{fault}{letter}:1");
        let request = match wish {
            Wish::Replace(old) => Request::Replace { old: NodeId(old + 1), address: machine('a') },
            Wish::Grow => {
                Request::Change { add: vec![machine('a'), machine('b')], remove: Vec::new(), even: false }
            }
            Wish::Shrink(first) => {
                let place = configuration.members.iter().position(|member| member.id.0 > first);
                let place = place.unwrap_or(0);
                let count = configuration.members.len();
                let remove = [place, place + 1].map(|place| configuration.members[place % count].id);
                Request::Change { add: Vec::new(), remove: remove.to_vec(), even: false }
            }
            Wish::Move(moved) => {
                Request::Move { id: NodeId(moved + 1), address: format!("n{}:{}", moved + 1, fault + 2) }
            }
            Wish::Abort => Request::Abort,
        };
        let to = match plan(&view, &request) {
            Ok(Planned::Begin(to)) => to,
            Ok(Planned::UnderWay | Planned::Done) => return,
            Err(why) => {
                let text = why.to_string();
                return self.trace.record(self.now, || What::Members { node, text });
            }
        };
        let proposal = Proposal { from: view.configuration.clone(), to };
        let (operation, around) = (proposal.operation(), process.desk.around.clone());
        if around.lies.decides_alone {
            // The mutant of this name.
            around.decided.borrow_mut().push(Decision::Done(proposal.to.clone()));
        }
        let back = Back {
            operation: usize::MAX,
            key: operation.key().clone(),
            around,
            to: To::Operator(Box::new(proposal)),
            deletes: false,
        };
        if !process.desk.may_begin() {
            return;
        }
        let deadline = now.instant + process.desk.op_timeout;
        // What is refused at once is not asked for again.
        let _ = process.desk.shard.get_mut().submit(operation, deadline, now.instant, back);
        let letters: &[char] = match wish {
            Wish::Replace(_) => &['a'],
            Wish::Grow => &['a', 'b'],
            Wish::Shrink(_) | Wish::Move(_) | Wish::Abort => &[],
        };
        let machines =
            letters.iter().map(|letter| Machine { fault, address: machine(*letter), has_started: false });
        self.machines.extend(machines);
        self.follow_up(node);
    }

    /// Operators do not remove members while those who would be left have no majority that is whole.
    fn may_shrink(&self) -> bool {
        let members = &self.configurations.newest().members;
        let gone = members.iter().filter(|member| self.nodes[member.id.0 as usize - 1].is_gone()).count();
        let left = members.len().saturating_sub(2);
        left > 0 && gone + left / 2 < left
    }

    /// The machines that a fault brought start, or all.
    pub(crate) fn start_machines(&mut self, of: Option<usize>) {
        for machine in &mut self.machines {
            if of.is_none_or(|fault| machine.fault == fault) && !machine.has_started {
                machine.has_started = true;
                self.queue.push(self.now, Event::Join { address: machine.address.clone() });
            }
        }
    }

    /// A machine asks some member which node it is, until one says so.
    pub(super) fn join(&mut self, address: String) {
        let up: Vec<u32> = (0u32..)
            .zip(&self.nodes)
            .filter(|(_, state)| state.process.is_some() && !state.paused)
            .map(|(node, _)| node)
            .collect();
        let answer = (!up.is_empty()).then(|| {
            let asked = *self.rng.pick(&up);
            let nonce = random(&mut self.rng);
            let state = &self.nodes[asked as usize];
            let host = Host { own: &state.own, identity: &state.identity, sequence: state.sequence() };
            let step = Greeting::accept(nonce).0.handle_frame(joining::question(&address), host);
            step.send.and_then(|said: Bytes| joining::answer(said, &address).ok())
        });
        match answer.flatten() {
            Some(Answer::Awaited(id, configuration)) => self.come(id, configuration, address),
            Some(Answer::Nobody { .. }) | None => {
                self.queue.push(self.now + ASK_AGAIN_AFTER, Event::Join { address });
            }
        }
    }

    /// A machine has become a node.
    fn come(&mut self, id: NodeId, configuration: Configuration, address: String) {
        self.make_places(&configuration);
        let node = id.0 - 1;
        if self.nodes[node as usize].exists {
            return;
        }
        let mut identity = new_identity(&mut self.rng, id.0, &self.plan);
        identity.install(configuration);
        identity.next_generation();
        let state = &mut self.nodes[node as usize];
        (state.exists, state.address) = (true, address);
        state.directory.identity = Some(identity);
        self.start(node);
    }

    /// There is a place for everybody whom a configuration names.
    fn make_places(&mut self, configuration: &Configuration) {
        let highest = configuration.everybody().last().map_or(0, |member| member.id.0);
        while self.count() < highest {
            let id = self.count() + 1;
            let node = Node::new(&mut self.rng, id, &self.plan);
            self.nodes.push(node);
        }
    }

    /// Takes note of what an event loop has installed, and of what operators have got.
    pub(super) fn keep_changing(&mut self, node: u32) {
        while let Some((process, now)) = self.enter(node, About::Other) {
            let decided: Vec<Decision> = process.around().decided.take();
            for known in decided.into_iter().filter_map(Decision::known) {
                process.desk.shard.get_mut().meet_configuration(known, now);
            }
            let coming: Vec<Configuration> = process.around().coming.take();
            let installed: Vec<Configuration> = process.around().installed.take();
            if coming.is_empty() && installed.is_empty() {
                return;
            }
            for configuration in coming {
                self.expect(node, configuration);
            }
            for configuration in installed {
                self.note_installed(node, &configuration);
            }
        }
    }

    fn note_installed(&mut self, node: u32, configuration: &Configuration) {
        let follows = self.configurations.installed(node, configuration);
        self.convict(follows);
        self.trace.record(self.now, || {
            let text = crate::checks::configurations::text(configuration);
            What::Members { node, text: format!("installs epoch {}, {text}", configuration.epoch()) }
        });
        self.make_places(configuration);
        let now = self.now;
        let state = &mut self.nodes[node as usize];
        state.epochs.push((now, configuration.epoch()));
        state.own.members = configuration.quorums().members().clone();
        state.own.cluster = configuration.text();
        let before = state.identity.disk;
        if state.write_identity(|identity| _ = identity.install(configuration.clone())).is_err() {
            return self.crash(node, false, "it cannot write its identity");
        }
        if state.identity.disk != before {
            // What it has promised it has promised as somebody else.
            self.monotone.borrow_mut().part(node, before);
        }
        if !state.identity.is_named_by(configuration) {
            return self.retire(node, configuration.epoch());
        }
        let known = state.known_directories();
        let Some(process) = &mut state.process else { return };
        process.around().known.replace(known);
        // As whom it votes it knows now.
        process.desk.admission.borrow_mut().install(configuration, state.identity.voting());
        let others: Vec<u32> = configuration.everybody().iter().map(|member| member.id.0 - 1).collect();
        let incarnation = process.incarnation;
        self.dial_others(node, incarnation, &others);
    }

    /// A configuration does not name a node any more: it says so and ends.
    pub(super) fn retire(&mut self, node: u32, epoch: u32) {
        let state = &mut self.nodes[node as usize];
        if state.write_identity(|identity| identity.retire(epoch)).is_err() {
            // The next start learns it again.
            return self.crash(node, false, "it cannot write its identity");
        }
        state.retired = true;
        if let Some(process) = &state.process {
            process.desk.admission.borrow_mut().retire(epoch);
        }
        self.trace
            .record(self.now, || What::Members { node, text: format!("is no member since epoch {epoch}") });
        self.stop(node);
    }

    /// Somebody who can be believed has told a configuration.
    pub(super) fn learn(&mut self, node: u32, configuration: Configuration) {
        self.tell(node, About::Other, |shard, now| shard.meet_configuration(configuration, now));
    }

    /// Whether a node is a member of the newest configuration, and nothing was done to it.
    pub(crate) fn is_member(&self, node: u32) -> bool {
        let state = &self.nodes[node as usize];
        let (id, directory) = (NodeId(node + 1), state.identity.presented());
        state.exists && self.configurations.newest().is_voter(id, directory)
    }

    /// Whether a node votes in the newest configuration, as far as its directory knows.
    pub(super) fn votes(&self, node: u32) -> bool {
        self.is_member(node) && self.nodes[node as usize].identity.votes()
    }

    /// Whether the change of members that was begun last has come to its end, and every live member knows it.
    pub(super) fn settled(&self) -> Result<(), String> {
        let newest = self.configurations.newest();
        let text = crate::checks::configurations::text(newest);
        if !matches!(newest.stage, Stage::Stable) {
            return Err(format!("epoch {} stays {text}", newest.epoch()));
        }
        for node in (0..self.count()).filter(|node| self.is_member(*node)) {
            let Some(process) = &self.nodes[node as usize].process else { continue };
            let installed = process.desk.shard.borrow().configuration().epoch();
            if installed != newest.epoch() {
                return Err(format!(
                    "n{} stays in epoch {installed}, and epoch {} is {text}",
                    node + 1,
                    newest.epoch()
                ));
            }
        }
        Ok(())
    }

    /// The epochs in which an operation that a node has carried out since then may have been answered.
    pub(super) fn epochs_since(&self, node: u32, since: u64) -> std::ops::RangeInclusive<u32> {
        let epochs = &self.nodes[node as usize].epochs;
        let first = epochs.iter().rev().find(|(at, _)| *at < since).or(epochs.first());
        let (first, last) =
            (first.map_or(1, |(_, epoch)| *epoch), epochs.last().map_or(1, |(_, epoch)| *epoch));
        first..=last
    }

    /// A process looks for lanes to these, and to nobody else.
    fn dial_others(&mut self, node: u32, incarnation: u64, others: &[u32]) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        process.dialling.retain(|(peer, _), _| others.contains(peer));
        let now = Instant(self.now);
        let mut fresh = Vec::new();
        for peer in others.iter().copied().filter(|peer| *peer != node) {
            for kind in super::lanes::KINDS {
                process.dialling.entry((peer, kind)).or_insert_with(|| {
                    fresh.push((peer, kind));
                    ::node::peer::dialling::Dialling::new(NodeId(node + 1), NodeId(peer + 1), now)
                });
            }
        }
        for (peer, kind) in fresh {
            if self.held.is_some() {
                self.queue.push(self.now, Event::Dial { node, peer, kind, incarnation });
            } else {
                let takes = self.rng.between(MS, 5 * MS);
                self.queue.push(self.now + takes, Event::Dial { node, peer, kind, incarnation });
            }
        }
    }
}
