//! Messages through kyneta-uds, as a user would send them.
//!
//! In: the number of messages and of receivers. Out: the time from the first to the last. Touches a socket.

use std::{
    convert::Infallible,
    future::ready,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use kyneta_uds::{
    Bytes, ChannelMsg, Client, DocEntry, DocId, Events, Handler, Identity, Incoming, Offer,
    QueueConfig, ReconnectPolicy, ReplicaType, SchemaHash, Server, Version,
};
use tower::service_fn;

use crate::{
    Error,
    place::Places,
    tally::{Tally, tally},
};

/// Offers from a client to a server, one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    /// The capacity of the sender's queue.
    pub(crate) depth: usize,
    /// The number of documents of the offers; all have an alias.
    pub(crate) docs: usize,
    /// Data of each offer, bytes.
    pub(crate) size: usize,
    pub(crate) count: u64,
}

/// Sends all messages; returns the time until all are received.
pub(crate) async fn stream(places: &Places, path: &Path, work: Stream) -> Result<Duration, Error> {
    let (tally, last) = tally(work.count);
    let server = Server::builder(path).relay(false);
    let server = places
        .receiver
        .run(async { Ok(server.listen(counting(tally)).await?) })
        .await?;
    let client = Client::builder(path)
        .queue(QueueConfig::default().max_messages(work.depth))
        .reconnect(ReconnectPolicy::off());
    let sending = async move {
        let mut client = client.connect(service_fn(async |_| DONE)).await?;
        let docs = docs(work.docs)?;
        for docs in docs.chunks(ANNOUNCED_AT_ONCE) {
            client.queue(announcement(docs)?).await?;
        }
        let offers = offers(docs, work.size)?;
        client.flushed().await?;
        let start = Instant::now();
        for offer in offers.iter().cycle().take(usize::try_from(work.count)?) {
            client.queue(offer.clone()).await?;
        }
        Ok((client, start))
    };
    let (client, start) = places.sender.run(sending).await?;
    let taken = last.await?.duration_since(start);
    client.dispose().await;
    server.dispose().await;
    Ok(taken)
}

/// Offers from a server to each of its clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fan {
    pub(crate) peers: usize,
    /// The capacity of each peer's queue.
    pub(crate) depth: usize,
    pub(crate) size: usize,
    /// Messages for each peer.
    pub(crate) count: u64,
    /// Awaits `Server::broadcast` for each message, until the kernel has taken it, instead of capacity in the queues.
    pub(crate) awaited: bool,
}

/// Sends all messages; returns the time until all peers have received them.
pub(crate) async fn fan(places: &Places, path: &Path, work: Fan) -> Result<Duration, Error> {
    let (tally, last) = tally(work.count * work.peers as u64);
    let queue = QueueConfig::default().max_messages(work.depth);
    let builder = Server::builder(path).queue(queue).relay(false);
    let mut events = builder.events();
    let server = places
        .sender
        .run(async { Ok(builder.listen(service_fn(async |_| DONE)).await?) })
        .await?;
    let clients = places
        .receiver
        .run(connect(path.into(), work.peers, tally))
        .await?;
    let (sending, offers) = (server.clone(), offers(docs(1)?, work.size)?);
    let start = places
        .sender
        .run(async move {
            all_are_here(&sending, &mut events, work.peers).await;
            sending.broadcast(announcement(&docs(1)?)?).await;
            let start = Instant::now();
            let mut peers = sending.connections();
            for offer in offers.iter().cycle().take(usize::try_from(work.count)?) {
                if work.awaited {
                    sending.broadcast(offer.clone()).await;
                    continue;
                }
                for peer in &mut peers {
                    peer.queue(offer.clone()).await?;
                }
            }
            Ok(start)
        })
        .await?;
    let taken = last.await?.duration_since(start);
    // All clients have left before the next ones connect.
    server.dispose().await;
    drop(clients);
    Ok(taken)
}

async fn connect(path: Box<Path>, peers: usize, tally: Arc<Tally>) -> Result<Vec<Client>, Error> {
    let mut clients = Vec::with_capacity(peers);
    for number in 0..peers {
        let client = Client::builder(&*path)
            .identity(Identity::service(format!("peer-{number}"))?)
            .reconnect(ReconnectPolicy::off());
        clients.push(client.connect(counting(tally.clone())).await?);
    }
    Ok(clients)
}

async fn all_are_here(server: &Server, events: &mut Events, peers: usize) {
    while server.connection_count() < peers && events.recv().await.is_some() {}
}

/// The number of documents that one message announces.
const ANNOUNCED_AT_ONCE: usize = 10_000;

const DONE: Result<(), Infallible> = Ok(());

fn counting(tally: Arc<Tally>) -> impl Handler + Clone {
    service_fn(move |incoming: Incoming| {
        if matches!(incoming.message, ChannelMsg::Offer(_)) {
            tally.came(1);
        }
        ready(DONE)
    })
}

fn docs(count: usize) -> Result<Vec<DocId>, Error> {
    let doc = |number| Ok(DocId::new(format!("document-{number:06}"))?);
    (0..count).map(doc).collect()
}

/// Announces an alias for each document.
fn announcement(docs: &[DocId]) -> Result<ChannelMsg, Error> {
    let (replica, schema) = (
        ReplicaType::new("scaling", 1.0, 0.0)?,
        SchemaHash::new("00")?,
    );
    let entry = |doc: &DocId| DocEntry::new(doc.clone(), replica.clone(), schema.clone());
    Ok(ChannelMsg::Present(docs.iter().map(entry).collect()))
}

/// An offer for each document.
fn offers(docs: Vec<DocId>, size: usize) -> Result<Vec<ChannelMsg>, Error> {
    let (version, data) = (Version::new("1")?, Bytes::from(vec![7; size]));
    let offer = |doc| {
        Offer::binary(doc, version.clone(), data.clone())
            .delta()
            .into()
    };
    Ok(docs.into_iter().map(offer).collect())
}
