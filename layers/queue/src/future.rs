//! What becomes of a message, of all messages, of the connection.
//!
//! In: the number of a message, or none. Out: futures. May touch: the send queue behind its lock.

use std::{
    fmt,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{DisconnectReason, Message};

use crate::{
    error::SendError,
    handle::{Handle, yield_some},
    send_queue::CompletionKey,
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

/// Ready when the message is in the queue. Until then it has not been queued, and dropping this drops
/// it.
///
/// Written by hand: an `async fn` would move the message twice more than it must be.
#[must_use = "until it is awaited the message is not queued"]
pub struct Enqueue<'a, M: Message> {
    handle: &'a mut Handle<M>,
    /// Absent once it is queued.
    msg: Option<M>,
    size: usize,
    /// It waits for a permit, or holds one.
    waiting: bool,
}

impl<'a, M: Message> Enqueue<'a, M> {
    #[inline]
    pub(crate) fn new(handle: &'a mut Handle<M>, msg: M) -> Self {
        Self {
            handle,
            size: msg.size(),
            msg: Some(msg),
            waiting: false,
        }
    }

    #[cold]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.msg.is_none() {
            // Polled again after it was ready.
            return Poll::Ready(Ok(()));
        }
        self.waiting = true;
        let permit = ready!(self.handle.poll_permit(cx, Some(self.size)));
        self.waiting = false;
        let queued = permit.and_then(|()| self.handle.push(&mut self.msg, self.size));
        // One that failed is not tried again.
        self.msg = None;
        Poll::Ready(queued.map(drop))
    }
}

/// The message is never pinned.
impl<M: Message> Unpin for Enqueue<'_, M> {}

impl<M: Message> Future for Enqueue<'_, M> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.handle.push_at_once(&mut this.msg, this.size) {
            return Poll::Ready(Ok(()));
        }
        this.wait(cx)
    }
}

impl<M: Message> Drop for Enqueue<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // An unused permit would keep other senders waiting.
        if self.waiting {
            self.handle.give_back();
        }
    }
}

impl<M: Message> fmt::Debug for Enqueue<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueue").finish_non_exhaustive()
    }
}

/// Ready when the kernel has taken all that was called before it was made.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Flushed<M> {
    shared: Arc<Shared<M>>,
    range: Range<u64>,
    key: Option<CompletionKey>,
}

impl<M> Flushed<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>, range: Range<u64>) -> Self {
        Self {
            shared,
            range,
            key: None,
        }
    }
}

impl<M> Future for Flushed<M> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut waker = Some(cx.waker().clone());
        let outcome = this
            .shared
            .lock()
            .flushed(this.range.clone(), &mut this.key, &mut waker);
        drop(waker);
        outcome.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<M> Drop for Flushed<M> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.shared.lock().forget_waiter(key);
            drop(waker);
        }
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
    shared: Arc<Shared<M>>,
    key: Option<CompletionKey>,
}

impl<M> Closed<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>) -> Self {
        Self { shared, key: None }
    }
}

impl<M> Future for Closed<M> {
    type Output = DisconnectReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        let this = self.get_mut();
        let mut waker = Some(cx.waker().clone());
        let reason = this.shared.lock().closed(&mut this.key, &mut waker);
        drop(waker);
        reason.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<M> Drop for Closed<M> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.shared.lock().forget_waiter(key);
            drop(waker);
        }
    }
}

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}
