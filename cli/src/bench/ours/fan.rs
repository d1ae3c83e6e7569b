//! One process tells a hundred: the server broadcasts, as many clients in the other process count.
//!
//! An offer of the document `fan` asks for it: its data are what is broadcast, its version says how
//! often. The clock stops when all clients have all of it. What is meant is the side that broadcasts;
//! who receives has a core of its own where there are two, and on either side does no more than count.
//! Beside it stand a hundred bare writes a message, so what is gained by writing together counts.

use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::{join_all, select_all};
use kyneta_uds::{
    BoxError, ChannelMsg, Client, Events, Identity, Incoming, Offer, QueueConfig, ReconnectPolicy,
    Server, Version,
};
use tokio::sync::Notify;
use tower::service_fn;

use super::{announcement, offer};
use crate::bench::{
    figures::{Figures, Stopwatch},
    work::{PEERS, Task},
};

const FAN: &str = "fan";

/// True for what [`tell`] is to be told.
pub(super) fn is_order(msg: &ChannelMsg) -> bool {
    matches!(msg, ChannelMsg::Offer(offer)
        if offer.reciprocate == Some(true) && offer.doc.as_str() == FAN)
}

/// Tells all peers what `order` says, once they are here.
///
/// A stream of broadcasts: each message is queued with every peer and waits for room there, which
/// bounds it. `Server::broadcast`, awaited for each, would wait for a hundred kernels in between.
pub(super) async fn tell(
    server: &Server,
    events: &mut Events,
    order: Offer,
) -> Result<(), BoxError> {
    let count: u64 = order.version.as_str().parse()?;
    while server.connection_count() < PEERS && events.recv().await.is_some() {}
    let msg = ChannelMsg::from(Offer {
        version: Version::new("1")?,
        reciprocate: None,
        ..order
    });
    server.broadcast(announcement(&[FAN])?).await;
    let mut peers = server.connections();
    for _ in 0..count {
        for peer in &mut peers {
            peer.queue(msg.clone()).await?;
        }
    }
    Ok(())
}

/// The client half: a hundred clients, each with an identity and a connection of its own.
pub(super) async fn run(path: &Path, task: Task, queue: QueueConfig) -> Result<Figures, BoxError> {
    let crowd = Arc::new(Crowd::default());
    let mut clients = Vec::with_capacity(PEERS);
    for number in 0..PEERS {
        let crowd = crowd.clone();
        let client = Client::builder(path)
            .identity(Identity::service(format!("bench-client-{number}"))?)
            .queue(queue.clone())
            .reconnect(ReconnectPolicy::off())
            .connect(service_fn(move |incoming: Incoming| {
                let crowd = crowd.clone();
                async move { crowd.heard(&incoming.message) }
            }))
            .await?;
        clients.push(client);
    }
    crowd.ask(&mut clients, task, task.warm_up()).await?;
    let watch = Stopwatch::start();
    crowd.ask(&mut clients, task, task.count).await?;
    let figures = watch.stop("kyneta-uds", task);
    join_all(clients.iter().map(Client::dispose)).await;
    Ok(figures)
}

/// What all the clients have heard.
#[derive(Default)]
struct Crowd {
    /// By any of them, still.
    to_come: AtomicU64,
    done: Notify,
}

impl Crowd {
    /// Has `count` broadcasts made and waits until all have heard them all.
    async fn ask(&self, clients: &mut [Client], task: Task, count: u64) -> Result<(), BoxError> {
        self.to_come
            .store(count * clients.len() as u64, Ordering::Relaxed);
        let order = Offer {
            version: Version::new(count.to_string())?,
            ..offer(FAN, task)?.reciprocate(true)
        };
        let first = clients.first_mut().ok_or("there are no clients")?;
        first.queue(order.into()).await?;
        let gone = select_all(clients.iter().map(|client| Box::pin(client.closed())));
        tokio::select! {
            () = self.done.notified() => Ok(()),
            (reason, ..) = gone => Err(reason.into()),
        }
    }

    fn heard(&self, msg: &ChannelMsg) -> Result<(), Infallible> {
        if matches!(msg, ChannelMsg::Offer(_)) && self.to_come.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.done.notify_one();
        }
        Ok(())
    }
}
