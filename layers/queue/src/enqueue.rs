//! Queueing a message as soon as there is room for it.
//!
//! In: a handle, a message. Out: a future. May touch: the handle's permit, the send queue.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::Message;

use crate::{error::SendError, handle::Handle};

impl<M: Message> Handle<M> {
    /// Waits for room and queues the message, without waiting for the kernel to take it: the
    /// cheapest way to send many. [`flushed`](Self::flushed) resolves when they are out.
    ///
    /// Cancel safe: until it is ready the message has not been queued. Not awaited, it loses the message,
    /// and the compiler warns of it:
    ///
    /// ```compile_fail
    /// # #![deny(unused_must_use)]
    /// # use kyneta_uds_core::ChannelMsg;
    /// # fn send(mut handle: kyneta_uds_queue::Handle<ChannelMsg>, msg: ChannelMsg) {
    /// handle.queue(msg);
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`. The message is dropped then;
    /// [`try_queue`](Self::try_queue) gives it back.
    #[inline]
    pub fn queue(&mut self, msg: M) -> Enqueue<'_, M> {
        Enqueue::new(self, msg)
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
