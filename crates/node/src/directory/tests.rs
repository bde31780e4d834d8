use super::*;
use crate::configuration::Stage;
use abd::{NodeId, TimestampMode};
use alloc::{collections::BTreeMap, format, vec};

/// What is in a directory: the identity as it was last written, and of the others the mark and the batches.
#[derive(Clone, Debug, Default, PartialEq)]
struct Directory {
    identity: Option<Identity>,
    watermark: Option<(Mark, u64)>,
    /// Without a mark for a moment, when it is made.
    database: Option<(Option<Mark>, u64)>,
}

fn check(directory: &Directory) -> Result<(), Unfit> {
    let watermark = directory.watermark.map_or(PartFound::Nothing, |(mark, _)| PartFound::Marked(mark));
    let database = match directory.database {
        None => PartFound::Nothing,
        Some((mark, _)) => mark.map_or(PartFound::Unmarked, PartFound::Marked),
    };
    let Some(identity) = &directory.identity else { return Identity::check_without(watermark, database) };
    identity.check(false, watermark, database)?;
    let batches = directory.database.map_or(0, |(_, batches)| batches);
    identity.check_batches(directory.watermark.map(|(_, batches)| batches), batches)
}

/// Every state of a directory that a crash may leave, in the order of a node's life, and those at which it has told
/// somebody something.
struct Life {
    now: Directory,
    states: Vec<Directory>,
    steady: Vec<usize>,
}

impl Life {
    fn note(&mut self) {
        self.states.push(self.now.clone());
    }

    fn save(&mut self, change: impl FnOnce(&mut Identity)) {
        let identity = self.now.identity.as_mut().unwrap();
        change(identity);
        identity.next_generation();
        self.note();
    }

    fn mark(&mut self) {
        let mark = self.now.identity.as_ref().unwrap().mark();
        let (batches, held) = (
            self.now.watermark.map_or(0, |(_, batches)| batches),
            self.now.database.map_or(0, |(_, held)| held),
        );
        self.now.watermark = Some((mark, batches));
        self.note();
        self.now.database = Some((self.now.database.and_then(|(mark, _)| mark), held));
        self.note();
        self.now.database = Some((Some(mark), held));
        self.note();
    }

    fn start(&mut self, nonce: u8) {
        self.now.identity.get_or_insert_with(|| Identity::new(1, vec![1, 2, 3], [1; 16], [2; 16]));
        self.save(|identity| identity.start(Nonce([nonce; 16]), false).unwrap());
        self.mark();
        let database = self.now.database.as_mut().unwrap();
        database.1 = database.1.max(FIRST_BATCH);
        self.note();
        self.save(Identity::set_marked);
        self.mark();
        self.is_steady();
    }

    fn write(&mut self) {
        self.now.database.as_mut().unwrap().1 += 1;
        self.note();
        let batches = self.now.database.unwrap().1;
        self.now.watermark.as_mut().unwrap().1 = batches;
        self.note();
        self.is_steady();
    }

    /// What was heard of a peer, and the own batches, are written down.
    fn remember(&mut self, heard: u64) {
        let batches = self.now.database.unwrap().1;
        self.save(|identity| {
            if identity.peers.boot_and_batches(2).is_none() {
                let challenges = Challenges { dialler: [0; 16], acceptor: [0; 16] };
                let mut peer = Identity::new(2, vec![1, 2, 3], [3; 16], [4; 16]);
                peer.start(Nonce([9; 16]), false).unwrap();
                identity.meet(&peer.introduce(1, challenges, 0), challenges).unwrap();
            }
            identity.peers.observe(2, heard);
            identity.set_batches(batches);
        });
        self.mark();
        self.is_steady();
    }

    fn is_steady(&mut self) {
        self.steady.push(self.states.len() - 1);
    }

    fn all() -> Self {
        let mut life = Self { now: Directory::default(), states: Vec::new(), steady: Vec::new() };
        life.note();
        for boot in 1..=3 {
            life.start(boot);
            if boot == 2 {
                // A start in which nothing happens.
                continue;
            }
            life.write();
            life.remember(10 * u64::from(boot));
            life.write();
            life.write();
            life.remember(10 * u64::from(boot) + 5);
        }
        life.write();
        life
    }
}

#[test]
fn m1_a_crash_at_any_moment_leaves_a_directory_that_is_taken_for_what_it_is() {
    let life = Life::all();
    for (index, state) in life.states.iter().enumerate() {
        assert_eq!(check(state), Ok(()), "state {index}: {state:?}");
    }
}

