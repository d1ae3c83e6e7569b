//! The cloneable handle: `Service<M>`.
//!
//! In: messages. Out: futures that tell what became of each. May touch: the backlog.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use kyneta_uds_core::Message;
use tower_service::Service;

use crate::{
    backlog::{Level, Pushed, Slot, Ticket},
    config::QueueEvent,
    error::SendError,
    future::{Closed, Flushed, Queueing, SendFuture},
    shared::Shared,
};

/// A bounded, cloneable handle to one channel. When the last one is dropped, what waits is sent and
/// the connection is closed.
///
/// As a `Service`: `poll_ready` reserves a slot, or fails once the connection has ended; `call` uses
/// it, and without one fails with [`SendError::Full`] when there is no room. Nothing panics. A clone
/// has no slot.
///
/// See the [crate](crate) for an example.
pub struct Handle<M> {
    shared: Arc<Shared<M>>,
    slot: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    None,
    Waiting(Ticket),
    Reserved,
    /// The policy is to fail, and there was no room.
    Overflow,
}

impl<M> Handle<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            slot: State::None,
        }
    }

    /// Ready when the kernel has taken all that was called so far, through any handle; or an error
    /// when some of it went down with a connection.
    ///
    /// Cancel safe: dropping it un-sends nothing.
    pub fn flushed(&self) -> Flushed<M> {
        let outstanding = self.shared.lock().outstanding();
        Flushed::new(self.shared.clone(), outstanding)
    }

    /// Ready, with the reason, when the connection has ended.
    pub fn closed(&self) -> Closed<M> {
        Closed::new(self.shared.clone())
    }

    /// Lets no more in, sends what waits, then ends the connection. [`closed`](Self::closed) tells
    /// when that is done, at the latest after the drain timeout.
    pub fn close(&self) {
        let wakes = self.shared.lock().close();
        wakes.wake();
    }

    /// Ends the connection at once; what waits fails.
    pub fn abort(&self) {
        self.shared.abort.store(true, Ordering::Release);
        self.close();
        // One that closes already is not woken by closing.
        let driver = self.shared.lock().rouse();
        driver.wake();
    }

    /// True once no more are let in.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_closed()
    }

    /// How many messages wait, and how many bytes they hold.
    pub fn queued(&self) -> (usize, usize) {
        let level = self.shared.lock().level();
        (level.messages, level.bytes)
    }

    /// How many messages have gone out since the start, whatever became of them: with the kernel,
    /// refused, or lost with a connection that they were on their way on. It is a mark that the queue
    /// keeps anyway; asking takes its lock once.
    pub fn gone_out(&self) -> u64 {
        self.shared.lock().outstanding().start
    }
}

impl<M: Message> Handle<M> {
    /// Waits for room and queues the message, without waiting for the kernel to take it: the
    /// cheapest way to send many. [`flushed`](Self::flushed) tells when they are out.
    ///
    /// Cancel safe: until it is ready the message has not been queued.
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`.
    #[inline]
    pub fn queue(&mut self, msg: M) -> Queueing<'_, M> {
        Queueing::new(self, msg)
    }

    /// With room and no line, one turn of the lock instead of two. True when the message was taken.
    #[inline]
    pub(crate) fn push_at_once(&mut self, msg: &mut Option<M>) -> bool {
        if !matches!(self.slot, State::None) {
            return false;
        }
        let size = msg.as_ref().map_or(0, M::size);
        match self.shared.lock().push_at_once(msg, size) {
            Some(pushed) => {
                self.pushed(pushed);
                true
            }
            None => false,
        }
    }

    #[inline]
    pub(crate) fn poll_slot(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let ticket = match self.slot {
            State::Reserved => return Poll::Ready(Ok(())),
            State::Waiting(ticket) => Some(ticket),
            State::None | State::Overflow => None,
        };
        let mut backlog = self.shared.lock();
        let (slot, wakes) = backlog.reserve(ticket, cx.waker());
        let polled = match slot {
            Slot::Reserved => {
                self.slot = State::Reserved;
                Poll::Ready(Ok(()))
            }
            Slot::Wait(ticket) => {
                self.slot = State::Waiting(ticket);
                Poll::Pending
            }
            Slot::Full => {
                self.slot = State::Overflow;
                Poll::Ready(Ok(()))
            }
            Slot::Closed => {
                self.slot = State::None;
                Poll::Ready(Err(backlog.disconnected(false)))
            }
        };
        drop(backlog);
        wakes.wake();
        polled
    }

    #[inline]
    pub(crate) fn push(&mut self, msg: M) -> Result<u64, SendError> {
        let size = msg.size();
        let slot = std::mem::replace(&mut self.slot, State::None);
        let mut backlog = self.shared.lock();
        match slot {
            State::Reserved => {}
            State::Overflow => return Err(backlog.full()),
            State::Waiting(ticket) if backlog.redeem(ticket) => {}
            State::Waiting(_) | State::None => backlog.try_reserve()?,
        }
        if backlog.is_closed() {
            // The message is dropped after the lock: it may be of a kind that looks at the queue.
            return Err(backlog.disconnected(false));
        }
        let pushed = backlog.push(msg, size)?;
        drop(backlog);
        Ok(self.pushed(pushed))
    }

    /// Tells those whom a queued message concerns.
    #[inline]
    fn pushed(&self, pushed: Pushed) -> u64 {
        if let Some(driver) = pushed.driver {
            driver.wake();
        }
        if let Some(Level { messages, bytes }) = pushed.full {
            let event = QueueEvent::HighWater { messages, bytes };
            self.shared.config.emit(event);
        }
        pushed.number
    }
}

impl<M: Message> Service<M> for Handle<M> {
    type Response = ();
    type Error = SendError;
    type Future = SendFuture<M>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_slot(cx)
    }

    #[inline]
    fn call(&mut self, msg: M) -> SendFuture<M> {
        match self.push(msg) {
            Ok(number) => SendFuture::queued(self.shared.clone(), number),
            Err(error) => SendFuture::failed(error),
        }
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl<M> Handle<M> {
    /// Gives back a slot, or the place in the line.
    pub(crate) fn give_back(&mut self) {
        match std::mem::replace(&mut self.slot, State::None) {
            State::Waiting(ticket) => {
                let wakes = self.shared.lock().leave(ticket);
                wakes.wake();
            }
            State::Reserved => {
                let wakes = self.shared.lock().release();
                wakes.wake();
            }
            State::None | State::Overflow => {}
        }
    }
}

impl<M> Drop for Handle<M> {
    fn drop(&mut self) {
        self.give_back();
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, bytes) = self.queued();
        f.debug_struct("Handle")
            .field("slot", &self.slot)
            .field("messages", &messages)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}
