use super::*;
use abd::{Acceptance, Content, Deadline, Proposal, Timestamp, UpdateId};

fn contents() -> Vec<Content> {
    let values = [0, 1, 100, ENCODED_MAX - 200, ENCODED_MAX, 100_000];
    values.map(|size| Content::Value(vec![9; size].into())).into_iter().chain([Content::Tombstone]).collect()
}

fn keys() -> Vec<Bytes> {
    let long = Bytes::from(vec![7; 70_000]);
    let parts = [100, 110, 5_000, 70_000].map(|length| long.slice(..length));
    let short = [&b""[..], b"key", b"with\0zeros\0\0"].map(Bytes::from_static);
    short.into_iter().chain(parts).collect()
}

fn version(time: usize, node: u32) -> Version {
    Version::of_write(Timestamp { time: time as u64 + 1, node, boot: 1 })
}

fn record(base: Version, content: Content) -> Box<AcceptedRecord> {
    let ballot = Ballot { epoch: 1, round: base.time(), node: 1, boot: 1 };
    let proposal = Proposal { update: ballot.update(), content, deadline: Deadline::NONE };
    Box::new(AcceptedRecord { base, acceptance: Acceptance { ballot, proposal } })
}

#[test]
fn puts_of_any_kind_come_back_in_their_order() {
    let mut puts = Puts::default();
    for round in 1..=2 {
        let mut pushed = Vec::new();
        for (key, content) in keys().iter().flat_map(|key| contents().into_iter().map(move |c| (key, c))) {
            let plain = StampedValue::plain(version(pushed.len(), round), content);
            let update = UpdateId { round: 5, node: round, boot: 1 };
            let stamped = StampedValue { update, deadline: Deadline(u64::from(round)), ..plain };
            puts.push(&Unit::Version { key: key.clone(), stamped: stamped.clone() });
            pushed.push((key.clone(), stamped));
        }
        assert_eq!((puts.len(), puts.is_empty()), (pushed.len(), false));
        assert!(puts.bytes() >= pushed.iter().map(|(_, stamped)| stamped.content.len()).sum());
        let changes = puts.changes(false);
        assert_eq!((changes.units, changes.puts.len()), (pushed.len(), pushed.len()));
        for (put, (key, stamped)) in changes.puts.iter().zip(&pushed) {
            assert_eq!((&put.user_key, &put.stamped), (key, stamped));
            assert_eq!(put.data_key, key::encode(key, stamped.version));
            let (recorded, decoded) = record::decode(&put.record, stamped.version).unwrap();
            assert_eq!((&decoded, recorded.is_some()), (stamped, key::is_hashed(put.prefix())));
        }
        puts.clear();
        assert_eq!((puts.len(), puts.bytes(), puts.changes(false).units), (0, 0, 0));
        let value = StampedValue { content: contents()[2].clone(), ..pushed[0].1.clone() };
        let mut more = Puts::default();
        for number in 0..2 * KEPT_BYTES / 100 {
            more.push_version(&"more".into(), &value);
            if number % 3 == 0 {
                puts.append(&mut more);
            }
        }
        puts.append(&mut more);
        assert_eq!((more.len(), puts.len()), (0, 2 * KEPT_BYTES / 100));
        let changes = puts.changes(false);
        assert!(changes.puts.iter().all(|put| put.user_key == "more" && put.stamped == value));
        assert!(puts.encoded.capacity() > KEPT_BYTES && puts.units.capacity() > KEPT);
        puts.clear();
        assert!(puts.encoded.capacity() <= KEPT_BYTES && puts.units.capacity() <= KEPT);
    }
}

/// All kinds of units with all kinds of keys and contents, mixed.
#[test]
fn units_come_back_whole_or_not_at_all() {
    let mut units = Vec::new();
    for key in keys() {
        for content in contents() {
            let at = version(units.len(), 1);
            let stamped = StampedValue::plain(at, content.clone());
            let lacking = StampedValue::plain(at, Content::Tombstone);
            let key = || key.clone();
            units.push(Unit::Mark(Ballot { round: units.len() as u64, ..Ballot::MIN }));
            units.push(Unit::Configuration(Bytes::from(vec![7; units.len()])));
            units.push(Unit::Closing { key: key(), stamped: stamped.clone() });
            units.push(Unit::Acceptance { key: key(), base: None, record: record(at, content.clone()) });
            let base = Some(Box::new(stamped.clone()));
            units.push(Unit::Acceptance { key: key(), base, record: record(at, Content::Tombstone) });
            units.push(Unit::Version { key: key(), stamped });
            units.push(Unit::Acceptance {
                key: key(),
                base: Some(Box::new(lacking)),
                record: record(at, content),
            });
        }
    }
    let mut puts = Puts::default();
    units.iter().for_each(|unit| puts.push(unit));
    let needs: Vec<bool> = units.iter().map(Unit::needs_room).collect();
    assert_eq!(puts.need_room().collect::<Vec<_>>(), needs);
    let versions: Vec<_> =
        units.iter().map(|unit| unit.version().map(|(k, v)| (k.clone(), v.version))).collect();
    assert_eq!(puts.versions().collect::<Vec<_>>(), versions);
    assert!(puts.bytes() >= units.iter().map(Unit::bytes).sum());
    for roomless in [false, true] {
        let taken: Vec<&Unit> = units.iter().filter(|unit| !roomless || !unit.needs_room()).collect();
        let changes = puts.changes(roomless);
        assert_eq!(changes.units, taken.len());
        let (mut puts, mut records) = (changes.puts.into_iter(), changes.records.into_iter());
        let (mut mark, mut configuration) = (None, None);
        for unit in taken {
            if let Some((key, stamped)) = unit.version() {
                let put = puts.next().unwrap();
                assert_eq!((&put.user_key, &put.stamped), (key, stamped));
            }
            match unit {
                Unit::Version { .. } => {}
                Unit::Closing { key, .. } => {
                    let end = RecordChange { key: key::of_record(key), record: None, needs_room: false };
                    assert_eq!(records.next(), Some(end));
                }
                Unit::Acceptance { key, record, .. } => {
                    let change = records.next().unwrap();
                    let needs_room = record.acceptance.proposal.content.is_value();
                    assert_eq!((&change.key, change.needs_room), (&key::of_record(key), needs_room));
                    let (recorded, decoded) = accepted::decode(&change.record.unwrap()).unwrap();
                    assert_eq!(
                        (decoded, recorded.is_some()),
                        ((**record).clone(), key::is_hashed(&change.key))
                    );
                }
                Unit::Mark(ballot) => mark = Some(*ballot),
                Unit::Configuration(bytes) => configuration = Some(bytes.clone()),
            }
        }
        assert!(puts.next().is_none() && records.next().is_none());
        assert_eq!((changes.mark, changes.configuration), (mark, configuration));
    }
}

#[test]
fn a_plain_version_takes_no_more_room_than_it_did() {
    assert!(size_of::<Form>() <= 72, "{}", size_of::<Form>());
}
