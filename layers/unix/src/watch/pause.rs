//! A sleep that the runtime knows nothing of.
//!
//! In: how long. Out: a wake of the task. May touch: the thread of [`poller`](super::poller); tokio's clock only if that
//! thread cannot be started.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{
    notify::{Notify, Reason},
    poller::PeriodicCheck,
};

/// A sleep of real time, timed by the thread of this process that also looks at paths: for deadlines that pend while
/// messages come and go, and mostly pass with nothing to do.
///
/// While a timer of a tokio runtime is pending, the runtime reads the clock and sets the kernel's timer each time it rests: some
/// 0.5 us. This one costs more when it is made, and wakes that thread when it is over: use it at most some hundred times a
/// second. It needs a tokio runtime with time only where no thread can be started.
///
/// Cancel safe: it is over at the same time whoever polls it. Dropped, it wakes no task. Where time is paused it is not.
///
/// ```
/// use kyneta_uds_unix::Pause;
/// use std::time::{Duration, Instant};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (start, pause) = (Instant::now(), Duration::from_millis(2));
/// Pause::new(pause).await;
/// assert!(start.elapsed() >= pause);
/// # }
/// ```
#[must_use = "futures do nothing unless they are awaited"]
pub struct Pause(By);

enum By {
    Thread {
        over: Arc<Notify>,
        _check: PeriodicCheck,
    },
    Runtime(Pin<Box<Sleep>>),
}

impl Pause {
    /// A pause that begins now.
    pub fn new(length: Duration) -> Self {
        let over = Arc::<Notify>::default();
        let wake = {
            let over = over.clone();
            move || over.notify(Reason::Interval)
        };
        Self(match PeriodicCheck::once(length, wake) {
            Some(_check) => By::Thread { over, _check },
            None => By::Runtime(Box::pin(sleep(length))),
        })
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            By::Thread { over, .. } => over.poll(cx).map(|_| ()),
            By::Runtime(sleep) => sleep.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause").finish_non_exhaustive()
    }
}
