//! Lookups that wait for the disk, on threads of their own.
//!
//! While an event loop waits for a disk, so do all clients and peers whose requests come after, and a coordinator whose own
//! disk is slow cannot even ask the others. To hand every lookup over would cost a third of the rate where files are in the
//! system's page cache, though. So an event loop looks up for itself what is not in the cache of newest versions, until one
//! of these lookups has read from the disk; then it hands lookups over for fifty times as long as that one took. So it waits for
//! the disk for a fiftieth of the time at most. The reply goes back to it as that of a write does.

use super::Node;
use super::committer::ReplyTo;
use super::now_instant;
use abd::{Content, Refusal, Reply, Request};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Puts;

/// How many lookups of a node may wait for the disk at a time, beside those of its event loops.
pub(super) const READERS: usize = 4;
/// For so many times as long as a lookup took that has read from the disk the next ones are handed over.
const HANDED_OVER_TIMES: u32 = 50;
/// No single lookup has others handed over for longer than this: one that took minutes, as the machine stood still meanwhile, says
/// nothing about the disk.
const HANDED_OVER_AT_MOST: Duration = Duration::from_secs(60);
/// When so many lookups in a row that read from the disk took so long or longer, not much less than a question may take before
/// everybody is asked, a coordinator asks the other replicas at once. A single one says little: that others are asked makes
/// more to do for all, which must not be taken for a slow disk.
const SLOW: Duration = Duration::from_millis(5);
const SLOW_IN_A_ROW: u32 = 8;
/// Bytes of reads that may wait, and of writes; above it they are refused, so that a slow disk costs bounded memory.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Of so many lookups one is for a read, if there are any, and the others are for writes: whoever reads has others to ask, unless
/// they are gone.
const TURNS: u32 = 4;
/// Bytes of values that were found and that no event loop has taken yet; above it no lookup begins. Half of what may wait for a
/// peer that reads.
const FOUND_BYTES_MAX: usize = 4 << 20;
/// After this long a read is given up, and any request after the deadline that came with it. An operation that still waits for the
/// answer has asked again by now, as it does at least every 0.8 s. Were it answered late all the same, more lookups than the disk can do would end when nobody waits for any.
const OUTDATED_AFTER: Duration = Duration::from_secs(1);
/// Values below this size are copied while they wait, so that they do not keep a network buffer of 64 KiB and more alive.
const COPIED_BELOW: usize = 64 << 10;
/// What a request that waits takes beside its bytes, about.
const REQUEST_OVERHEAD: usize = 256;

/// The queue in front of the reader threads, and whether to use it.
#[derive(Default)]
pub(crate) struct Readers {
    queue: Mutex<Queue>,
    /// Something is to be looked up, or may be again.
    wake: Condvar,
    /// Until when lookups are handed over, as [`now_instant`] counts.
    until: AtomicU64,
    /// Lookups in a row that read from the disk and took long.
    slow: AtomicU32,
    handed_over: AtomicU64,
}

#[derive(Default)]
struct Queue {
    writes: Waiting,
    reads: Waiting,
    turn: u32,
    found_bytes: usize,
    closed: bool,
}

#[derive(Default)]
struct Waiting {
    lookups: VecDeque<Lookup>,
    bytes: usize,
}

impl Waiting {
    fn pop(&mut self) -> Option<Lookup> {
        let lookup = self.lookups.pop_front()?;
        self.bytes -= cost(&lookup.request);
        Some(lookup)
    }
}

struct Lookup {
    request: Request,
    to: ReplyTo,
    asked: abd::Instant,
    /// When nobody waits for the answer any more.
    deadline: abd::Instant,
}

impl Readers {
    /// Whether an event loop should hand over what is not in memory.
    pub(crate) fn are_needed(&self) -> bool {
        match self.until.load(Ordering::Relaxed) {
            0 => false,
            until => now_instant().0 < until,
        }
    }

