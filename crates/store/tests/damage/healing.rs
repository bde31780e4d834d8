//! Damage that is healed: what others have is written again, and what was lost is forgotten under another id.

use super::{check, check_pages, files, fill, flip, key, open, stamped};
use std::path::Path;
use std::time::Duration;
use store::{DatabaseError, DiskDatabase, KeyRange, MultiVersionStore};

const OLD: [u8; 16] = [1; 16];
const NEW: [u8; 16] = [2; 16];

/// Until the engine has looked into what reads have met.
pub(super) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not in a minute: {what}");
}

fn damage_largest_table(path: &Path, at: f64) {
    let tables = files(&path.join("tables/tables"));
    let largest = tables.into_iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    let bits = largest.metadata().unwrap().len() * 8;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place"
    )]
    flip(&largest, (bits as f64 * at) as u64);
}

fn forgets(store: &MultiVersionStore<DiskDatabase>, id: [u8; 16]) -> bool {
    store.forget_lost(id).unwrap()
}

#[test]
fn s3_what_was_lost_and_came_back_is_an_answer_under_another_id() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let mut truth = fill(&path);
    damage_largest_table(&path, 0.5);
    let store = open(&path).unwrap();
    assert!(check(&store, &truth, "damaged") > 0);
    eventually("the damage is known", || store.has_lost());
    let lost = check(&store, &truth, "known");
    assert!(lost > 0 && lost < 60, "{lost}");
    let ranges = store.lost_ranges();
    for (key, _) in truth.iter().filter(|(key, _)| store.newest(key).is_err()) {
        assert!(ranges.iter().any(|range| range.contains(key)), "{key:?} of {ranges:?}");
        assert!(!store.is_whole(&KeyRange { after: None, up_to: Some(key.clone()) }));
    }
    assert!(store.is_whole(&KeyRange { after: Some("kez".into()), up_to: None }), "{ranges:?}");
    store.begin_healing(NEW).unwrap();
    // All that others have: of one key something newer.
    truth.insert(key(160), stamped(9_500, 300));
    for (key, stamped) in &truth {
        store.commit(&[(key.clone(), stamped.clone())]).unwrap();
    }
    check_pages(&store, &truth, 7);
    assert_eq!(check(&store, &truth, "back"), lost);
    drop(store);
    let store = open(&path).unwrap();
    assert_eq!(check(&store, &truth, "back, second start"), lost);
    assert!(!forgets(&store, OLD) && store.has_lost());
    assert!(forgets(&store, NEW) && !store.has_lost() && !forgets(&store, NEW));
    assert_eq!(check(&store, &truth, "healed"), 0);
    assert_eq!(store.database().damaged_parts(), 0);
    store.database().maintain().unwrap();
    drop(store);
    let store = open(&path).unwrap();
    assert_eq!((check(&store, &truth, "healed, second start"), store.has_lost()), (0, false));
}

/// What is lost while something is being healed is not forgotten with it, nor is anything if the power goes in between.
#[test]
fn s3_what_is_lost_later_stays_lost_and_a_start_finishes_what_was_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let truth = fill(&path);
    damage_largest_table(&path, 0.3);
    let store = open(&path).unwrap();
    assert!(check(&store, &truth, "damaged") > 0);
    eventually("the damage is known", || store.database().damaged_parts() == 1);
    let first = check(&store, &truth, "known");
    assert!(first > 0, "{first}");
    store.begin_healing(NEW).unwrap();
    truth.iter().for_each(|(key, stamped)| store.commit(&[(key.clone(), stamped.clone())]).unwrap());
    // As the file is before it is forgotten, and after the tables have said so.
    drop(store);
    let file = path.join("tables/lost");
    let healing = std::fs::read(&file).unwrap();
    let store = open(&path).unwrap();
    assert!(forgets(&store, NEW));
    drop(store);
    std::fs::write(&file, &healing).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(check(&store, &truth, "half forgotten"), first);
    store.database().maintain().unwrap();
    drop(store);
    damage_largest_table(&path, 0.7);
    let store = open(&path).unwrap();
    check(&store, &truth, "damaged again");
    eventually("the second damage is known", || store.database().damaged_parts() == 2);
    let both = check(&store, &truth, "both known");
    assert!(both > first, "{both}");
    assert!(forgets(&store, NEW));
    let second = check(&store, &truth, "the first is healed");
    assert!(second > 0 && second < both, "{second} of {both}");
    assert_eq!((store.database().damaged_parts(), store.has_lost()), (1, true));
    drop(store);
    // It is noticed if the file is gone.
    std::fs::remove_file(&file).unwrap();
    let Err(DatabaseError::Damaged(why)) = open(&path).map(drop) else { panic!("nobody misses it") };
    assert!(why.contains("is gone"), "{why}");
}
