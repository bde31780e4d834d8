//! Lookups that wait for the disk, on threads of their own. When there are any, and which of them wait, is in
//! [`::node::lookups`]; here are the threads, the clock, and what tells that a lookup has read from the disk. A reply goes back to
//! its event loop as that of a write does.

use super::admission::SharedAdmission;
use super::completions::ReplyTo;
use super::disk::Disk;
use super::now_instant;
use ::node::lookups::{HandOver, Lookups, look_up, own};
use ::node::shard::REPLICA;
use abd::{Instant, Reply, Request};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The queue in front of the reader threads, and whether to use it.
#[derive(Default)]
pub(crate) struct Readers {
    queue: Mutex<Lookups<ReplyTo>>,
    /// Something is to be looked up, or may be again.
    wake: Condvar,
    hand_over: Mutex<HandOver>,
    handed_over: AtomicU64,
}

impl Readers {
    /// Whether an event loop should hand over what is not in memory.
    pub(crate) fn are_needed(&self) -> bool {
        self.hand_over().is_on(now_instant())
    }

    /// Whether what is handed over will not come back soon.
    pub(crate) fn are_slow(&self) -> bool {
        self.hand_over().is_slow(now_instant())
    }

    fn hand_over(&self) -> MutexGuard<'_, HandOver> {
        self.hand_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a lookup on the calling thread. Should it read from the disk, the next ones are handed over.
    pub(crate) fn look_up<T>(&self, lookup: impl FnOnce() -> T) -> T {
        let (began, reads) = (now_instant(), disk_reads_of_this_thread());
        let found = lookup();
        if disk_reads_of_this_thread() != reads {
            let now = now_instant();
            self.hand_over().has_read(now.since(began), now);
        }
        found
    }

    /// Queues a request, whose asker gives up at `deadline`; refuses it when too much waits already.
    pub(crate) fn ask(&self, request: Request, to: ReplyTo, deadline: Instant) -> Result<(), Reply> {
        // Before the queue is locked, which other threads use, too.
        let request = own(request);
        self.queue().ask(request, to, deadline, now_instant())?;
        self.handed_over.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
        Ok(())
    }

    /// Questions that were handed over so far.
    pub(crate) fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// An event loop has taken values of so many bytes over.
    pub(crate) fn taken(&self, found_bytes: usize) {
        if self.queue().taken(found_bytes) {
            self.wake.notify_all();
        }
    }

    /// Lets the threads end; what still waits is forgotten.
    pub(crate) fn close(&self) {
        self.queue().close();
        self.wake.notify_all();
    }

    /// What each reader thread does, until closed.
    pub(crate) fn run(&self, disk: &Disk, admission: &SharedAdmission) {
        while let Some((request, to)) = self.next() {
            let standing = disk.standing(admission);
            let completed = self.look_up(|| look_up(&REPLICA, &disk.store, request, standing));
            let bytes = completed.bytes();
            if bytes > 0 {
                self.queue().found(bytes);
            }
            disk.completions[to.shard].give([(to, completed)]);
        }
    }

    fn next(&self) -> Option<(Request, ReplyTo)> {
        let mut queue = self.queue();
        loop {
            if queue.is_closed() {
                return None;
            }
            if let Some(lookup) = queue.next(now_instant()) {
                return Some(lookup);
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Lookups<ReplyTo>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::fmt::Write as _;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

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
        readers.look_up(|| file.read_exact_at(&mut vec![0; 1 << 20], 0).unwrap());
        // A file system in memory reads nothing.
        let has_read = disk_reads_of_this_thread() > before;
        assert_eq!(*readers.hand_over() != HandOver::default(), has_read);
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
        let disk = running.disk.clone();
        disk.readers.hand_over().hand_over_until(Instant(u64::MAX));
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
        assert!(disk.readers.handed_over() > 300, "{}", disk.readers.handed_over());
        // One that was asked for again may be on its way.
        let is_taken = |_: &i32| disk.readers.queue().found_bytes() == 0;
        let tries = 0..1000;
        assert!(tries.inspect(|_| std::thread::sleep(Duration::from_millis(10))).any(|n| is_taken(&n)));
        drop(client);
        running.stop();
    }
}
