//! The sending half of a line.
//!
//! In: messages. Out: when the peer has processed them. Touches the outbox.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::Sink;
use kyneta_uds_core::PeerId;
use kyneta_uds_exchange::typed;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::PollSemaphore;
use tower_service::Service;

use super::{
    error::LineError,
    shared::{Ends, Progress},
};

/// Sends the messages of a line. Clones send into the same line.
///
/// As a [`Service`], `call` answers when the peer has processed the message. As a [`Sink`], a flush waits until all is
/// processed. Both wait for room in `poll_ready`, which reserves a place until it is used or the clone is dropped.
pub struct LineSender<O> {
    ends: Arc<Ends>,
    room: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
    flush: Option<Acknowledged>,
    of: PhantomData<fn(O)>,
}

impl<O: Serialize> LineSender<O> {
    pub(super) fn new(ends: Arc<Ends>) -> Self {
        Self {
            room: PollSemaphore::new(ends.shared.room.clone()),
            ends,
            permit: None,
            flush: None,
            of: PhantomData,
        }
    }

    /// Sends a message when there is room for it: the peer has not processed fewer than
    /// [`max_waiting`](super::LineOptions::max_waiting) others. Whether there is a connection makes no difference.
    /// Resolves when the message is in the line; the answer resolves when the peer has processed it.
    ///
    /// Cancel safe: the message is in the line or it is not.
    ///
    /// # Errors
    /// [`LineError`].
    pub async fn send(&self, message: &O) -> Result<Acknowledged, LineError> {
        let room = self.ends.shared.room.clone();
        let permit = room.acquire_owned().await;
        self.put(message, permit.map_err(|_| self.ends.shared.gone())?)
    }

    fn put(&self, message: &O, permit: OwnedSemaphorePermit) -> Result<Acknowledged, LineError> {
        let payload = typed::write(message).map_err(|source| LineError::Write {
            line: self.ends.shared.outbox.id().clone(),
            source,
        })?;
        let seq = self.ends.shared.send(payload, permit)?;
        Ok(Acknowledged::of(self.ends.clone(), seq))
    }

    pub(super) const fn ends(&self) -> &Arc<Ends> {
        &self.ends
    }

    /// How many messages the peer has not processed yet.
    pub fn waiting(&self) -> usize {
        self.ends.shared.waiting()
    }

    /// The peer at the other end.
    pub fn peer(&self) -> &PeerId {
        &self.ends.shared.peer
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        if self.permit.is_none() {
            let permit = ready!(self.room.poll_acquire(cx));
            self.permit = Some(permit.ok_or_else(|| self.ends.shared.gone())?);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends with the place that `poll_ready` has reserved.
    fn put_reserved(&mut self, message: &O) -> Result<Acknowledged, LineError> {
        match self.permit.take() {
            Some(permit) => self.put(message, permit),
            None => Err(self.ends.shared.gone()),
        }
    }
}

impl<O: Serialize> Service<O> for LineSender<O> {
    type Response = ();
    type Error = LineError;
    type Future = Acknowledged;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.poll_room(cx)
    }

    fn call(&mut self, message: O) -> Acknowledged {
        self.put_reserved(&message)
            .unwrap_or_else(Acknowledged::failed)
    }
}

impl<O: Serialize> Sink<O> for LineSender<O> {
    type Error = LineError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.get_mut().poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: O) -> Result<(), LineError> {
        let sender = self.get_mut();
        sender.flush = Some(sender.put_reserved(&message)?);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        let sender = self.get_mut();
        if let Some(flush) = &mut sender.flush {
            let done = ready!(Pin::new(flush).poll(cx));
            sender.flush = None;
            done?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.poll_flush(cx)
    }
}

impl<O> Clone for LineSender<O> {
    fn clone(&self) -> Self {
        Self {
            ends: self.ends.clone(),
            room: self.room.clone(),
            permit: None,
            flush: None,
            of: PhantomData,
        }
    }
}

impl<O> fmt::Debug for LineSender<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LineSender").field(&self.ends).finish()
    }
}

/// Resolves when the peer has processed a message. It need not be polled: the message goes its way. The line is open as
/// long as it is there.
#[must_use = "the message is sent; drop this explicitly if it does not matter when it is processed"]
pub struct Acknowledged(Pin<Box<dyn Future<Output = Result<(), LineError>> + Send>>);

impl Acknowledged {
    fn of(ends: Arc<Ends>, seq: u64) -> Self {
        let mut progress = ends.shared.progress();
        Self(Box::pin(async move {
            let is_over = |progress: &Progress| progress.processed >= seq || progress.is_gone;
            match progress.wait_for(is_over).await {
                Ok(progress) if progress.processed >= seq => Ok(()),
                _ => Err(ends.shared.gone()),
            }
        }))
    }

    fn failed(error: LineError) -> Self {
        Self(Box::pin(std::future::ready(Err(error))))
    }
}

impl Future for Acknowledged {
    type Output = Result<(), LineError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledged").finish_non_exhaustive()
    }
}