/// What an accepted directory may lack, and who else notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Acceptance {
    Refused,
    Whole,
    /// Identity, watermark and database are of an earlier time, all three: the peers notice.
    OlderCopy,
    /// The watermark and the database are older by no more than what was not written down in the identity.
    OlderTail,
}

/// For every part that it is as it was last, as at any earlier moment, or missing: the directory is refused, or nothing is
/// lost, or all three went back together, or the two that hold batches went back within what the identity has
/// not written down yet.
#[test]
fn m1_whatever_is_missing_or_older_is_refused_or_nothing_is_lost() {
    let life = Life::all();
    let mut counts: BTreeMap<Acceptance, usize> = BTreeMap::new();
    for &last in &life.steady {
        let current = &life.states[last];
        let missing = Directory::default();
        let earlier: Vec<&Directory> = life.states[..=last].iter().chain([&missing]).collect();
        for identity in &earlier {
            for watermark in &earlier {
                for database in &earlier {
                    let mixed = Directory {
                        identity: identity.identity.clone(),
                        watermark: watermark.watermark,
                        database: database.database,
                    };
                    if mixed == *current {
                        continue;
                    }
                    *counts.entry(outcome(&mixed, current)).or_default() += 1;
                }
            }
        }
    }
    let refused = counts[&Acceptance::Refused];
    assert!(refused > 50_000, "{counts:?}");
    assert!(counts.values().all(|count| *count > 0) && counts.len() == 4, "{counts:?}");
}

fn outcome(mixed: &Directory, current: &Directory) -> Acceptance {
    if check(mixed).is_err() {
        return Acceptance::Refused;
    }
    let older = |same: bool| !same;
    let identity = older(mixed.identity == current.identity);
    let batches = |directory: &Directory| directory.database.map(|(_, batches)| batches);
    let lost = batches(mixed) != batches(current);
    if !identity && !lost {
        // The mark or the watermark may be older: both are written again at the start.
        return Acceptance::Whole;
    }
    let (watermark, database) =
        (older(mixed.watermark == current.watermark), older(mixed.database == current.database));
    if identity && watermark && database {
        return Acceptance::OlderCopy;
    }
    let remembered = current.identity.as_ref().map(|identity| identity.database.batches);
    assert!(
        !identity && watermark && database && batches(mixed) >= remembered,
        "{mixed:?} is taken for {current:?}, and nobody notices"
    );
    Acceptance::OlderTail
}

#[test]
fn m1_a_part_of_another_directory_is_refused() {
    let life = Life::all();
    let own = life.states.last().unwrap();
    let mut other = own.clone();
    let foreign = Mark { database: [9; 16], ..own.database.unwrap().0.unwrap() };
    other.database = Some((Some(foreign), 100));
    assert_eq!(check(&other), Err(Unfit::Foreign(Part::Database)));
    let mut other = own.clone();
    other.watermark = Some((foreign, 1));
    assert_eq!(check(&other), Err(Unfit::Foreign(Part::Watermark)));
    // Before anything was made there is nothing that could have been made by it.
    let mut new = life.states[1].clone();
    new.database = own.database;
    assert!(check(&new).is_err());
    new.database = Some((None, FIRST_BATCH + 1));
    assert_eq!(check(&new), Err(Unfit::Unknown(FIRST_BATCH + 1)));
}

/// A power cut may lose what the watermark was told in the last second. The identity may be newer than the marks then.
#[test]
fn a_watermark_that_a_power_cut_has_set_back_is_no_reason_to_refuse() {
    let mut life = Life::all();
    let before = life.states[*life.steady.iter().rev().nth(3).unwrap()].clone();
    let now = &mut life.now;
    assert_eq!(before.watermark.unwrap().0.boot, now.watermark.unwrap().0.boot);
    now.watermark = before.watermark;
    now.database = Some((before.database.unwrap().0, now.database.unwrap().1));
    assert_eq!(check(now), Ok(()));
}

#[test]
fn v1_a_lost_copy_of_the_identity_never_brings_a_boot_count_back() {
    let mut identity = Identity::new(1, vec![1], [1; 16], [2; 16]);
    identity.start(Nonce([5; 16]), false).unwrap();
    identity.set_marked();
    // The copy that is lost was one start, and one generation, further.
    let newer = Mark { boot: 2, generation: 1, ..identity.mark() };
    let found = PartFound::Marked(newer);
    assert_eq!(identity.check(true, found, found), Ok(()));
    assert!(identity.check(false, found, found).is_err());
    identity.start(Nonce([6; 16]), true).unwrap();
    assert_eq!(identity.boot, 3);
    let starts: Vec<u32> = identity.starts_for(2).map(|(boot, _)| boot).collect();
    assert_eq!(starts, [3, 1], "what the start between had drawn is not known");
    identity.boot = u32::MAX;
    assert_eq!(identity.start(Nonce([7; 16]), false), Err(BootsUsedUp));
}

