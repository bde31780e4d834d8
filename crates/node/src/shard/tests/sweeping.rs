//! Rule E4: what nobody reads expires, too.

use super::*;
use crate::slots::owner_of_key;
use crate::sweep::Config;
use alloc::format;

fn key(number: usize) -> Bytes {
    format!("key-{number}").into()
}

/// Those who are preferred read what is due, also for a member that is cut off; what is not due stays.
#[test]
fn e4_what_is_due_is_expired_by_those_who_answer() {
    const KEYS: usize = 90;
    let mut cluster = Cluster::new();
    let set = |key, deadline| Operation::Set { key, value: "v".into(), deadline };
    for number in 0..KEYS {
        cluster.submit(0, set(key(number), Deadline(5_000)));
        cluster.submit(1, set(format!("stays-{number}").into(), Deadline::NONE));
        cluster.run();
    }
    let now = cluster.now();
    for (shard, _) in &mut cluster.nodes {
        shard.begin_sweeping(Config::default(), now);
    }
    cluster.part(0, 2);
    cluster.part(1, 2);
    let pass = |cluster: &mut Cluster, times: usize| {
        for _ in 0..times {
            cluster.pass(Duration::from_millis(50));
            cluster.run();
        }
    };
    let is_there = |cluster: &Cluster, node: usize, key: Bytes| {
        cluster.nodes[node].1.store.borrow().versions[&key].content.is_value()
    };
    pass(&mut cluster, 90);
    assert!((0..KEYS).all(|number| is_there(&cluster, 0, key(number))), "nothing is due");
    // They are read in batches, not one at a time.
    pass(&mut cluster, 30);
    let (members, answering) = ([0, 1, 2].map(id), [0, 1].map(id).into_iter().collect());
    for node in 0..2 {
        assert!((0..KEYS).all(|number| !is_there(&cluster, node, key(number))));
        assert!((0..KEYS).all(|number| is_there(&cluster, node, format!("stays-{number}").into())));
        let is_own = |number: &usize| owner_of_key(&key(*number), &members, answering) == Some(id(node));
        let own = (0..KEYS).filter(is_own).count();
        assert!((KEYS / 3..KEYS).contains(&own), "each has its part: {own}");
        let surroundings = &cluster.nodes[node].1;
        assert_eq!((surroundings.swept.get().swept, surroundings.expired.get()), (own as u64, own));
    }
    // Whoever reaches nobody expires nothing.
    pass(&mut cluster, 200);
    assert!(is_there(&cluster, 2, key(0)));
    assert!(cluster.nodes[2].1.swept.get().failed > 0);
    cluster.nodes[0].0.stop_sweeping();
    assert_eq!((cluster.nodes[0].0.in_flight(), cluster.nodes[0].0.poll_timeout()), (0, None));
}
