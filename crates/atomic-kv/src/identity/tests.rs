use super::*;
use ::node::acquaintances::PeerRefusal;
use ::node::configuration::{Member, Stage};
use ::node::nonce::Nonce;
use abd::{NodeId, Scope, TimestampMode};

fn open(path: &Path) -> Result<DataDir, Fatal> {
    open_as(path, 1, &[1, 2, 3])
}

fn open_as(path: &Path, node: u32, members: &[u32]) -> Result<DataDir, Fatal> {
    let members = members.iter().map(|id| (NodeId(*id), format!("n{id}:1")));
    Found::open(path)?.start(NodeId(node), Configuration::first(members, TimestampMode::Logical), false)
}

/// As a node does it: with a database that holds so many batches.
fn start(path: &Path, batches: u64) -> Result<DataDir, Fatal> {
    let new = !path.join("db").join(MARK).exists();
    let opened = open(path)?;
    std::fs::create_dir_all(opened.database_path()).unwrap();
    opened.database_opened(if new { 1 } else { batches })?;
    opened.watermark().set(batches).unwrap();
    Ok(opened)
}

#[test]
fn v1_every_start_has_a_larger_boot_count() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path()).unwrap().lock().disk;
    for boot in 2..5 {
        let opened = open(directory.path()).unwrap();
        let identity = opened.identity();
        assert_eq!((identity.boot, identity.disk), (boot, disk));
    }
}

#[test]
fn a_directory_has_one_process_one_node_and_one_member_list() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).unwrap();
    assert_eq!(open(directory.path()).unwrap_err().code, 2);
    drop(opened);
    assert_eq!(open_as(directory.path(), 2, &[1, 2, 3]).unwrap_err().code, 2);
    assert_eq!(open_as(directory.path(), 1, &[1, 2]).unwrap().identity().members, [1, 2, 3]);
}

/// A crash at any step of the first start: nothing was acknowledged, so the next one goes on.
#[test]
fn a_first_start_that_was_not_completed_is_completed_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("identity.new"), b"half").unwrap();
    drop(open(path).unwrap());
    assert!(!path.join("identity.new").exists());
    std::fs::remove_file(path.join("watermark")).unwrap();
    drop(open(path).unwrap());
    std::fs::create_dir(path.join("db")).unwrap();
    std::fs::write(path.join("db/mark.new"), b"half").unwrap();
    drop(open(path).unwrap());
    assert_eq!(start(path, 1).unwrap().identity().boot, 4);
    assert_eq!(start(path, 1).unwrap().identity().boot, 5);
}

#[test]
fn m1_a_missing_file_is_named_and_refused() {
    for (part, told) in [
        ("db", "db is gone"),
        ("db/mark", "db is empty or damaged"),
        ("watermark", "watermark is gone"),
        ("identity", "identity is gone"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        drop(start(path, 7).unwrap());
        let gone = path.join(part);
        if gone.is_dir() { std::fs::remove_dir_all(gone) } else { std::fs::remove_file(gone) }.unwrap();
        for _ in 0..2 {
            let refused = start(path, 7).unwrap_err();
            assert!(refused.code == 1 && refused.message.contains(told), "{part}: {refused}");
            assert!(refused.message.contains("Put the directory back"), "{refused}");
        }
    }
}

#[test]
fn m1_fewer_batches_than_were_acknowledged_are_refused_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    drop(start(directory.path(), 7).unwrap());
    for _ in 0..2 {
        let refused = start(directory.path(), 6).unwrap_err();
        assert!(refused.message.contains("db is older") && refused.message.contains("batch 6, known is 7"));
    }
    drop(start(directory.path(), 7).unwrap());
}

#[test]
fn a_torn_slot_falls_back_and_two_torn_slots_refuse() {
    let directory = tempfile::tempdir().unwrap();
    drop(start(directory.path(), 1).unwrap());
    let path = directory.path().join("identity");
    let tear = |slots: &[usize]| {
        let mut bytes = std::fs::read(&path).unwrap();
        slots.iter().for_each(|slot| bytes[slot * SLOT + 20] ^= 1);
        std::fs::write(&path, &bytes).unwrap();
    };
    tear(&[0]);
    drop(start(directory.path(), 1).unwrap());
    tear(&[1]);
    drop(start(directory.path(), 1).unwrap());
    tear(&[0, 1]);
    let refused = start(directory.path(), 1).unwrap_err();
    assert!(refused.code == 1 && refused.message.contains("neither copy"), "{refused}");
}

