//! A bounded queue of lines, and the one thread that waits for stderr.

use super::limit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Lines that may wait for whoever reads stderr, and bytes of one of them.
const LINES_MAX: usize = 1024;
const LINE_BYTES_MAX: usize = 8 << 10;
/// How long the program's end waits for its last lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// Between two attempts to put something into a queue that is full, at the program's end.
const RETRY_AFTER: Duration = Duration::from_millis(5);

static QUEUE: OnceLock<SyncSender<Message>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// The last line has been said: nothing follows.
static ENDED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

enum Message {
    Line(Vec<u8>),
    /// Dropped when all lines before it have been written or counted.
    Flush {
        _done: SyncSender<()>,
    },
    /// There is something to tell in a while.
    Wake,
}

/// Lines that could not be written since the program started.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Starts the thread that writes, once.
pub(super) fn start() -> io::Result<()> {
    let (sender, receiver) = sync_channel(LINES_MAX);
    if QUEUE.set(sender).is_ok() {
        std::thread::Builder::new().name("log".into()).spawn(move || run(&receiver))?;
    }
    Ok(())
}

/// Has the thread look at what is to be told after a while.
pub(super) fn wake() {
    if let Some(queue) = QUEUE.get() {
        // In a full queue is enough to wake it.
        let _ = queue.try_send(Message::Wake);
    }
}

/// Takes whole lines, one with each write, and never refuses any.
pub(super) struct Queued;

impl Write for Queued {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !ENDED.load(Ordering::Relaxed) {
            enqueue(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn enqueue(line: &[u8]) {
    let Some(queue) = QUEUE.get() else { return };
    if queue.try_send(Message::Line(one_line(line, io::stderr().is_terminal()))).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is said at once is one line, of [`LINE_BYTES_MAX`] bytes at most. It may quote what strangers have sent, who must not be
/// able to write lines of their own.
fn one_line(said: &[u8], may_have_colours: bool) -> Vec<u8> {
    let said = &said[..said.len().min(LINE_BYTES_MAX)];
    let said = said.strip_suffix(b"\n").unwrap_or(said);
    let mut line = Vec::with_capacity(said.len() + 1);
    for byte in said {
        match byte {
            b'\t' => line.push(b' '),
            b'\x1b' if may_have_colours => line.push(*byte),
            byte if byte.is_ascii_control() => line.extend(byte.escape_ascii()),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

/// Says why the program ends to whoever started it: as the last line, behind everything that has been logged so far. Waits for
/// about a second at most until it is written.
pub fn end_with(line: &str) {
    ENDED.store(true, Ordering::Relaxed);
    if QUEUE.get().is_some() && !IS_WRITER.get() {
        enqueue(line.as_bytes());
        return flush();
    }
    // There is no thread that could wait.
    let mut out = Output { patience: Some(FLUSH_LIMIT), cut: false };
    let _ = out.write(format!("{line}\n").as_bytes());
}

/// Waits until everything that has been logged so far is written or counted, for about a second at most.
pub fn flush() {
    let Some(queue) = QUEUE.get().filter(|_| !IS_WRITER.get()) else { return };
    let deadline = Instant::now() + FLUSH_LIMIT;
    let (sender, done) = sync_channel(0);
    let mut message = Message::Flush { _done: sender };
    while let Err(TrySendError::Full(back)) = queue.try_send(message) {
        if Instant::now() > deadline {
            return;
        }
        message = back;
        #[expect(clippy::disallowed_methods, reason = "the process ends, in a second at most")]
        std::thread::sleep(RETRY_AFTER);
    }
    let _ = done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

fn run(messages: &Receiver<Message>) {
    IS_WRITER.set(true);
    let mut out = Output { patience: None, cut: false };
    let mut told = 0;
    loop {
        let message = match limit::next_look() {
            Some(wait) => messages.recv_timeout(wait),
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match message {
            Ok(Message::Line(line)) => {
                if out.write(&line).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let dropped = lines_dropped();
                if dropped > told {
                    let lines = dropped - told;
                    told = dropped;
                    tracing::warn!(lines, "lines of this log could not be written and are lost");
                }
            }
            Ok(Message::Flush { .. } | Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        limit::tell_of_unwritten();
    }
}

/// Stderr itself: the standard library's takes a lock that somebody may hold who waits.
struct Output {
    /// How long a reader may leave everything unread; for ever if this is `None`.
    patience: Option<Duration>,
    /// The last line was written in part.
    cut: bool,
}

impl Output {
    fn write(&mut self, line: &[u8]) -> Result<(), Errno> {
        if std::mem::take(&mut self.cut) {
            let _ = self.write_all(b"\n");
        }
        self.write_all(line)
    }

    fn write_all(&mut self, mut rest: &[u8]) -> Result<(), Errno> {
        let stderr = io::stderr();
        let stderr = stderr.as_fd();
        let length = rest.len();
        while !rest.is_empty() {
            if self.patience.is_some() {
                self.wait(stderr)?;
            }
            match rustix::io::write(stderr, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                // Somebody who has the same file open has asked not to wait.
                Err(Errno::AGAIN) => self.wait(stderr)?,
                Err(why) => {
                    self.cut = rest.len() < length;
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    fn wait(&self, stderr: std::os::fd::BorrowedFd<'_>) -> Result<(), Errno> {
        let limit = self.patience.map(|patience| Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        });
        match poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], limit.as_ref()) {
            Ok(0) => Err(Errno::TIMEDOUT),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(why) => Err(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_send_begins_no_line() {
        let said = b"why=bad\r\n2026 ERROR forged\t\x1b[31m\n";
        assert_eq!(one_line(said, false), b"why=bad\\r\\n2026 ERROR forged \\x1b[31m\n");
        assert_eq!(one_line(b"\x1b[32m INFO\x1b[0m \xc3\xa4\n", true), b"\x1b[32m INFO\x1b[0m \xc3\xa4\n");
        assert_eq!(one_line(&vec![b'x'; 2 * LINE_BYTES_MAX], false).len(), LINE_BYTES_MAX + 1);
    }
}
