//! One process sends to a hundred: the server broadcasts, a hundred clients in the other process count.
//!
//! An offer of the document `fan` starts it: its data is what is broadcast, its version says how often.
//! The clock stops when all clients have received everything. The measured side is the one that
//! broadcasts; the clients only count, on a core of their own where there are two. The floor does a
//! hundred bare writes a message, so the gain from coalesced writes counts.

use std::{convert::Infallible, path::Path, sync::Arc};

use futures_util::future::{join_all, select_all};
use kyneta_uds::{
    BoxError, ChannelMsg, Client, Events, Identity, Incoming, Offer, QueueConfig, ReconnectPolicy,
    Server, Version,
};
use tower::service_fn;

use super::messages::{announcement, offer};
use crate::bench::{
    countdown::Countdown,
    figures::{Figures, Stopwatch},
    work::{PEERS, Task},
};

const FAN: &str = "fan";

/// True for a message that starts [`broadcast`].
pub(super) fn is_order(msg: &ChannelMsg) -> bool {
    matches!(msg, ChannelMsg::Offer(offer)
        if offer.reciprocate == Some(true) && offer.doc.as_str() == FAN)
}

/// Broadcasts what `order` says, once all peers are connected.
///
/// Each message is queued for every peer and waits for room there. `Server::broadcast`, awaited for each
/// message, would wait for a hundred kernels in between.
pub(super) async fn broadcast(
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
    let countdown = Arc::new(Countdown::default());
    let mut clients = Vec::with_capacity(PEERS);
    for number in 0..PEERS {
        let countdown = countdown.clone();
        let client = Client::builder(path)
            .identity(Identity::service(format!("bench-client-{number}"))?)
            .queue(queue.clone())
            .reconnect(ReconnectPolicy::off())
            .connect(service_fn(move |incoming: Incoming| {
                let countdown = countdown.clone();
                async move {
                    let is_offer = matches!(incoming.message, ChannelMsg::Offer(_));
                    countdown.received(u64::from(is_offer));
                    Ok::<_, Infallible>(())
                }
            }))
            .await?;
        clients.push(client);
    }
    broadcasts(&countdown, &mut clients, task, task.warm_up()).await?;
    let watch = Stopwatch::start();
    broadcasts(&countdown, &mut clients, task, task.count).await?;
    let figures = watch.stop("kyneta-uds", task);
    join_all(clients.iter().map(Client::dispose)).await;
    Ok(figures)
}

/// Requests `count` broadcasts and waits until all clients have received all of them.
async fn broadcasts(
    countdown: &Countdown,
    clients: &mut [Client],
    task: Task,
    count: u64,
) -> Result<(), BoxError> {
    countdown.start(count * clients.len() as u64);
    let order = Offer {
        version: Version::new(count.to_string())?,
        ..offer(FAN, task)?.reciprocate(true)
    };
    let first = clients.first_mut().ok_or("there are no clients")?;
    first.queue(order.into()).await?;
    let closed = select_all(clients.iter().map(|client| Box::pin(client.closed())));
    tokio::select! {
        () = countdown.done() => Ok(()),
        (reason, ..) = closed => Err(reason.into()),
    }
}
