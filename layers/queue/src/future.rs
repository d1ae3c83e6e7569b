//! What becomes of a message, of all messages, of the connection.
//!
//! In: the number of a message, or none. Out: futures. May touch: the send queue behind its lock.

use std::{
    fmt,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use kyneta_uds_core::DisconnectReason;
use tokio::task::coop;

use crate::{
    error::SendError,
    send_queue::{CompletionKey, SendQueue},
    shared::Shared,
};

/// Ready when the kernel has taken the message's bytes. Dropping it does not cancel the send: where the
/// outcome is of no interest, say `drop(handle.call(msg))`.
#[must_use = "the outcome of a send is known only to its future"]
pub struct SendFuture<M> {
    state: State<M>,
}

enum State<M> {
    Queued { shared: Arc<Shared<M>>, number: u64 },
    Failed(SendError),
    Done,
}

impl<M> SendFuture<M> {
    pub(crate) fn queued(shared: Arc<Shared<M>>, number: u64) -> Self {
        Self {
            state: State::Queued { shared, number },
        }
    }

    pub(crate) fn failed(error: SendError) -> Self {
        Self {
            state: State::Failed(error),
        }
    }
}

impl<M> Future for SendFuture<M> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Queued { shared, number } = &self.state {
            let mut waker = Some(cx.waker().clone());
            let outcome = shared.lock().outcome(*number, &mut waker);
            drop(waker);
            let outcome = ready!(outcome.map_or(Poll::Pending, Poll::Ready));
            self.state = State::Done;
            return Poll::Ready(outcome);
        }
        if let State::Failed(SendError::Full { .. }) = &self.state {
            // A task that tries again at once must not keep its thread from the driver.
            ready!(yield_some(cx));
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Failed(error) => Poll::Ready(Err(error)),
            // Polled again after it was ready: nothing is left to wait for.
            State::Queued { .. } | State::Done => Poll::Ready(Ok(())),
        }
    }
}

impl<M> Drop for SendFuture<M> {
    fn drop(&mut self) {
        if let State::Queued { shared, number } = &self.state
            && shared.any_refusal()
        {
            let refusal = shared.lock().forget(*number);
            drop(refusal);
        }
    }
}

impl<M> fmt::Debug for SendFuture<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture").finish_non_exhaustive()
    }
}

/// Takes part in tokio's budget of a task.
pub(crate) fn yield_some(cx: &mut Context<'_>) -> Poll<()> {
    ready!(coop::poll_proceed(cx)).made_progress();
    Poll::Ready(())
}

/// Ready when the kernel has taken all that was called before it was made.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Flushed<M> {
    waiter: Waiter<M>,
    range: Range<u64>,
}

impl<M> Flushed<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>, range: Range<u64>) -> Self {
        let waiter = Waiter { shared, key: None };
        Self { waiter, range }
    }
}

impl<M> Future for Flushed<M> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let range = this.range.clone();
        this.waiter
            .poll(cx, |queue, key, waker| queue.flushed(range, key, waker))
    }
}

impl<M> fmt::Debug for Flushed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flushed")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// Ready, with the reason, when the connection has ended.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Closed<M> {
    waiter: Waiter<M>,
}

impl<M> Closed<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>) -> Self {
        let waiter = Waiter { shared, key: None };
        Self { waiter }
    }
}

impl<M> Future for Closed<M> {
    type Output = DisconnectReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        self.get_mut().waiter.poll(cx, SendQueue::closed)
    }
}

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}

/// The entry of a future in the send queue, which wakes it; removed when this is dropped.
struct Waiter<M> {
    shared: Arc<Shared<M>>,
    key: Option<CompletionKey>,
}

impl<M> Waiter<M> {
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        ask: impl FnOnce(&mut SendQueue<M>, &mut Option<CompletionKey>, &mut Option<Waker>) -> Option<T>,
    ) -> Poll<T> {
        // Cloned before and dropped after the lock is held.
        let mut waker = Some(cx.waker().clone());
        let answer = ask(&mut self.shared.lock(), &mut self.key, &mut waker);
        drop(waker);
        answer.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<M> Drop for Waiter<M> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.shared.lock().forget_waiter(key);
            drop(waker);
        }
    }
}
