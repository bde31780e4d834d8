//! Connections of strangers, whose number has a bound: the one that has been there for longest makes room for a new one. Whoever
//! knows what he wants is done long before.

use super::signal::Signal;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Those who are there, the oldest first.
pub(crate) struct Crowd {
    most: usize,
    inside: RefCell<VecDeque<Rc<Signal>>>,
}

/// Somebody who is there until this is dropped.
struct Inside<'a> {
    crowd: &'a Crowd,
    told: Rc<Signal>,
}

impl Crowd {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, inside: RefCell::default() }
    }

    /// Serves somebody, unless he has to make room: then the work is dropped.
    pub(crate) async fn serve<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let inside = self.enter();
        tokio::select! {
            biased;
            done = work => Some(done),
            () = inside.told.wait() => None,
        }
    }

    fn enter(&self) -> Inside<'_> {
        let mut inside = self.inside.borrow_mut();
        while inside.len() >= self.most
            && let Some(oldest) = inside.pop_front()
        {
            oldest.give();
        }
        let told = Rc::<Signal>::default();
        inside.push_back(told.clone());
        Inside { crowd: self, told }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.crowd.inside.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn the_oldest_makes_room_and_whoever_is_done_counts_no_more() {
        let crowd = Crowd::new(2);
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(crowd.serve(pending::<()>()));
        let mut second = pin!(crowd.serve(pending::<()>()));
        assert!(first.as_mut().poll(&mut context).is_pending());
        {
            let mut quick = pin!(crowd.serve(ready(7)));
            assert_eq!(quick.as_mut().poll(&mut context), Poll::Ready(Some(7)));
        }
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(first.as_mut().poll(&mut context).is_pending(), "there are two");
        let mut third = pin!(crowd.serve(pending::<()>()));
        assert!(third.as_mut().poll(&mut context).is_pending());
        assert_eq!(first.poll(&mut context), Poll::Ready(None));
        assert!(second.poll(&mut context).is_pending());
        assert_eq!(crowd.inside.borrow().len(), 2);
    }
}