    /// Whether what is handed over will not come back soon.
    pub(crate) fn are_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed) >= SLOW_IN_A_ROW && self.are_needed()
    }

    /// Carries out a lookup on the calling thread. Should it read from the disk, the next ones are handed over.
    pub(crate) fn look_up<T>(&self, lookup: impl FnOnce() -> T) -> T {
        let (began, reads) = (now_instant(), disk_reads_of_this_thread());
        let found = lookup();
        if disk_reads_of_this_thread() != reads {
            let now = now_instant();
            self.has_read(now.since(began), now);
        }
        found
    }

    /// A lookup that took so long has read from the disk.
    fn has_read(&self, took: Duration, now: abd::Instant) {
        if took < SLOW {
            self.slow.store(0, Ordering::Relaxed);
        } else if self.are_needed() {
            self.slow.fetch_add(1, Ordering::Relaxed);
        } else {
            // The last one is long ago.
            self.slow.store(1, Ordering::Relaxed);
        }
        self.hand_over_until(now + took.saturating_mul(HANDED_OVER_TIMES).min(HANDED_OVER_AT_MOST));
    }

    fn hand_over_until(&self, until: abd::Instant) {
        self.until.fetch_max(until.0, Ordering::Relaxed);
    }

    /// Queues a request; refuses it when too much waits already.
    pub(crate) fn ask(&self, request: Request, to: ReplyTo, deadline: abd::Instant) -> Result<(), Reply> {
        let request = own(request);
        let mut queue = self.queue();
        let closed = queue.closed;
        let waiting = if request.is_read() { &mut queue.reads } else { &mut queue.writes };
        if waiting.bytes > QUEUE_BYTES_MAX || closed {
            return Err(Reply::Refused(Refusal::Overloaded));
        }
        waiting.bytes += cost(&request);
        waiting.lookups.push_back(Lookup { request, to, asked: now_instant(), deadline });
        drop(queue);
        self.handed_over.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
        Ok(())
    }

    /// Requests that were handed over so far.
    pub(crate) fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// An event loop has taken values of so many bytes over.
    pub(crate) fn taken(&self, found_bytes: usize) {
        let mut queue = self.queue();
        let was_full = queue.found_bytes > FOUND_BYTES_MAX;
        queue.found_bytes -= found_bytes;
        if was_full && queue.found_bytes <= FOUND_BYTES_MAX {
            self.wake.notify_all();
        }
    }

    /// Lets the threads end; what still waits is forgotten.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.wake.notify_all();
    }

    /// What each reader thread does, until closed.
    pub(crate) fn run(&self, node: &Node) {
        let mut put = Puts::default();
        while let Some(Lookup { request, to, asked, deadline }) = self.next() {
            let now = now_instant();
            let is_outdated = request.is_read() && now.since(asked) > OUTDATED_AFTER;
            if is_outdated || now > deadline {
                continue;
            }
            let latest = node.horizon_clock();
            let reaction =
                self.look_up(|| node.replica.handle(&node.store, request, node.standing(), latest));
            if let Some(reply) = node.carry_out(reaction, to, &mut put) {
                let found = found_bytes(&reply);
                if found > 0 {
                    self.queue().found_bytes += found;
                }
                node.committer.completions(to.shard).give([(to, reply)]);
            }
        }
    }

    fn next(&self) -> Option<Lookup> {
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return None;
            }
            if queue.found_bytes <= FOUND_BYTES_MAX {
                queue.turn = (queue.turn + 1) % TURNS;
                let Queue { writes, reads, turn, .. } = &mut *queue;
                let (first, second) = if *turn == 0 { (reads, writes) } else { (writes, reads) };
                if let Some(lookup) = first.pop().or_else(|| second.pop()) {
                    return Some(lookup);
                }
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(request: &Request) -> usize {
    REQUEST_OVERHEAD + request.bytes()
}

/// In memory of its own.
fn own(mut request: Request) -> Request {
    let (Request::LocalRead { key, .. }
    | Request::LocalReadTimestamp { key }
    | Request::LocalWrite { key, .. }) = &mut request;
    *key = Bytes::copy_from_slice(key);
    if let Request::LocalWrite { stamped, .. } = &mut request
        && let Content::Value(value) = &mut stamped.content
        && value.len() < COPIED_BELOW
    {
        *value = Bytes::copy_from_slice(value);
    }
    request
}

/// Bytes of the value that a reply brings.
pub(super) fn found_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Read { content: Some(content), .. } => content.len(),
        _ => 0,
    }
}

