//! Sends numbered messages, at a pace, and keeps the result of each.
//!
//! In: how many messages, and how many may be in flight. Out: a [`Call`] for each. May touch: the
//! bus, as a client or as a peer, with a runtime of its own.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use kyneta_uds::{
    ChannelMsg, Client, DocId, Event, Events, Identity, Incoming, Offer, Peer, ReconnectPolicy,
    Role, SendError, SendFuture, Version,
};
use serde_json::{Value, json};
use tower::{Service, ServiceExt as _, service_fn};

use super::{
    Load,
    call::{Call, Outcome},
};
use crate::{DEADLINE, support::event_log::EventLog};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Never listens.
    Client,
    /// May become the listener. The messages that it receives then go into the log.
    Peer,
}

#[derive(Debug)]
pub(super) struct Sender {
    pub(super) id: &'static str,
    kind: Kind,
    path: PathBuf,
    log: Arc<EventLog>,
    rejoin: AtomicBool,
}

impl Sender {
    pub(super) fn new(kind: Kind, id: &'static str, path: &Path, log: &Arc<EventLog>) -> Self {
        Self {
            id,
            kind,
            path: path.into(),
            log: log.clone(),
            rejoin: AtomicBool::new(false),
        }
    }

    /// Has it leave on purpose and join again, between two messages.
    pub(super) fn request_rejoin(&self) {
        self.rejoin.store(true, Ordering::SeqCst);
    }

    /// Sends messages 0 to `count`. Signals `now` at each send, if a receiver waits for it.
    pub(super) fn send(&self, count: usize, load: &Load, now: &SyncSender<()>) -> Vec<Call> {
        let data = "x".repeat(load.data);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut end = self.join().await;
            let mut calls = Vec::with_capacity(count);
            let start = tokio::time::Instant::now();
            while calls.len() < count {
                if self.rejoin.swap(false, Ordering::SeqCst) {
                    end.dispose().await;
                    end = self.join().await;
                }
                let first = calls.len();
                let numbers = first..count.min(first + load.at_a_time);
                tokio::time::sleep_until(start + Duration::from_secs(1) * first as u32 / load.pace)
                    .await;
                let _ = now.try_send(());
                let mut in_flight = Vec::new();
                for number in numbers {
                    in_flight.push(end.call(self.offer(number, &data)).await);
                }
                calls.extend(join_all(in_flight).await);
            }
            end.dispose().await;
            calls
        })
    }

    fn offer(&self, number: usize, data: &str) -> (usize, ChannelMsg) {
        let version = Version::new(number.to_string()).unwrap();
        let offer = Offer::json(DocId::new(self.id).unwrap(), version, data.to_owned());
        (number, offer.delta().into())
    }

    async fn join(&self) -> End {
        let identity = Identity::service(self.id).unwrap();
        match self.kind {
            Kind::Client => {
                let policy = ReconnectPolicy::new()
                    .base(Duration::from_millis(1))
                    .max(Duration::from_millis(20))
                    .max_attempts(u32::MAX);
                let client = Client::builder(self.path.as_path())
                    .identity(identity)
                    .reconnect(policy)
                    .connect(service_fn(async |_: Incoming| Ok::<_, Infallible>(())))
                    .await;
                End::Client(client.unwrap())
            }
            Kind::Peer => {
                let builder = Peer::builder(self.path.as_path()).identity(identity);
                tokio::spawn(report_roles(self.id, self.log.clone(), builder.events()));
                let events = builder.events();
                let (id, log) = (self.id, self.log.clone());
                let inbox = service_fn(move |incoming: Incoming| {
                    log.record(id, Instant::now(), received(&incoming));
                    std::future::ready(Ok::<_, Infallible>(()))
                });
                let peer = builder.join(inbox).await.unwrap();
                audience(&peer, events).await;
                End::Peer(peer)
            }
        }
    }
}

/// Waits for a peer: what a listener sends before its first one is dropped, and counts as sent.
async fn audience(peer: &Peer, mut events: Events) {
    let heard = async {
        while peer.connections().is_empty() {
            events.recv().await;
        }
    };
    tokio::time::timeout(DEADLINE, heard).await.unwrap();
}

async fn report_roles(id: &'static str, log: Arc<EventLog>, mut events: Events) {
    while let Some(event) = events.recv().await {
        if let Event::Role(role) = event {
            let event = json!({"event": "role", "role": role.to_string()});
            log.record(id, Instant::now(), event);
        }
    }
}

/// The event of a process for it.
fn received(incoming: &Incoming) -> Value {
    let from = incoming.from();
    let peer = from.peer_id().as_str();
    match &incoming.message {
        ChannelMsg::Offer(offer) => json!({"event": "message", "peer": peer,
            "msg": {"docId": offer.doc.as_str(), "version": offer.version.as_str()}}),
        other => json!({"event": "message", "peer": peer, "msg": {"type": other.kind()}}),
    }
}

/// Its connection to the bus.
#[derive(Debug)]
enum End {
    Client(Client),
    Peer(Peer),
}

impl End {
    /// Queues a message; the future is its result.
    async fn call(
        &mut self,
        (number, msg): (usize, ChannelMsg),
    ) -> impl Future<Output = Call> + use<> {
        let there = self.there();
        let called = Instant::now();
        let before = there.now();
        let sent = match self {
            Self::Client(client) => sent(client, msg).await,
            Self::Peer(peer) => sent(peer, msg).await,
        };
        async move {
            let outcome = match sent {
                Ok(sent) => sent.await,
                Err(error) => Err(error),
            };
            let completed = Instant::now();
            Call {
                number,
                called,
                completed,
                to: [before, there.now()],
                outcome: match outcome {
                    Ok(()) => Outcome::Taken,
                    Err(error) if error.may_have_been_sent() => Outcome::Maybe,
                    Err(error) => Outcome::Not(error.to_string()),
                },
            }
        }
    }

    fn there(&self) -> There {
        match self {
            Self::Client(client) => There::Client(client.clone()),
            Self::Peer(peer) => There::Peer(peer.clone()),
        }
    }

    async fn dispose(self) {
        match self {
            Self::Client(client) => client.dispose().await,
            Self::Peer(peer) => peer.dispose().await,
        };
    }
}

async fn sent<S>(to: &mut S, msg: ChannelMsg) -> Result<SendFuture<ChannelMsg>, SendError>
where
    S: Service<ChannelMsg, Error = SendError, Future = SendFuture<ChannelMsg>>,
{
    Ok(to.ready().await?.call(msg))
}

/// The listener, if it is another process.
enum There {
    Client(Client),
    Peer(Peer),
}

impl There {
    fn now(&self) -> Option<String> {
        match self {
            Self::Client(client) => {
                let peer = client.peer()?;
                Some(peer.identity().peer_id.to_string())
            }
            Self::Peer(peer) if peer.role() == Role::Connector => {
                let [listener] = &peer.connections()[..] else {
                    return None;
                };
                Some(listener.peer_id().to_string())
            }
            Self::Peer(_) => None,
        }
    }
}
