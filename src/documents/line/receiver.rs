//! The receiving half of a line.
//!
//! In: what the inbox holds. Out: messages. Touches both documents.

use std::{
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use kyneta_uds_core::PeerId;
use kyneta_uds_exchange::{
    line::{Delivered, Delivery},
    typed,
};
use serde::de::DeserializeOwned;

use super::{error::ReceiveError, shared::Ends};
use crate::documents::document::Changes;

/// How many messages are processed before the peer is told, if more have come already.
const TOGETHER: usize = 32;

/// How much of an entry is shown in an error, characters.
const SHOWN: usize = 200;

/// Receives the messages of a line, each once and in order. It ends when the line is closed, or the exchange ends.
///
/// A message counts as processed when the next one is asked for. Until then it comes again after a restart, if the
/// documents are in a store. A receiver that does not read holds the sender up.
pub struct LineReceiver<I> {
    ends: Arc<Ends>,
    changes: Option<Changes>,
    arrived: VecDeque<Delivery>,
    /// What was handed out last, and how many since the peer was told.
    last: Option<Delivery>,
    untold: usize,
    of: PhantomData<fn() -> I>,
}

impl<I: DeserializeOwned> LineReceiver<I> {
    pub(super) fn new(ends: Arc<Ends>) -> Self {
        Self {
            changes: Some(ends.shared.inbox.changes()),
            ends,
            arrived: VecDeque::new(),
            last: None,
            untold: 0,
            of: PhantomData,
        }
    }

    /// The next message; `None` when there is none any more.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Result<I, ReceiveError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The peer at the other end.
    pub fn peer(&self) -> &PeerId {
        &self.ends.shared.peer
    }

    fn tell(&mut self) {
        if let Some(last) = self.last.take() {
            self.ends.shared.processed(&last);
        }
        self.untold = 0;
    }

    fn read(&self, delivery: &Delivery) -> Result<I, ReceiveError> {
        let line = self.ends.shared.inbox.id().clone();
        let seq = delivery.seq;
        match &delivery.what {
            Delivered::Message(payload) => {
                typed::read(payload).map_err(|source| ReceiveError::Read { line, seq, source })
            }
            Delivered::Missed(count) => Err(ReceiveError::Missed {
                line,
                seq,
                count: *count,
            }),
            Delivered::NoMessage(entry) => {
                let entry = entry.to_string().chars().take(SHOWN).collect();
                Err(ReceiveError::NoMessage { line, entry })
            }
            _ => Err(ReceiveError::NoMessage {
                line,
                entry: String::new(),
            }),
        }
    }
}

impl<I: DeserializeOwned> Stream for LineReceiver<I> {
    type Item = Result<I, ReceiveError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let receiver = self.get_mut();
        loop {
            if receiver.arrived.is_empty() || receiver.untold >= TOGETHER {
                receiver.tell();
            }
            if receiver.arrived.is_empty() {
                receiver.arrived = receiver.ends.shared.deliver().into();
            }
            if let Some(delivery) = receiver.arrived.pop_front() {
                let read = receiver.read(&delivery);
                receiver.last = Some(delivery);
                receiver.untold += 1;
                return Poll::Ready(Some(read));
            }
            let Some(changes) = &mut receiver.changes else {
                return Poll::Ready(None);
            };
            match Pin::new(changes).poll_next(cx) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => receiver.changes = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<I> fmt::Debug for LineReceiver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LineReceiver").field(&self.ends).finish()
    }
}
