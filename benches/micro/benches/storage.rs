//! Instructions of the multi-version store over the engine in memory: the store's own share, without the disk's.
#![allow(missing_docs, unused_qualifications, reason = "the harness's macros write such code")]

use abd::{Content, Newest, StampedValue, Timestamp, Version};
use bytes::Bytes;
use gungraun::{library_benchmark, library_benchmark_group, main};
use std::hint::black_box;
use store::{CACHE_BYTES, MemoryDatabase, MultiVersionStore};

type Store = MultiVersionStore<MemoryDatabase>;
type Puts = Vec<(Bytes, StampedValue)>;

/// Puts of this many different keys make up a batch, as under 64 clients.
const BATCH: u32 = 64;

fn puts(time: u64) -> Puts {
    let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
    let stamped = StampedValue::plain(version, Content::Value(Bytes::from(vec![7; 100])));
    (0..BATCH).map(|key| (Bytes::from(format!("key:{key:010}")), stamped.clone())).collect()
}

fn filled(cache_bytes: usize) -> Store {
    let store = Store::new(MemoryDatabase::new(), cache_bytes).expect("memory does not fail");
    store.commit(&puts(1)).expect("memory does not fail");
    for (key, _) in puts(1) {
        store.newest(&key).expect("memory does not fail");
    }
    store
}

#[library_benchmark]
#[bench::cached(filled(CACHE_BYTES), puts(2))]
#[bench::blind(filled(0), puts(2))]
fn commit_64(store: Store, puts: Puts) -> (Store, Puts) {
    store.commit(black_box(&puts)).expect("memory does not fail");
    (store, puts)
}

#[library_benchmark]
#[bench::cached(filled(CACHE_BYTES))]
#[bench::uncached(filled(0))]
fn newest(store: Store) -> (Store, Newest) {
    let newest = store.newest(black_box(b"key:0000000042")).expect("memory does not fail");
    (store, newest)
}

library_benchmark_group!(name = store_group, benchmarks = [commit_64, newest]);
main!(library_benchmark_groups = [store_group]);
