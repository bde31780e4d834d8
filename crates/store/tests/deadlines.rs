//! Deadlines in the store: which values are due, and when the next one will be.

use abd::{Content, Deadline, Moment, StampedValue, Timestamp, Version};
use bytes::Bytes;
use store::{Due, MemoryDatabase, MultiVersionStore};

fn stamped(time: u64, content: Content, deadline: u64) -> StampedValue {
    let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
    StampedValue { deadline: Deadline(deadline), ..StampedValue::plain(version, content) }
}

fn value(time: u64, deadline: u64) -> StampedValue {
    stamped(time, Content::Value(Bytes::from(vec![b'v'; 100])), deadline)
}

fn keys(found: &Due) -> Vec<&[u8]> {
    found.due.iter().map(|(key, _)| &key[..]).collect()
}

#[test]
fn the_soonest_deadline_is_known_until_it_is_forgotten() {
    let store = MultiVersionStore::new(MemoryDatabase::new(), 1 << 20).unwrap();
    assert_eq!(store.soonest_deadline(), Deadline::NONE);
    store.commit(&[("a".into(), value(1, 0)), ("b".into(), stamped(1, Content::Tombstone, 5))]).unwrap();
    assert_eq!(store.soonest_deadline(), Deadline::NONE);
    store.commit(&[("c".into(), value(1, 70)), ("d".into(), value(1, 90))]).unwrap();
    assert_eq!(store.soonest_deadline(), Deadline(70));
    store.forget_deadlines();
    assert_eq!(store.soonest_deadline(), Deadline::NONE);
    store.commit(&[("e".into(), value(1, 80))]).unwrap();
    assert_eq!(store.soonest_deadline(), Deadline(80));
}

#[test]
fn what_is_due_is_found_page_by_page() {
    let store = MultiVersionStore::new(MemoryDatabase::new(), 1 << 20).unwrap();
    // Of three keys one is due, one will be, and one has no deadline.
    let all: Vec<_> = (0..300_u64)
        .map(|number| {
            (
                Bytes::from(format!("key-{number:03}")),
                value(
                    1,
                    match number % 3 {
                        0 => 10,
                        1 => 20 + number,
                        _ => 0,
                    },
                ),
            )
        })
        .collect();
    store.commit(&all).unwrap();
    // A newer version is what counts: a deletion, a value that stays, and one that is due now.
    let tombstone = stamped(2, Content::Tombstone, 0);
    let newer = [
        ("key-000", tombstone),
        ("key-003", value(2, 0)),
        ("key-002", value(2, 10)),
        ("key-005", value(0, 10)),
    ];
    store.commit(&newer.map(|(key, stamped)| (Bytes::from(key), stamped))).unwrap();
    // Keys that are too long are found, too.
    let long = Bytes::from(vec![0xff; 60_000]);
    store.commit(&[(long.clone(), value(1, 10))]).unwrap();

    let (mut after, mut due, mut soonest, mut pages) = (None, Vec::new(), Deadline::NONE, 0);
    loop {
        let found = store.due(after.as_deref(), Moment(15), 70, 1 << 20).unwrap();
        assert!(found.keys <= 70);
        assert!(found.due.iter().all(|(_, bytes)| *bytes >= 100), "{found:?}");
        due.extend(found.due.into_iter().map(|(key, _)| key));
        soonest = soonest.or_sooner(found.soonest);
        pages += 1;
        match found.last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let mut expected: Vec<Bytes> = (2..100).map(|number| format!("key-{:03}", number * 3).into()).collect();
    expected.insert(0, "key-002".into());
    expected.push(long);
    assert_eq!((due, soonest, pages), (expected, Deadline(21), 5));

    // Bytes bound a page, too.
    let found = store.due(None, Moment(15), 70, 14).unwrap();
    assert_eq!((found.keys, found.last.as_deref(), keys(&found)), (2, Some(&b"key-001"[..]), vec![]));
    let found = store.due(Some(b"key-001"), Moment(15), 1, 1 << 20).unwrap();
    assert_eq!((found.last.as_deref(), keys(&found)), (Some(&b"key-002"[..]), vec![&b"key-002"[..]]));
    // The key behind which a page begins need not be there.
    let found = store.due(Some(b"key-005x"), Moment(15), 1, 1 << 20).unwrap();
    assert_eq!(keys(&found), [b"key-006"]);
}
