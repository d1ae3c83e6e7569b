//! Spinning: for a bounded time after it has had something to do, the driver does not rest.
//!
//! In: whether a turn has read or written anything. Out: the task is polled again, or is not. May
//! touch: the clock, once a turn. The core's own: a paused tokio clock stands still while a task
//! spins, so that would never end.

use std::{
    future::Future,
    pin::Pin,
    task::Context,
    time::{Duration, Instant},
};

use tokio::task::yield_now;

/// The spinning of one driver.
pub(super) struct Spin {
    length: Duration,
    /// When there was last something to do; absent while the driver rests.
    busy: Option<Instant>,
    /// Without end. Each poll has the task polled again once the runtime has looked at its other
    /// tasks and at its I/O.
    yielding: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Spin {
    /// Absent when it is to spin for no time.
    pub(super) fn new(length: Duration) -> Option<Box<Self>> {
        (!length.is_zero()).then(|| {
            Box::new(Self {
                length,
                busy: None,
                yielding: Box::pin(async {
                    loop {
                        yield_now().await;
                    }
                }),
            })
        })
    }

    /// A turn is over. Everything that wakes the driver is registered already; this only adds to it.
    pub(super) fn turned(&mut self, cx: &mut Context<'_>, busy: bool) {
        if busy {
            self.busy = Some(Instant::now());
        } else if self.busy.is_some_and(|busy| busy.elapsed() >= self.length) {
            self.busy = None;
        }
        if self.busy.is_some() {
            let _ = self.yielding.as_mut().poll(cx);
        }
    }
}
