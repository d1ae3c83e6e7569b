//! The lines that peers open to this one.
//!
//! In: documents that appear. Out: lines. Touches: a task of tokio's.

use std::{collections::HashSet, fmt, pin::Pin, task::Context, task::Poll};

use futures_core::Stream;
use kyneta_uds_core::DocId;
use kyneta_uds_exchange::typed::Described;
use kyneta_uds_schema::{Schema, Substrate};
use kyneta_uds_sync::DocEvent;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    error::OpenLineError,
    open::{Line, LineOptions},
};
use crate::documents::{
    event::{ExchangeEvent, ExchangeEvents},
    exchange::{Exchange, WeakExchange},
};

/// How many lines may wait to be accepted.
const BACKLOG: usize = 64;

type Accepted<O, I> = Result<Line<O, I>, OpenLineError>;

/// The lines of a topic that peers open to this one, as a stream. See [`Line`] for an example. It ends with the exchange.
pub struct Lines<O, I> {
    accepted: mpsc::Receiver<Accepted<O, I>>,
    task: AbortHandle,
}

impl<O, I> Lines<O, I>
where
    O: Described + Serialize + 'static,
    I: Described + DeserializeOwned + 'static,
{
    pub(super) fn start(exchange: &Exchange, options: LineOptions, schema: Schema) -> Self {
        let events = exchange.events();
        exchange.register(Substrate::Plain, schema);
        let (sender, accepted) = mpsc::channel(BACKLOG);
        let accepting = Accepting {
            exchange: exchange.downgrade(),
            options,
            sender,
            known: HashSet::new(),
        };
        let task = tokio::spawn(accepting.run(events)).abort_handle();
        Self { accepted, task }
    }
}

impl<O, I> Lines<O, I> {
    /// The next line; `None` after the last one. An error concerns one line.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Accepted<O, I>> {
        self.accepted.recv().await
    }
}

impl<O, I> Stream for Lines<O, I> {
    type Item = Accepted<O, I>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.accepted.poll_recv(cx)
    }
}

impl<O, I> Drop for Lines<O, I> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<O, I> fmt::Debug for Lines<O, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

struct Accepting<O, I> {
    exchange: WeakExchange,
    options: LineOptions,
    sender: mpsc::Sender<Accepted<O, I>>,
    /// The inboxes that were seen and are here.
    known: HashSet<DocId>,
}

impl<O, I> Accepting<O, I>
where
    O: Described + Serialize + 'static,
    I: Described + DeserializeOwned + 'static,
{
    async fn run(mut self, mut events: ExchangeEvents) {
        if self.look_at_all().await.is_none() {
            return;
        }
        while let Some(event) = events.recv().await {
            let goes_on = match event {
                ExchangeEvent::Document {
                    doc,
                    event: DocEvent::Created | DocEvent::Promoted,
                } => self.look(&doc).await,
                ExchangeEvent::Document {
                    doc,
                    event: DocEvent::Removed,
                } => {
                    self.known.remove(&doc);
                    Some(())
                }
                ExchangeEvent::MissedEvents(_) => self.look_at_all().await,
                _ => Some(()),
            };
            if goes_on.is_none() {
                return;
            }
        }
    }

    async fn look_at_all(&mut self) -> Option<()> {
        let docs = self.exchange.upgrade()?.documents();
        let docs: Vec<_> = docs.iter().map(|doc| doc.id().clone()).collect();
        self.known.retain(|doc| docs.contains(doc));
        for doc in docs {
            self.look(&doc).await?;
        }
        Some(())
    }

    /// Opens the line of an inbox; `None` when there is no exchange, or no line is wanted any more.
    async fn look(&mut self, doc: &DocId) -> Option<()> {
        let exchange = self.exchange.upgrade()?;
        let Some(peer) = self.options.topic.sender(doc, exchange.peer_id()) else {
            return Some(());
        };
        if !self.known.insert(doc.clone()) {
            return Some(());
        }
        let line = exchange.open_line(peer, &self.options);
        drop(exchange);
        match line {
            // It is used already.
            Err(OpenLineError::Open { .. }) => Some(()),
            line => self.sender.send(line).await.ok(),
        }
    }
}