#[test]
fn v1_a_damaged_slot_never_brings_a_boot_count_back() {
    for slot in [0, SLOT] {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        let used = open(directory.path()).unwrap().identity().boot;
        let path = directory.path().join("identity");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[slot + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(open(directory.path()).unwrap().identity().boot > used);
        assert!(open(directory.path()).unwrap().identity().boot > used + 1);
    }
}

#[test]
fn m1_a_restored_backup_and_a_clone_are_refused() {
    let peer = tempfile::tempdir().unwrap();
    let (home, backup, twin) =
        (peer.path().join("home"), peer.path().join("backup"), peer.path().join("twin"));
    let here = tempfile::tempdir().unwrap();
    let here = open(here.path()).unwrap();
    let meet = |path: &Path, sequence| {
        let there = open_as(path, 2, &[1, 2, 3]).unwrap();
        here.meet(&there.identity().introduce(1, CHALLENGES, sequence), CHALLENGES)
    };
    let copy = |to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for name in ["identity", "watermark"] {
            std::fs::copy(home.join(name), to.join(name)).unwrap();
        }
    };
    meet(&home, 0).unwrap();
    copy(&backup);
    copy(&twin);
    meet(&home, 10).unwrap();
    // Both copies count to the boot that was just seen, in a run of their own.
    assert_eq!(meet(&twin, 10), Err(PeerRefusal::Copy(2, 2)));
    assert_eq!(meet(&backup, 0), Err(PeerRefusal::Copy(2, 2)));
    // However often they are started, and even if nothing was written since the copy was made: they remember
    // another second start than this node does.
    for path in [&twin, &backup, &backup] {
        let refused = meet(path, 10).unwrap_err();
        assert!(refused == PeerRefusal::Copy(2, 2) && refused.is_final(), "{refused}");
    }
    // The node itself comes back as before.
    meet(&home, 10).unwrap();
}

const CHALLENGES: Challenges = Challenges { dialler: [1; 16], acceptor: [2; 16] };

/// A directory that has met node 2, and that.
fn acquainted(path: &Path) -> (DataDir, Identity) {
    let opened = start(path, 1).unwrap();
    let mut peer = Identity::new(2, vec![1, 2, 3], [7; 16], [8; 16]);
    peer.start(Nonce([9; 16]), false).unwrap();
    opened.meet(&peer.introduce(1, CHALLENGES, 100), CHALLENGES).unwrap();
    (opened, peer)
}

/// What was heard is remembered after any restart, although nobody was met after it.
#[test]
fn m1_what_was_heard_of_a_member_is_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let (opened, mut peer) = acquainted(directory.path());
    let generation = || opened.lock().mark().generation;
    let before = generation();
    opened.remember().unwrap();
    assert_eq!(generation(), before, "there is no news");
    opened.observe_sequence(2, 200);
    opened.remember().unwrap();
    assert_eq!(generation(), before + 1);
    opened.watermark().set(50).unwrap();
    opened.remember().unwrap();
    assert_eq!(generation(), before + 2);
    drop(opened);
    let opened = open(directory.path()).unwrap();
    peer.start(Nonce([10; 16]), false).unwrap();
    let older = opened.meet(&peer.introduce(1, CHALLENGES, 199), CHALLENGES);
    assert!(matches!(older, Err(PeerRefusal::RolledBack { .. })));
    assert!(opened.lock().check_batches(None, 49).is_err());
}

/// A configuration in which so many members, with long names, are about to take the place of as many others.
fn changed(epoch: u32, members: u32, name: &str) -> Configuration {
    let member = |id: u32| Member {
        id: NodeId(id),
        directory: Some([u8::try_from(id).unwrap(); 16]),
        address: format!("{name}{id}:7000"),
    };
    let first = Configuration::first([(NodeId(1), "n1:1".into())], TimestampMode::Logical);
    Configuration {
        scope: Scope { epoch, ..Scope::FIRST },
        level: 1,
        next_id: 2 * members + 1,
        members: (1..=members).map(member).collect(),
        stage: Stage::Joint { next: (members + 1..=2 * members).map(member).collect(), lost: vec![] },
        ..first
    }
}