#[test]
fn marks_are_read_as_they_were_written() {
    let mark = Mark { database: [7; 16], boot: 0x0102_0304, generation: u64::MAX - 1 };
    assert_eq!(Mark::from_bytes(&mark.to_bytes()), Some(mark));
    assert_eq!(Mark::from_bytes(&[0; MARK_BYTES - 1]), None);
}

/// M1 (docs/PROTOCOL.md, section 7.5): a directory without its database votes once its next id is named, and is that pair after the
/// switch. An id that was named may have acknowledged something, so it is not taken again.
#[test]
fn m1_a_directory_that_has_lost_its_database_votes_under_its_next_id_alone() {
    let members = [1, 2, 3].map(|id| (NodeId(id), format!("n{id}:1")));
    let first = Configuration::first(members, TimestampMode::Logical);
    let mut identity = Identity::new(3, vec![1, 2, 3], [3; 16], [9; 16]);
    (identity.admitted, _) = (true, identity.install(first.clone()));
    assert!(identity.votes());
    identity.lose([4; 16]);
    identity.lose([5; 16]);
    assert!(!identity.votes() && identity.is_gone());
    assert_eq!((identity.voting(), identity.presented()), ([4; 16], [3; 16]));
    let mut joint = first.successor().unwrap();
    for member in &mut joint.members {
        member.directory = Some([u8::try_from(member.id.0).unwrap(); 16]);
    }
    let mut next = joint.members.clone();
    next[2].directory = Some([4; 16]);
    joint.stage = Stage::Joint { next: next.clone(), lost: vec![NodeId(3)] };
    assert!(identity.install(joint.clone()) && identity.votes());
    assert_eq!((identity.presented(), identity.disk), ([4; 16], [3; 16]));
    let mut again = identity.clone();
    again.lose([6; 16]);
    assert!(!again.votes() && again.next_directory() == Some([6; 16]));
    let stable = Configuration { members: next, stage: Stage::Stable, ..joint.successor().unwrap() };
    assert!(identity.install(stable) && identity.votes() && !identity.is_gone());
    assert_eq!((identity.disk, identity.next_directory()), ([4; 16], None));
}

/// C1: a start from a directory that expected a configuration is one in that, as it may have been served.
#[test]
fn c1_what_was_expected_is_installed_at_the_next_start() {
    let first =
        Configuration::first((1..=3).map(|id| (NodeId(id), format!("n{id}:1"))), TimestampMode::Logical);
    let mut identity = Identity::new(1, vec![1, 2, 3], [1; 16], [2; 16]);
    assert!(identity.install(first.clone()) && !identity.expect(first.clone()));
    let mut second = first.successor().unwrap();
    second.members.pop();
    let third = second.successor().unwrap();
    assert!(identity.expect(second.clone()) && !identity.expect(second.clone()));
    assert_eq!((identity.epoch(), &identity.members[..]), (1, &[1, 2, 3][..]), "nothing is served of it yet");
    assert!(identity.clone().install(second.clone()));
    assert!(identity.expect(third.clone()) && identity.install(second));
    assert_eq!(identity.expected(), Some(&third), "the one after that was met meanwhile");
    identity.settle();
    assert_eq!(
        (identity.configuration(), identity.expected(), identity.members.len()),
        (Some(&third), None, 2)
    );
}

/// S3: a database that is gone is healed if nothing else is missing, and the others can go without this node.
#[test]
fn s3_a_lost_database_is_healed_where_the_newest_identity_says_whose_it_was() {
    let mut life = Life::all();
    let identity = life.now.identity.take().unwrap();
    let (mark, _) = life.now.watermark.unwrap();
    let judged = |identity: &Identity, mark: Mark, lost: bool, heals: bool| {
        identity.judge(lost, PartFound::Marked(mark), PartFound::Nothing, heals)
    };
    let gone = Unfit::Gone(Part::Database);
    assert_eq!(judged(&identity, mark, false, true), Ok(Some(gone.clone())));
    assert_eq!(judged(&identity, mark, false, false), Err(gone.clone()));
    // One copy of the identity is damaged: the watermark says whether it was the newer one.
    assert_eq!(judged(&identity, mark, true, true), Ok(Some(gone.clone())));
    let newer = Mark { generation: mark.generation + 1, ..mark };
    assert_eq!(judged(&identity, newer, true, true), Err(gone.clone()));
    let of_two = Identity { members: vec![1, 2], ..identity };
    assert_eq!(judged(&of_two, mark, false, true), Err(gone));
}
