//! A timer that is late by microseconds. The event loop's own counts whole milliseconds, which is enough for what is sent
//! again and too coarse for rule T1: a wait for the end of a clock's uncertainty is often a fraction of one.

use std::io;
use std::time::Duration;

/// A timer of one task of an event loop.
pub(crate) struct Alarm {
    /// `None` where the system has no such timer, or gave none: then waits are rounded up to milliseconds.
    fine: Option<Fine>,
}

impl Alarm {
    /// A timer; to be called in the event loop that uses it.
    pub(crate) fn new() -> Self {
        let fine = Fine::new()
            .inspect_err(|why| {
                tracing::warn!("no fine timer, TrueTime will wait up to two milliseconds longer: {why}");
            })
            .ok();
        Self { fine }
    }

    /// Waits for so long at least. A wait that is given up may be followed by another.
    pub(crate) async fn wait(&self, time: Duration) {
        if let Some(fine) = &self.fine
            && fine.wait(time).await.is_ok()
        {
            return;
        }
        tokio::time::sleep(time).await;
    }
}

#[cfg(target_os = "linux")]
use linux::Fine;

#[cfg(target_os = "linux")]
mod linux {
    use super::{Duration, io};
    use rustix::fd::OwnedFd;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// The kernel's timers of high resolution, seen as a file.
    pub(super) struct Fine(AsyncFd<OwnedFd>);

    impl Fine {
        #[allow(unsafe_code, reason = "the event loop wants it promised that a descriptor stays the same")]
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // SAFETY: a descriptor that is owned is open, and the same one, for as long as its owner lives.
            Ok(Self(unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE)? }))
        }

        pub(super) async fn wait(&self, time: Duration) -> io::Result<()> {
            let at = Timespec {
                tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                // Zero would stop the timer.
                tv_nsec: time.subsec_nanos().max(1).into(),
            };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
            // This also takes back what an earlier setting has counted.
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            loop {
                let mut ready = self.0.readable().await?;
                // It may have been ready for a wait that was given up.
                let rung = rustix::io::retry_on_intr(|| rustix::io::read(self.0.get_ref(), &mut [0; 8]));
                ready.clear_ready();
                match rung {
                    Ok(_) => return Ok(()),
                    Err(rustix::io::Errno::AGAIN) => {}
                    Err(why) => return Err(why.into()),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Fine;

#[cfg(not(target_os = "linux"))]
impl Fine {
    fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn wait(&self, _: Duration) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Instant;

    #[tokio::test]
    async fn a_wait_is_never_shorter_than_asked_also_after_one_that_was_given_up() {
        let alarm = Alarm::new();
        #[cfg(target_os = "linux")]
        alarm.fine.as_ref().unwrap().wait(Duration::from_micros(300)).await.unwrap();
        for micros in [0, 1, 300, 2_500, 12_000, 200] {
            {
                // Set, and dropped before it goes off.
                let mut given_up = pin!(alarm.wait(Duration::from_micros(50)));
                poll_fn(|context| {
                    let _ = given_up.as_mut().poll(context);
                    Poll::Ready(())
                })
                .await;
            }
            // It goes off meanwhile.
            std::thread::sleep(Duration::from_micros(100));
            let (began, time) = (Instant::now(), Duration::from_micros(micros));
            alarm.wait(time).await;
            assert!(began.elapsed() >= time, "{:?} in place of {time:?}", began.elapsed());
        }
    }
}
