//! What becomes of a message, of all messages, of the connection.
//!
//! In: the number of a message, or none. Out: futures. May touch: the backlog behind its lock.

use std::{
    fmt,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{DisconnectReason, Message};

use crate::{backlog::Seat, error::SendError, handle::Handle, shared::Shared};

/// Ready when the kernel has taken the message's bytes. Dropping it does not un-send.
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
            let Some(outcome) = shared.lock().outcome(*number, cx.waker()) else {
                return Poll::Pending;
            };
            self.state = State::Done;
            return Poll::Ready(outcome);
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
            shared.lock().forget(*number);
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
pub struct Queueing<'a, M: Message> {
    handle: &'a mut Handle<M>,
    /// Absent once it is queued.
    msg: Option<M>,
    /// A place in the line, or a slot, is held for it.
    waiting: bool,
}

impl<'a, M: Message> Queueing<'a, M> {
    #[inline]
    pub(crate) const fn new(handle: &'a mut Handle<M>, msg: M) -> Self {
        Self {
            handle,
            msg: Some(msg),
            waiting: false,
        }
    }

    #[cold]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.waiting = true;
        let slot = ready!(self.handle.poll_slot(cx));
        self.waiting = false;
        slot?;
        Poll::Ready(match self.msg.take() {
            Some(msg) => self.handle.push(msg).map(drop),
            // Polled again after it was ready: it is queued.
            None => Ok(()),
        })
    }
}

/// The message is never pinned.
impl<M: Message> Unpin for Queueing<'_, M> {}

impl<M: Message> Future for Queueing<'_, M> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.handle.push_at_once(&mut this.msg) {
            return Poll::Ready(Ok(()));
        }
        this.wait(cx)
    }
}

impl<M: Message> Drop for Queueing<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // Given up while it waits, it leaves the line: a slot that nobody uses would starve others.
        if self.waiting {
            self.handle.give_back();
        }
    }
}

impl<M: Message> fmt::Debug for Queueing<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queueing").finish_non_exhaustive()
    }
}

/// Ready when the kernel has taken all that was called before it was made.
pub struct Flushed<M> {
    shared: Arc<Shared<M>>,
    range: Range<u64>,
    seat: Option<Seat>,
}

impl<M> Flushed<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>, range: Range<u64>) -> Self {
        Self {
            shared,
            range,
            seat: None,
        }
    }
}

impl<M> Future for Flushed<M> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this
            .shared
            .lock()
            .flushed(this.range.clone(), &mut this.seat, cx.waker())
        {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl<M> Drop for Flushed<M> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.shared.lock().stand(seat);
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
pub struct Closed<M> {
    shared: Arc<Shared<M>>,
    seat: Option<Seat>,
}

impl<M> Closed<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>) -> Self {
        Self { shared, seat: None }
    }
}

impl<M> Future for Closed<M> {
    type Output = DisconnectReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        let this = self.get_mut();
        match this.shared.lock().closed(&mut this.seat, cx.waker()) {
            Some(reason) => Poll::Ready(reason),
            None => Poll::Pending,
        }
    }
}

impl<M> Drop for Closed<M> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.shared.lock().stand(seat);
        }
    }
}

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}
