//! The fast algorithm of Gibbons and Korach (1997) for registers whose values are written once.
//!
//! All operations on one value form a cluster: its write and the reads that saw it. In a linearization a cluster is
//! one uninterrupted run. Let `finish` be the earliest return in the cluster and `start` its latest invocation.
//! Cluster A must come before cluster B when some operation of A precedes some operation of B, that is, when
//! `A.finish < B.start`. The history is linearizable when no read precedes its own write and the clusters can be put
//! in an order.
//!
//! Pairs are enough. In a longer circle take the cluster with the smallest `finish`: the cluster before it in the
//! circle starts after some other finish, hence after this one, so the two already contradict each other.
//!
//! Two clusters contradict each other when `A.finish < B.start` and `B.finish < A.start`. A cluster with
//! `finish < start` is called forward: its value must hold throughout that span. Two clusters that are not forward
//! never contradict each other, so it remains to find overlapping spans, and spans that hold a backward cluster.

use std::collections::{HashMap, HashSet};

use crate::compile::{Key, Op, Step};

/// What the zones say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Zones {
    /// An order, as indices of operations.
    Order(Vec<usize>),
    /// Operations that no order can satisfy, at most six.
    Conflict(Vec<usize>),
    /// Some value that was read may stem from more than one write, or there are other operations than read and write.
    NotDistinct,
}

/// Operations by their position in `Key::ops`; `None` stands for the initial value, older than everything.
struct Cluster {
    write: Option<usize>,
    reads: Vec<usize>,
    /// The earliest return and its operation. The initial value finished before time began.
    finish: (Time, Option<usize>),
    /// The latest invocation and its operation.
    start: (Time, Option<usize>),
}

/// Time with both infinities: the initial value is written before zero, an unknown write returns after everything.
pub(crate) type Time = i128;

/// Judges the key in O(n log n), if its values are distinct enough.
pub(crate) fn zones(key: &Key) -> Zones {
    let mut clusters = match clusters(key) {
        Ok(clusters) => clusters,
        Err(other) => return other,
    };
    for cluster in &clusters {
        if let Some(conflict) = read_before_write(key, cluster) {
            return conflict;
        }
    }
    let spans: Vec<Span> = clusters.iter().map(|c| Span { finish: c.finish.0, start: c.start.0 }).collect();
    match arrange(&spans) {
        Ok(arranged) => Zones::Order(order(key, &mut clusters, &arranged)),
        Err((a, b)) => contradiction(key, &clusters[a], &clusters[b]),
    }
}

/// When the operations of an uninterrupted run were under way: its earliest return and its latest invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) finish: Time,
    pub(crate) start: Time,
}

impl Span {
    fn is_forward(self) -> bool {
        self.finish < self.start
    }

    fn contradicts(self, other: Span) -> bool {
        self.finish < other.start && other.finish < self.start
    }
}

/// Puts runs in an order that real time allows, or finds two that contradict each other.
pub(crate) fn arrange(spans: &[Span]) -> Result<Vec<usize>, (usize, usize)> {
    let mut arranged: Vec<usize> = (0..spans.len()).collect();
    // Sorted like this the clusters are in a linearization order, if there is one: when A must precede B without
    // contradiction then `B.finish >= A.start`, and going through the four kinds of pairs shows that A sorts first.
    arranged.sort_by_key(|&i| (spans[i].finish.min(spans[i].start), spans[i].is_forward()));
    let forward: Vec<usize> = arranged.iter().copied().filter(|&i| spans[i].is_forward()).collect();
    let mut reach: Option<usize> = None;
    for &i in &forward {
        if let Some(before) = reach.filter(|&before| spans[before].contradicts(spans[i])) {
            return Err((before, i));
        }
        if reach.is_none_or(|before| spans[i].start > spans[before].start) {
            reach = Some(i);
        }
    }
    for &backward in arranged.iter().filter(|&&i| !spans[i].is_forward()) {
        // The spans do not overlap, so of those that begin early enough the last one reaches furthest.
        let after = forward.partition_point(|&f| spans[f].finish < spans[backward].start);
        if let Some(before) = after.checked_sub(1).map(|i| forward[i])
            && spans[before].contradicts(spans[backward])
        {
            return Err((before, backward));
        }
    }
    Ok(arranged)
}

