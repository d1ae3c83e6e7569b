//! Messages that are queued together.
//!
//! In: messages. Out: a batch, and a future that moves it into the send queue. May touch: the handle's permit, the
//! send queue.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{ChannelMsg, Message, SmallOffer};

use crate::{
    error::SendError,
    handle::Handle,
    send_queue::{Batch, ByValue},
};

/// Messages to be queued together by [`Handle::queue_all`]: under one lock, and moved once.
///
/// It has no bound of its own: the caller decides how many it holds. Its memory is exchanged with the queue's, so
/// filling the same one again allocates nothing.
///
/// ```
/// use kyneta_uds_queue::MessageBatch;
///
/// let mut batch: MessageBatch<u64> = [1, 2].into_iter().collect();
/// batch.push(3);
/// assert_eq!((batch.len(), batch.is_empty()), (3, false));
/// assert_eq!(batch.pop(), Some(1));
/// ```
pub struct MessageBatch<M> {
    waiting: Batch<M>,
}

impl<M> MessageBatch<M> {
    /// An empty batch.
    pub const fn new() -> Self {
        Self {
            waiting: Batch::new(),
        }
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True when it holds none.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the first message out again.
    pub fn pop(&mut self) -> Option<M> {
        self.waiting.pop()?.msg
    }
}

impl<M> MessageBatch<M> {
    pub(crate) const fn waiting(&mut self) -> &mut Batch<M> {
        &mut self.waiting
    }
}

impl<M: Message> MessageBatch<M> {
    /// Adds a message at the end.
    #[inline]
    pub fn push(&mut self, msg: M) {
        // Here and not under the lock: it is the user's code.
        let size = msg.size();
        self.waiting.push(Some(msg), size);
    }
}

impl MessageBatch<ChannelMsg> {
    #[inline]
    pub(crate) fn push_small(&mut self, offer: &SmallOffer<'_>, by_value: ByValue<ChannelMsg>) {
        self.waiting.push_small(offer, by_value);
    }
}

impl<M> Default for MessageBatch<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> Extend<M> for MessageBatch<M> {
    fn extend<I: IntoIterator<Item = M>>(&mut self, msgs: I) {
        msgs.into_iter().for_each(|msg| self.push(msg));
    }
}

impl<M: Message> FromIterator<M> for MessageBatch<M> {
    fn from_iter<I: IntoIterator<Item = M>>(msgs: I) -> Self {
        let mut batch = Self::new();
        batch.extend(msgs);
        batch
    }
}

impl<M> fmt::Debug for MessageBatch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBatch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<M: Message> Handle<M> {
    /// Queues the messages of `batch`, in order, as many at once as there is room for, and waits for room for the rest. It
    /// does not wait for the kernel. Each message counts as one that was queued alone: the queue's bounds, the line of
    /// senders that wait, and [`flushed`](Self::flushed) see no difference. Where the batch has to wait, messages of
    /// other senders may come between.
    ///
    /// Cancel safe: what is not queued yet stays in the batch, as it does after an error.
    ///
    /// ```
    /// # use kyneta_uds_core::ChannelMsg;
    /// # use kyneta_uds_queue::{Handle, MessageBatch, SendError};
    /// # async fn send(mut handle: Handle<ChannelMsg>, msgs: Vec<ChannelMsg>) -> Result<(), SendError> {
    /// let mut batch: MessageBatch<_> = msgs.into_iter().collect();
    /// handle.queue_all(&mut batch).await?;
    /// assert!(batch.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`, for the first message that is left in the batch.
    #[inline]
    pub const fn queue_all<'a>(&'a mut self, batch: &'a mut MessageBatch<M>) -> QueueAll<'a, M> {
        QueueAll {
            handle: self,
            batch,
            waiting: false,
        }
    }
}

/// Ready when all messages of the batch are in the queue. Made by [`Handle::queue_all`].
#[must_use = "until it is awaited nothing is queued"]
pub struct QueueAll<'a, M: Message> {
    handle: &'a mut Handle<M>,
    batch: &'a mut MessageBatch<M>,
    /// It waits for a permit, or holds one.
    waiting: bool,
}

impl<M: Message> Future for QueueAll<'_, M> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            this.handle.push_all_at_once(&mut this.batch.waiting);
            let Some(size) = this.batch.waiting.front_size() else {
                return Poll::Ready(Ok(()));
            };
            // There is no room, or others wait for it: the first one waits in line.
            this.waiting = true;
            let permit = ready!(this.handle.poll_permit(cx, Some(size)));
            this.waiting = false;
            permit?;
            this.handle.push_first(&mut this.batch.waiting, size)?;
        }
    }
}

impl<M: Message> Drop for QueueAll<'_, M> {
    fn drop(&mut self) {
        // An unused permit would keep other senders waiting.
        if self.waiting {
            self.handle.give_back();
        }
    }
}

impl<M: Message> fmt::Debug for QueueAll<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueAll")
            .field("left", &self.batch.len())
            .finish_non_exhaustive()
    }
}