/// What this thread has read from the disk so far, in the system's units. Time alone does not tell: on a busy machine a thread
/// that waits for nothing is interrupted for milliseconds, too, and after a lock that it waited for in vain for a moment.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "getrusage has no safe wrapper among our dependencies")]
fn disk_reads_of_this_thread() -> i64 {
    // SAFETY: `usage` is plain data for which all-zero is valid, and the call writes nothing else.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage.ru_inblock
    }
}

/// Elsewhere a lookup of a millisecond is taken for one.
#[cfg(not(target_os = "linux"))]
fn disk_reads_of_this_thread() -> i64 {
    i64::try_from(now_instant().0 / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServeArgs;
    use crate::node::RunningNode;
    use abd::{CallId, StampedValue, Version};
    use std::fmt::Write as _;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::FileExt;

    const TO: ReplyTo = ReplyTo { shard: 0, connection: 0, call: CallId { operation: 0, phase: 0 } };

    const LATE: abd::Instant = abd::Instant(u64::MAX);

    fn read() -> Request {
        Request::LocalReadTimestamp { key: "k".into() }
    }

    #[test]
    fn what_waits_for_the_disk_is_bounded() {
        let readers = Readers::default();
        let mut taken = 0;
        while readers.ask(read(), TO, LATE).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, QUEUE_BYTES_MAX / cost(&read()) + 1);
        assert_eq!(readers.ask(read(), TO, LATE), Err(Reply::Refused(Refusal::Overloaded)));
        assert!(readers.next().is_some());
        assert_eq!(readers.ask(read(), TO, LATE), Ok(()));
    }

    #[test]
    fn no_lookup_begins_while_much_that_was_found_is_not_taken() {
        let readers = Readers::default();
        readers.ask(read(), TO, LATE).unwrap();
        readers.queue().found_bytes = FOUND_BYTES_MAX + 1;
        std::thread::scope(|scope| {
            let next = scope.spawn(|| readers.next().is_some());
            std::thread::sleep(Duration::from_millis(50));
            assert!(!next.is_finished());
            readers.taken(1);
            assert!(next.join().unwrap());
        });
        readers.close();
        assert!(readers.next().is_none());
        assert_eq!(readers.ask(read(), TO, LATE), Err(Reply::Refused(Refusal::Overloaded)));
    }

    #[test]
    fn a_slow_disk_is_one_on_which_lookups_took_long() {
        let readers = Readers::default();
        let (now, long) = (now_instant(), Duration::from_secs(3600));
        for _ in 0..SLOW_IN_A_ROW {
            assert!(!readers.are_slow());
            readers.has_read(long, now);
        }
        assert!(readers.are_needed() && readers.are_slow());
        readers.has_read(SLOW / 2, now);
        assert!(readers.are_needed() && !readers.are_slow());
        // Long ago they were all slow.
        let readers = Readers { slow: AtomicU32::new(SLOW_IN_A_ROW), ..Readers::default() };
        readers.has_read(long, now);
        assert!(readers.are_needed() && !readers.are_slow());
        assert!(readers.until.load(Ordering::Relaxed) <= (now + HANDED_OVER_AT_MOST).0);
    }

    #[test]
    fn most_turns_are_for_writes_and_some_for_reads() {
        let readers = Readers::default();
        let stamped = StampedValue { version: Version::MAX, content: Content::Value("v".into()) };
        let write = Request::LocalWrite { key: "k".into(), stamped };
        for _ in 0..8 {
            readers.ask(read(), TO, LATE).unwrap();
            readers.ask(write.clone(), TO, LATE).unwrap();
        }
        let are_reads: Vec<bool> = (0..16).map(|_| readers.next().unwrap().request.is_read()).collect();
        let (yes, no) = (true, false);
        assert_eq!(are_reads[..10], [no, no, no, yes, no, no, no, yes, no, no]);
        assert_eq!(are_reads.iter().filter(|is_read| **is_read).count(), 8);
        let queue = readers.queue();
        assert_eq!((queue.reads.bytes, queue.writes.bytes), (0, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn lookups_are_handed_over_after_one_that_has_read_from_the_disk() {
        let readers = Readers::default();
        readers.look_up(|| std::thread::sleep(Duration::from_millis(20)));
        assert!(!readers.are_needed() && !readers.are_slow(), "it has waited, but not for the disk");
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![7; 1 << 20], 0).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let before = disk_reads_of_this_thread();
        let began = now_instant();
        readers.look_up(|| file.read_exact_at(&mut vec![0; 1 << 20], 0).unwrap());
        let took = now_instant().since(began);
        // A file system in memory reads nothing.
        let has_read = disk_reads_of_this_thread() > before;
        let until = readers.until.load(Ordering::Relaxed);
        assert_eq!(until > began.0, has_read);
        assert!(until <= (now_instant() + took * HANDED_OVER_TIMES).0);
    }

    /// A node of its own whose disk is taken for slow. Nothing but where lookups happen may be different.
    #[test]
    fn a_node_answers_from_a_slow_disk() {
        let directory = tempfile::tempdir().unwrap();
        let start = || {
            let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let settings = ServeArgs {
                node_id: Some(1),
                cluster: Some("1=127.0.0.1:1".into()),
                peer_listen: Some("127.0.0.1:0".into()),
                listen: Some(listen.to_string()),
                data_dir: Some(directory.path().join("data")),
                cache_bytes: Some(1 << 20),
                ..ServeArgs::default()
            };
            RunningNode::start(settings.settle().unwrap()).ok().map(|running| (running, listen))
        };
        // Somebody else may have taken the port meanwhile.
        let (running, listen) = (0..10).find_map(|_| start()).unwrap();
        let node = running.node.clone();
        node.readers.hand_over_until(abd::Instant(u64::MAX));
        let client = TcpStream::connect(listen).unwrap();
        // Many times as much as may be found and not taken, and as one connection may seek.
        let values: Vec<String> = (0..300)
            .map(|number| {
                let size = if number % 4 == 0 { 300_000 } else { number };
                format!("{number:06}").repeat(size / 6 + 1)
            })
            .collect();
        let mut requests = String::new();
        let mut replies = String::new();
        for (number, value) in values.iter().enumerate() {
            let length = value.len();
            write!(requests, "*3\r\n$3\r\nSET\r\n$3\r\n{number:03}\r\n${length}\r\n{value}\r\n").unwrap();
            replies += "+OK\r\n";
        }
        for (number, value) in values.iter().enumerate() {
            write!(requests, "*2\r\n$3\r\nGET\r\n$3\r\n{number:03}\r\n").unwrap();
            write!(replies, "${}\r\n{value}\r\n", value.len()).unwrap();
        }
        requests += "*2\r\n$3\r\nDEL\r\n$3\r\n007\r\n*2\r\n$3\r\nGET\r\n$3\r\n007\r\n*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n";
        replies += ":1\r\n$-1\r\n$-1\r\n";
        std::thread::scope(|scope| {
            scope.spawn(|| (&client).write_all(requests.as_bytes()).unwrap());
            let mut read = vec![0; replies.len()];
            (&client).read_exact(&mut read).unwrap();
            assert!(read == replies.as_bytes(), "a reply is not the one that is expected");
        });
        // Each key before its first write, and large values again.
        assert!(node.readers.handed_over() > 300, "{}", node.readers.handed_over());
        // One that was asked for again may be on its way.
        let is_taken = |_: &i32| node.readers.queue().found_bytes == 0;
        let tries = 0..1000;
        assert!(tries.inspect(|_| std::thread::sleep(Duration::from_millis(10))).any(|n| is_taken(&n)));
        drop(client);
        running.stop();
    }
}
