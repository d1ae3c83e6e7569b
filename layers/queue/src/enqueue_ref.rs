//! Queueing a message by reference: a small offer is copied into memory of the queue's.
//!
//! In: a handle, a message by reference. Out: a future. May touch: the handle's permit, the send queue.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{ChannelMsg, Message, MessageRef, SmallOffer};

use crate::{batch::MessageBatch, error::SendError, handle::Handle};

impl Handle<ChannelMsg> {
    /// As [`queue`](Self::queue), of a message that stays the caller's: for many small offers, whose parts lie in
    /// buffers of the caller's. An offer of up to 4 KiB of data and version, without lineage and base, is copied into
    /// memory that the queue uses again: no allocation, no reference count, no move. Any other message is copied
    /// to one by value, which costs more than `queue` with a clone.
    ///
    /// Either way it is queued in order with all others, counts as they do against both bounds, and what becomes of it is
    /// reported as of them. A layer that does not know messages by reference is called with it by value.
    ///
    /// Cancel safe: until it is ready the message has not been queued.
    ///
    /// ```
    /// use kyneta_uds_core::{ChannelMsg, DataRef, DocId, Encoding, OfferRef, PayloadKind, VersionRef};
    /// # use kyneta_uds_queue::{Handle, SendError};
    ///
    /// # async fn send(mut handle: Handle<ChannelMsg>, doc: DocId) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut line = String::new();
    /// for n in 0..1000 {
    ///     line.clear();
    ///     line.push_str("{\"n\":1}");
    ///     let offer = OfferRef {
    ///         doc: &doc,
    ///         kind: PayloadKind::Since,
    ///         encoding: Encoding::Json,
    ///         data: DataRef::Text(&line),
    ///         version: VersionRef::new("7")?,
    ///         reciprocate: None,
    ///         lineage: None,
    ///         base: None,
    ///     };
    ///     handle.queue_ref(offer).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`.
    #[inline]
    pub fn queue_ref<'a>(&'a mut self, msg: impl Into<MessageRef<'a>>) -> EnqueueRef<'a> {
        let msg = msg.into();
        let small = small(&msg);
        let (other, size) = match &small {
            Some((_, size)) => (None, *size),
            None => other(&msg),
        };
        EnqueueRef {
            handle: self,
            small: small.map(|(offer, _)| offer),
            other,
            size,
            waiting: false,
        }
    }
}

impl MessageBatch<ChannelMsg> {
    /// Adds a message by reference at the end: a small offer is copied into memory that the batch and the queue use
    /// again, any other message is copied to one by value. See [`Handle::queue_ref`].
    ///
    /// ```
    /// use kyneta_uds_core::{ChannelMsg, DocId, Offer, Version};
    /// use kyneta_uds_queue::MessageBatch;
    ///
    /// let msg = ChannelMsg::from(Offer::binary(DocId::new("d")?, Version::new("1")?, &b"state"[..]));
    /// let mut batch = MessageBatch::new();
    /// batch.push(ChannelMsg::Depart);
    /// batch.push_ref(&msg);
    /// assert_eq!((batch.pop(), batch.pop()), (Some(ChannelMsg::Depart), Some(msg)));
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    #[inline]
    pub fn push_ref<'a>(&mut self, msg: impl Into<MessageRef<'a>>) {
        let msg = msg.into();
        match small(&msg) {
            Some((offer, _)) => self.push_small(&offer, by_value),
            None => self.extend(other(&msg).0),
        }
    }
}

fn by_value(offer: SmallOffer<'_>) -> ChannelMsg {
    offer.to_offer().into()
}

/// The message, if it is a small offer, and its size.
#[inline]
fn small<'a>(msg: &MessageRef<'a>) -> Option<(SmallOffer<'a>, usize)> {
    match msg {
        MessageRef::Offer(offer) => Some((SmallOffer::of(offer)?, offer.size())),
        _ => None,
    }
}

/// The message by value, and its size.
#[cold]
fn other(msg: &MessageRef<'_>) -> (Option<ChannelMsg>, usize) {
    let msg = msg.to_message();
    let size = msg.size();
    (Some(msg), size)
}

/// Ready when the message is in the queue. Made by [`Handle::queue_ref`].
#[must_use = "until it is awaited the message is not queued"]
pub struct EnqueueRef<'a> {
    handle: &'a mut Handle<ChannelMsg>,
    /// Both are absent once it is queued, or failed.
    small: Option<SmallOffer<'a>>,
    other: Option<ChannelMsg>,
    size: usize,
    /// It waits for a permit, or holds one.
    waiting: bool,
}

impl EnqueueRef<'_> {
    #[cold]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.small.is_none() && self.other.is_none() {
            // Polled again after it was ready.
            return Poll::Ready(Ok(()));
        }
        self.waiting = true;
        let permit = ready!(self.handle.poll_permit(cx, Some(self.size)));
        self.waiting = false;
        let queued = permit.and_then(|()| match &self.small {
            Some(offer) => self.handle.push_small(offer, self.size, by_value),
            None => self.handle.push(&mut self.other, self.size),
        });
        // One that failed is not tried again.
        (self.small, self.other) = (None, None);
        Poll::Ready(queued.map(drop))
    }
}

impl Future for EnqueueRef<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let queued = match &this.small {
            Some(offer) => this.handle.push_small_at_once(offer, this.size, by_value),
            None => this.handle.push_at_once(&mut this.other, this.size),
        };
        if queued {
            this.small = None;
            return Poll::Ready(Ok(()));
        }
        this.wait(cx)
    }
}

impl Drop for EnqueueRef<'_> {
    #[inline]
    fn drop(&mut self) {
        // An unused permit would keep other senders waiting.
        if self.waiting {
            self.handle.give_back();
        }
    }
}

impl fmt::Debug for EnqueueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnqueueRef").finish_non_exhaustive()
    }
}
