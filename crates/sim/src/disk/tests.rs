use super::*;

fn batch(number: u8) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.put(vec![1, number], vec![number; 40]);
    batch
}

fn open(platter: Platter) -> Arc<SimDatabase> {
    SimDatabase::open(platter, DiskLie::None).expect("an honest platter opens")
}

#[test]
fn synced_batches_survive_any_power_cut_and_a_torn_one_is_whole_or_gone() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed, 0);
        let database = open(Platter::default());
        database.write(batch(1)).unwrap();
        database.set_mood(Mood::GoingDown);
        assert!(database.write(batch(2)).is_err());
        let opened = open(database.after_power_cut(Some(&mut rng)));
        assert_eq!(opened.get(&[1, 1]).unwrap().unwrap(), vec![1; 40]);
        let second = opened.get(&[1, 2]).unwrap();
        assert!(second.is_none_or(|value| value == vec![2; 40]));
    }
}

#[test]
fn m1_rot_in_what_was_synced_is_noticed_at_the_next_start() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed, 0);
        let database = open(Platter::default());
        (1..5).for_each(|number| database.write(batch(number)).unwrap());
        if database.rot(&mut rng, seed % 2 == 0) {
            let damaged = SimDatabase::open(database.after_kill(), DiskLie::None);
            assert!(matches!(damaged, Err((_, DatabaseError::Damaged(_)))), "seed {seed}");
        }
    }
}

#[test]
fn s3_what_is_damaged_is_unreadable_for_good_and_takes_writes() {
    let key =
        |time| store::key::encode(b"k", abd::Version::of_write(abd::Timestamp { time, node: 1, boot: 1 }));
    let database = open(Platter::default());
    database.put(key(1), "one".into()).unwrap();
    database.put("other".into(), "whole".into()).unwrap();
    database.lose(&Loss::Versions("k".into())).unwrap();
    database.put(key(2), "two".into()).unwrap();
    let unreadable = |database: &SimDatabase| {
        let mut iterator = database.snapshot().unwrap().iterator();
        let sought = iterator.seek(&store::key::prefix(b"k"));
        assert!(matches!(sought, Err(DatabaseError::Unreadable { .. })), "{sought:?}");
        assert_eq!(database.get(b"other").unwrap().unwrap(), "whole");
    };
    unreadable(&database);
    unreadable(&open(database.after_kill()));
    let lied = SimDatabase::open(database.after_kill(), DiskLie::HidesDamage).expect("it opens");
    assert_eq!((lied.get(&key(1)).unwrap(), lied.get(&key(2)).unwrap()), (None, Some("two".into())));
}

#[test]
fn a_full_disk_says_so_and_recovers() {
    let database = open(Platter::default());
    database.set_mood(Mood::Full);
    assert!(matches!(database.write(batch(1)), Err(DatabaseError::Full(_))));
    let makes_room = || WriteBatch { makes_room: true, ..batch(2) };
    for _ in 0..KEPT_FREE {
        database.write(makes_room()).unwrap();
    }
    assert!(matches!(database.write(makes_room()), Err(DatabaseError::Full(_))));
    database.set_mood(Mood::Good);
    database.write(batch(1)).unwrap();
    assert_eq!(database.sequence(), u64::from(KEPT_FREE) + 1);
}

#[test]
fn g1_a_merge_that_sees_a_part_keeps_the_newest() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed, 0);
        let database = open(Platter::default());
        let version = |time| abd::Version::of_write(abd::Timestamp { time, node: 1, boot: 1 });
        for time in 1..=9 {
            database.put(store::key::encode(b"k", version(time)), "value".into()).unwrap();
        }
        database.merge(Some(&mut rng)).unwrap();
        assert_eq!(database.complaint(), None);
        assert!(database.get(&store::key::encode(b"k", version(9))).unwrap().is_some(), "seed {seed}");
    }
}

#[test]
fn g1_a_delete_without_a_newer_version_is_noticed() {
    let database = open(Platter::default());
    let version = |time| abd::Version::of_write(abd::Timestamp { time, node: 1, boot: 1 });
    database.put(store::key::encode(b"k", version(1)), "one".into()).unwrap();
    database.put(store::key::encode(b"k", version(2)), "two".into()).unwrap();
    database.delete(store::key::encode(b"k", version(1))).unwrap();
    assert_eq!(database.complaint(), None);
    database.delete(store::key::encode(b"k", version(2))).unwrap();
    assert!(database.complaint().is_some());
}

/// S3: what is being healed is forgotten with it, and what was lost meanwhile is not; and what has come back stays.
#[test]
fn s3_what_was_lost_before_a_heal_is_whole_after_it() {
    let key = |name: &str| {
        store::key::encode(
            name.as_bytes(),
            abd::Version::of_write(abd::Timestamp { time: 1, node: 1, boot: 1 }),
        )
    };
    let database = open(Platter::default());
    ["a", "b", "c"].iter().for_each(|name| database.put(key(name), "x".into()).unwrap());
    database.lose(&Loss::From("b".into())).unwrap();
    let found = open(database.after_kill().without(&Loss::Own));
    assert_eq!(found.lost().len(), 3);
    found.begin_healing([7; 16]).unwrap();
    found.put(key("b"), "x".into()).unwrap();
    found.lose(&Loss::Versions("a".into())).unwrap();
    let healed = open(found.after_kill());
    assert_eq!(
        (healed.being_healed([6; 16]), healed.being_healed([7; 16]).map(|parts| parts.len())),
        (None, Some(3))
    );
    healed.forget_healed([7; 16]).unwrap();
    assert_eq!(healed.lost().len(), 1);
    assert_eq!((healed.get(&key("b")).unwrap(), healed.get(&key("c")).unwrap()), (Some("x".into()), None));
    assert!(matches!(healed.get(&key("a")), Err(DatabaseError::Unreadable { .. })));
}

/// M1: batches of a database that was lost are numbered from above what was acknowledged, at every later start, too.
#[test]
fn m1_what_is_left_of_a_database_counts_on_above_what_was_acknowledged() {
    let database = open(Platter::default());
    database.write(batch(1)).unwrap();
    let lost =
        SimDatabase::open_with_loss(database.after_kill(), 40, DiskLie::None).expect("nothing is missing");
    assert_eq!(lost.sequence(), 40);
    assert!(matches!(lost.get(&[1, 1]), Err(DatabaseError::Unreadable { .. })));
    lost.write(batch(2)).unwrap();
    assert_eq!(open(lost.after_kill()).sequence(), 41);
}