/// A directory of the first configuration is one of the releases before; a later one they must not serve from.
#[test]
fn c1_the_configuration_is_kept_beside_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let format = || {
        let bytes = std::fs::read(directory.path().join("identity")).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        [FORMAT, FORMAT_CHANGED].map(|format| text.contains(&format!("format = {format}\n")))
    };
    let opened = open(directory.path()).unwrap();
    assert_eq!(opened.identity().configuration().unwrap().text(), "1=n1:1,2=n2:1,3=n3:1");
    assert_eq!(format(), [true, false]);
    let next = changed(2, 3, "host-");
    assert!(opened.install(&next).unwrap() && !opened.install(&next).unwrap());
    drop(opened);
    // What is given at a later start does not count.
    let opened = open_as(directory.path(), 1, &[1, 2]).unwrap();
    assert_eq!(opened.identity().configuration(), Some(&next));
    assert!(format()[1]);
    opened.retire(7).unwrap();
    drop(opened);
    for _ in 0..2 {
        let refused = open(directory.path()).unwrap_err();
        assert!(refused.code == 4 && refused.message.contains("since epoch 7"), "{refused}");
    }
}

/// BM7: the database may lose which configuration was served; the directory never does, whenever the process ends.
#[test]
fn c1_what_is_about_to_be_served_is_known_to_the_directory_before() {
    let directory = tempfile::tempdir().unwrap();
    let [second, third] = [2, 3].map(|epoch| changed(epoch, 3, "host-"));
    let mut opened = open(directory.path()).unwrap();
    opened.expect(&second).unwrap();
    assert_eq!(opened.identity().epoch(), 1, "nothing of it is served yet");
    assert!(
        text_of(&opened.lock()).unwrap().starts_with(b"format = 4\n"),
        "for an earlier release it is too late"
    );
    drop(opened);
    opened = open(directory.path()).unwrap();
    assert_eq!(opened.identity().configuration(), Some(&second));
    // When it is served nothing has to be written: the next start comes to the same.
    opened.expect(&third).unwrap();
    let generation = opened.lock().mark().generation;
    assert!(opened.install(&third).unwrap() && !opened.install(&third).unwrap());
    assert_eq!(opened.lock().mark().generation, generation);
    drop(opened);
    assert_eq!(open(directory.path()).unwrap().identity().configuration(), Some(&third));
}

/// The identity of the largest cluster fits, with everybody met, the most starts remembered and the next configuration expected: in
/// larger slots from then on, of which any one may be torn.
#[test]
fn c1_the_largest_configuration_fits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("identity");
    let mut opened = open(directory.path()).unwrap();
    for boot in 0..70_u8 {
        opened.lock().start(Nonce([boot + 1; 16]), false).unwrap();
    }
    let [small, large] = [1, 3].map(|length| "x".repeat(length * 90));
    assert!(opened.install(&changed(2, 7, &small)).unwrap());
    for id in 2..=14_u32 {
        let mut peer = Identity::new(id, vec![1, 2, 3], [u8::try_from(id).unwrap(); 16], [8; 16]);
        peer.start(Nonce([200; 16]), false).unwrap();
        opened.meet(&peer.introduce(1, CHALLENGES, u64::MAX), CHALLENGES).unwrap();
        opened.was_met_by(id).unwrap();
    }
    assert_eq!(slot_bytes(&path).unwrap(), SLOT);
    assert!(opened.install(&changed(3, 7, &large)).unwrap());
    opened.expect(&changed(4, 7, &large)).unwrap();
    opened.remember().unwrap();
    assert_eq!(slot_bytes(&path).unwrap(), SLOT_LARGE);
    drop(opened);
    for slot in [0, 1, 0] {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[slot * SLOT_LARGE + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        opened = open(directory.path()).unwrap();
        assert_eq!(opened.identity().configuration(), Some(&changed(4, 7, &large)));
        assert!((2..=14).all(|id| opened.identity().peers.directory_of(id).is_some()));
        opened.set_admitted().unwrap();
        drop(opened);
    }
    // It stays like that when there is less to be said.
    opened = open(directory.path()).unwrap();
    assert!(opened.install(&changed(5, 3, "n")).unwrap());
    drop(opened);
    assert_eq!(
        (slot_bytes(&path).unwrap(), open(directory.path()).unwrap().identity().epoch()),
        (SLOT_LARGE, 5)
    );
}

