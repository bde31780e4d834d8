//! A wake-up between tasks of one event loop: what `tokio::sync::Notify` does, without its locks.

use std::cell::{Cell, RefCell};
use std::task::{Poll, Waker};

/// Given any number of times, it lets one wait end. One task waits at a time.
#[derive(Default)]
pub(crate) struct Signal {
    given: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Signal {
    /// Ends the wait that is going on, or the next one.
    pub(crate) fn give(&self) {
        if !self.given.replace(true)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Waits until the signal was given since the last wait.
    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|context| {
            if self.given.take() {
                return Poll::Ready(());
            }
            let mut waker = self.waker.borrow_mut();
            // The same task waits again and again: its waker is kept.
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Context;

    #[test]
    fn what_was_given_before_or_during_a_wait_ends_it_once() {
        let signal = Signal::default();
        let mut context = Context::from_waker(Waker::noop());
        signal.give();
        signal.give();
        assert!(pin!(signal.wait()).poll(&mut context).is_ready());
        let mut wait = pin!(signal.wait());
        assert!(wait.as_mut().poll(&mut context).is_pending());
        signal.give();
        assert!(wait.poll(&mut context).is_ready());
    }
}
