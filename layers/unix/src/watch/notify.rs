//! A notification from a thread to a task.
//!
//! In: the reason for a check. Out: that reason, once, and a wake of the task. Touches nothing else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use crate::mutex::lock;

/// Why a check is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The interval is over.
    Interval = 1,
    /// A file has changed.
    Change = 2,
}

const NONE: u8 = 0;

#[derive(Debug, Default)]
pub(crate) struct Notify {
    /// The strongest reason since the last poll, as a number.
    reason: AtomicU8,
    waker: Mutex<Option<Waker>>,
    /// `waker` is present.
    has_waker: AtomicBool,
}

impl Notify {
    /// Wakes the task.
    pub(crate) fn notify(&self, reason: Reason) {
        self.reason.fetch_max(reason as u8, Ordering::AcqRel);
        let waker = {
            let mut waker = lock(&self.waker);
            self.has_waker.store(false, Ordering::Release);
            waker.take()
        };
        if let Some(waker) = waker {
            // A waker is code of the user: its panic would end the thread that serves all other paths.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// Ready when notified since it was last ready. Wakes the last task that has polled it.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some(reason) = self.take() {
            return Poll::Ready(reason);
        }
        // A waker is code of the user: it is cloned before the lock is taken and dropped after.
        let waker = Some(cx.waker().clone());
        let former = {
            let mut current = lock(&self.waker);
            self.has_waker.store(true, Ordering::Release);
            std::mem::replace(&mut *current, waker)
        };
        drop(former);
        // It may have been notified before the waker was there.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// True when [`poll`](Self::poll) would be pending and has a waker already.
    pub(crate) fn is_quiet(&self) -> bool {
        self.has_waker.load(Ordering::Acquire) && self.reason.load(Ordering::Acquire) == NONE
    }

    fn take(&self) -> Option<Reason> {
        match self.reason.swap(NONE, Ordering::AcqRel) {
            NONE => None,
            reason if reason == Reason::Interval as u8 => Some(Reason::Interval),
            _ => Some(Reason::Change),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Wake};

    use super::*;

    struct Broken;

    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("this waker is broken");
        }
    }

    #[test]
    fn a_waker_that_panics_does_not_end_the_thread_that_notifies() {
        let notify = Notify::default();
        let waker = Waker::from(Arc::new(Broken));
        assert_eq!(notify.poll(&mut Context::from_waker(&waker)), Poll::Pending);
        notify.notify(Reason::Interval);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(notify.poll(&mut cx), Poll::Ready(Reason::Interval));
    }

    #[test]
    fn the_strongest_reason_is_kept_and_reported_once() {
        let notify = Notify::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(notify.poll(&mut cx), Poll::Pending);
        for reason in [Reason::Interval, Reason::Change, Reason::Interval] {
            notify.notify(reason);
        }
        assert!(!notify.is_quiet());
        assert_eq!(notify.poll(&mut cx), Poll::Ready(Reason::Change));
        assert!(!notify.is_quiet(), "the waker was used");
        assert_eq!(notify.poll(&mut cx), Poll::Pending);
        assert!(notify.is_quiet());
    }
}
