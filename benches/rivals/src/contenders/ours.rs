//! kyneta-uds, through the handles of its `Server` and `Client` with their default settings: CBOR,
//! aliases, bounded queues.
//!
//! The client's handler counts the answers and sends the next message.

use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use kyneta_uds::{
    ChannelMsg, Client, DocEntry, DocId, Identity, Incoming, Offer, ReplicaType, SchemaHash,
    Server, Version,
};
use tokio::sync::Notify;
use tower::service_fn;

use super::{Contender, Facts};
use crate::{
    BoxError,
    link::Link,
    offer::{DOC, VERSION},
    works::{Pace, Task},
};

pub(super) struct Ours;

impl Contender for Ours {
    const FACTS: Facts = Facts {
        name: "kyneta-uds",
        title: "**kyneta-uds**",
        package: "kyneta-uds",
        note: "offers, queued through the handle of a `Client`; a handler on each side",
        pace: Pace {
            one_way: 8e6,
            piped: 1.2e6,
            bytes: 4e9,
        },
    };

    async fn serve(path: &Path, task: Task, ready: fn()) -> Result<(), BoxError> {
        let got = Arc::new(AtomicU64::new(0));
        let answer = service_fn(move |incoming: Incoming| {
            let offer = matches!(incoming.message, ChannelMsg::Offer(_));
            let answer = offer && task.answers(got.fetch_add(1, Ordering::Relaxed) + 1);
            async move {
                if answer {
                    // The client may have ended.
                    let _ = incoming.from().queue(incoming.message).await;
                }
                Ok::<_, Infallible>(())
            }
        });
        let hub = Identity::service("hub")?;
        let server = Server::builder(path).identity(hub).relay(false);
        let _server = server.listen(answer).await?;
        ready();
        std::future::pending().await
    }

    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError> {
        let flight = Arc::new(Flight::default());
        let handler = {
            let flight = flight.clone();
            service_fn(move |incoming: Incoming| {
                let next = flight.back();
                async move {
                    if next {
                        // If the server has ended, the measurement fails elsewhere.
                        let _ = incoming.from().queue(incoming.message).await;
                    }
                    Ok::<_, Infallible>(())
                }
            })
        };
        let mut client = Client::builder(path).connect(handler).await?;
        let replica = ReplicaType::new("bench", 1.0, 0.0)?;
        let entry = DocEntry::new(DocId::new(DOC)?, replica, SchemaHash::new("00")?);
        client.queue(ChannelMsg::Present(vec![entry])).await?;
        let offer = Offer::binary(DocId::new(DOC)?, Version::new(VERSION)?, task.data()).delta();
        Ok(Measured {
            client,
            flight,
            offer,
        })
    }
}

struct Measured {
    client: Client,
    flight: Arc<Flight>,
    offer: Offer,
}

impl Link for Measured {
    async fn round_trips(&mut self, count: u64, window: u64) -> Result<(), BoxError> {
        let first = window.min(count);
        self.flight.expect(count, count - first);
        self.send(first).await
    }

    async fn one_way(&mut self, count: u64) -> Result<(), BoxError> {
        self.flight.expect(1, 0);
        self.send(count).await
    }
}

impl Measured {
    /// Sends `count` messages, and waits until all expected ones have arrived.
    async fn send(&mut self, count: u64) -> Result<(), BoxError> {
        for _ in 0..count {
            self.client.queue(self.offer.clone().into()).await?;
        }
        self.flight.landed.notified().await;
        Ok(())
    }
}

/// The messages in flight.
#[derive(Default)]
struct Flight {
    state: Mutex<Progress>,
    landed: Notify,
}

#[derive(Default)]
struct Progress {
    to_come: u64,
    /// Messages that the handler has still to send.
    to_send: u64,
}

impl Flight {
    fn expect(&self, to_come: u64, to_send: u64) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Progress { to_come, to_send };
    }

    /// Counts an arrived message; true if the next one is to be sent.
    fn back(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.to_come = state.to_come.saturating_sub(1);
        if state.to_come == 0 {
            self.landed.notify_one();
        }
        let next = state.to_send > 0;
        state.to_send -= u64::from(next);
        next
    }
}