/// As a release without configurations leaves it.
fn without_configuration(path: &Path) {
    let mut opened = start(path, 1).unwrap();
    let text = String::from_utf8(text_of(&opened.lock()).unwrap()).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("configuration = ")).collect();
    assert!(kept.len() < text.lines().count());
    let files = opened.files.get_mut().unwrap();
    (0..2).for_each(|_| files.identity.write(kept.join("\n").as_bytes()).unwrap());
}

#[test]
fn a_directory_of_an_earlier_release_is_told_the_addresses_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    without_configuration(path);
    let found = Found::open(path).unwrap();
    assert_eq!(found.identity().unwrap().configuration(), None);
    drop(found);
    let refused = open_as(path, 1, &[1, 2]).unwrap_err();
    assert!(
        refused.code == 2 && refused.message.contains("belongs to a cluster of nodes [1, 2, 3]"),
        "{refused}"
    );
    drop(start(path, 1).unwrap());
    assert!(Found::open(path).unwrap().identity().unwrap().configuration().is_some());
}

#[test]
fn a_later_and_an_earlier_format_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).unwrap();
    let record = WrittenIdentity { format: FORMAT_CHANGED + 1, identity: opened.lock().clone() };
    opened.files().identity.write(toml::to_string(&record).unwrap().as_bytes()).unwrap();
    drop(opened);
    let refused = open(directory.path()).unwrap_err();
    assert!(
        refused.code == 1 && refused.message.contains(&format!("has format {}", FORMAT_CHANGED + 1)),
        "{refused}"
    );
    let mut before = vec![0; 2 * SLOT];
    before[12..25].copy_from_slice(b"format = 2\nge");
    std::fs::write(directory.path().join("identity"), before).unwrap();
    let refused = open(directory.path()).unwrap_err();
    assert!(refused.code == 1 && refused.message.contains("has format 2"), "{refused}");
}

#[test]
fn what_is_observed_while_the_disk_is_waited_for_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (opened, _) = acquainted(directory.path());
    let heard = || opened.lock().peers.boot_and_batches(2).unwrap().1;
    {
        let mut files = opened.files();
        opened
            .change(&mut files, |_| {
                opened.observe_sequence(2, 200);
                opened.identity().introduce(2, CHALLENGES, 0);
            })
            .unwrap();
    }
    assert_eq!(heard(), 200);
    assert!(opened.news.load(Ordering::Acquire), "it is not written down yet");
    opened.set_admitted().unwrap();
    assert!(opened.identity().admitted);
    assert_eq!(heard(), 200);
}

#[test]
fn how_timestamps_are_chosen_is_what_was_said_last() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).unwrap();
    assert_eq!(opened.identity().timestamps, "");
    opened.set_timestamps("logical").unwrap();
    drop(opened);
    assert_eq!(open(directory.path()).unwrap().identity().timestamps, "logical");
}

#[test]
fn a_link_in_the_directory_is_not_followed() {
    for name in ["LOCK", "identity", "identity.new", "watermark", "db"] {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().join("data"), directory.path().join("target"));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(&target, b"precious").unwrap();
        std::os::unix::fs::symlink(&target, path.join(name)).unwrap();
        let refused = open(&path).unwrap_err();
        assert!(refused.code == 2, "{name}: {refused}");
        assert_eq!(std::fs::read(&target).unwrap(), b"precious", "{name}");
    }
}

#[test]
fn only_its_owner_may_use_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    drop(start(&path, 1).unwrap());
    let mode = |name: &str| path.join(name).metadata().unwrap().permissions().mode() & 0o777;
    for name in ["LOCK", "identity", "watermark", "db/mark"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    assert_eq!(mode(""), 0o700);
}
