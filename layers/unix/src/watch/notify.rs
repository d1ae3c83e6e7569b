//! A flag that a thread sets and a task waits for.
//!
//! In: a reason to look. Out: that reason, once, and a wake of the task. Touches nothing else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::lock;

/// Why a look is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is time.
    Time = 1,
    /// A file has changed.
    Change = 2,
}

const SILENT: u8 = 0;

#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// The strongest reason since the last poll, as a number.
    why: AtomicU8,
    waker: Mutex<Option<Waker>>,
    /// It has one.
    has_waker: AtomicBool,
}

impl Bell {
    /// Wakes the task.
    pub(crate) fn ring(&self, why: Why) {
        self.why.fetch_max(why as u8, Ordering::AcqRel);
        let waker = {
            let mut waker = lock(&self.waker);
            self.has_waker.store(false, Ordering::Release);
            waker.take()
        };
        if let Some(waker) = waker {
            // A waker is code of the user: its panic would end the thread that watches for all others.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// Ready when it has been rung since it was last ready. Wakes the last task that has polled it.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Why> {
        if let Some(why) = self.take() {
            return Poll::Ready(why);
        }
        // A waker is code of the user: it is cloned before the lock is taken and dropped after.
        let waker = Some(cx.waker().clone());
        let former = {
            let mut current = lock(&self.waker);
            self.has_waker.store(true, Ordering::Release);
            std::mem::replace(&mut *current, waker)
        };
        drop(former);
        // It may have been rung before the waker was there.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// True when [`poll`](Self::poll) would be pending and has a waker already.
    pub(crate) fn is_quiet(&self) -> bool {
        self.has_waker.load(Ordering::Acquire) && self.why.load(Ordering::Acquire) == SILENT
    }

    fn take(&self) -> Option<Why> {
        match self.why.swap(SILENT, Ordering::AcqRel) {
            SILENT => None,
            why if why == Why::Time as u8 => Some(Why::Time),
            _ => Some(Why::Change),
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
    fn a_waker_that_panics_ends_no_thread_that_rings() {
        let bell = Bell::default();
        let waker = Waker::from(Arc::new(Broken));
        assert_eq!(bell.poll(&mut Context::from_waker(&waker)), Poll::Pending);
        bell.ring(Why::Time);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(bell.poll(&mut cx), Poll::Ready(Why::Time));
    }

    #[test]
    fn a_bell_keeps_the_strongest_reason_and_is_heard_once() {
        let bell = Bell::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(bell.poll(&mut cx), Poll::Pending);
        for why in [Why::Time, Why::Change, Why::Time] {
            bell.ring(why);
        }
        assert!(!bell.is_quiet());
        assert_eq!(bell.poll(&mut cx), Poll::Ready(Why::Change));
        assert!(!bell.is_quiet(), "the waker was used");
        assert_eq!(bell.poll(&mut cx), Poll::Pending);
        assert!(bell.is_quiet());
    }
}