impl Cluster {
    fn take_in(&mut self, position: usize, op: &Op) {
        let ret = op.ret.map_or(Time::MAX, Time::from);
        if ret < self.finish.0 {
            self.finish = (ret, Some(position));
        }
        if Time::from(op.invoke) > self.start.0 {
            self.start = (Time::from(op.invoke), Some(position));
        }
    }
}

fn clusters(key: &Key) -> Result<Vec<Cluster>, Zones> {
    let mut readers: HashMap<u32, Vec<usize>> = HashMap::new();
    for (position, op) in key.ops.iter().enumerate() {
        match op.step {
            Step::Expect(value) => readers.entry(value).or_default().push(position),
            Step::Set(_) => {}
            Step::Refused(_) | Step::Swap(..) | Step::Append(_) | Step::Run(_) | Step::Update(_) => {
                return Err(Zones::NotDistinct);
            }
        }
    }
    // A value from nowhere convicts whatever the other values are.
    let written: HashSet<u32> = key.ops.iter().filter_map(|op| op.step.sets()).chain([key.initial]).collect();
    let orphans = readers.iter().filter(|(value, _)| !written.contains(value)).flat_map(|(_, reads)| reads);
    if let Some(&read) = orphans.min_by_key(|&&read| (key.ops[read].ret, read)) {
        return Err(Zones::Conflict(vec![key.ops[read].index]));
    }
    let mut clusters = Vec::new();
    let mut sources: HashMap<u32, usize> = HashMap::new();
    if readers.contains_key(&key.initial) {
        sources.insert(key.initial, 0);
        let before_all = (Time::MIN, None);
        clusters.push(Cluster { write: None, reads: Vec::new(), finish: before_all, start: before_all });
    }
    for (position, op) in key.ops.iter().enumerate() {
        let Step::Set(value) = op.step else { continue };
        if readers.contains_key(&value) {
            if sources.insert(value, clusters.len()).is_some() {
                return Err(Zones::NotDistinct);
            }
        } else if op.ret.is_none() {
            // Nobody saw it and it may never happen.
            continue;
        }
        let mut cluster = Cluster {
            write: Some(position),
            reads: Vec::new(),
            finish: (Time::MAX, Some(position)),
            start: (Time::MIN, Some(position)),
        };
        cluster.take_in(position, op);
        clusters.push(cluster);
    }
    for (value, reads) in readers {
        let source = sources[&value];
        for &read in &reads {
            clusters[source].take_in(read, &key.ops[read]);
        }
        clusters[source].reads = reads;
    }
    Ok(clusters)
}

fn read_before_write(key: &Key, cluster: &Cluster) -> Option<Zones> {
    let write = cluster.write?;
    let invoke = Time::from(key.ops[write].invoke);
    match cluster.finish {
        (ret, Some(read)) if ret < invoke => {
            Some(Zones::Conflict(vec![key.ops[write].index, key.ops[read].index]))
        }
        _ => None,
    }
}

fn contradiction(key: &Key, a: &Cluster, b: &Cluster) -> Zones {
    let positions = [a.write, a.finish.1, a.start.1, b.write, b.finish.1, b.start.1];
    let mut indices: Vec<usize> =
        positions.into_iter().flatten().map(|position| key.ops[position].index).collect();
    indices.sort_unstable();
    indices.dedup();
    Zones::Conflict(indices)
}

fn order(key: &Key, clusters: &mut [Cluster], arranged: &[usize]) -> Vec<usize> {
    let mut order = Vec::with_capacity(key.ops.len());
    for &i in arranged {
        let cluster = &mut clusters[i];
        order.extend(cluster.write.map(|write| key.ops[write].index));
        // Within the run the reads only have to respect each other.
        cluster.reads.sort_by_key(|&read| key.ops[read].invoke);
        order.extend(cluster.reads.iter().map(|&read| key.ops[read].index));
    }
    order
}
