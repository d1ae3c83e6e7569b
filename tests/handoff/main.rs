//! A server is replaced while its clients talk: in one process here, in processes in `tests/handoff_processes` and, of the
//! command, in `cli/tests`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod ahead;
mod aside;
mod observers;
mod peer;
mod refused;
mod releases;
mod stream;
#[path = "../support/mod.rs"]
mod support;

use std::{convert::Infallible, future::ready, path::Path, time::Duration};

use kyneta_uds::{
    Bytes, ChannelMsg, Client, DocId, Event, HandoffPolicy, Identity, Incoming, ListenError, Offer,
    ReconnectPolicy, Relay, Server, Version,
    protocol::{DocEntry, Interest, ReplicaType, SchemaHash},
    routing::{Effect, MemberFacts, MemberKey, Router},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tower::service_fn;

/// A server that sends each offer back, and takes over.
async fn echo(path: &Path) -> Result<Server, ListenError> {
    let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    let identity = Identity::service("echo").unwrap();
    let builder = Server::builder(path).identity(identity).relay(false);
    builder.take_over().listen(echo).await
}

fn offer(number: u64, size: usize) -> ChannelMsg {
    let mut data = vec![7; size];
    data.splice(..8, number.to_be_bytes());
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("1").unwrap());
    Offer::binary(doc, version, Bytes::from(data)).into()
}

fn number(msg: &ChannelMsg) -> u64 {
    let ChannelMsg::Offer(offer) = msg else {
        panic!("{msg:?}")
    };
    u64::from_be_bytes(*offer.data.as_slice().first_chunk().unwrap())
}

/// A client whose answers arrive at the receiver. It does not connect again.
async fn client(path: &Path) -> (Client, mpsc::UnboundedReceiver<u64>) {
    let (seen, inbox) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: Incoming| {
        let _ = seen.send(number(&incoming.message));
        ready(Ok::<_, Infallible>(()))
    });
    let once = ReconnectPolicy::off();
    let client = Client::builder(path)
        .reconnect(once)
        .connect(handler)
        .await
        .unwrap();
    (client, inbox)
}

#[tokio::test]
async fn clients_that_talk_see_nothing_of_handovers_in_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut server = echo(&path).await.unwrap();
    let mut clients = Vec::new();
    for n in 0..20_u64 {
        let (mut client, mut inbox) = client(&path).await;
        clients.push(tokio::spawn(async move {
            let size = if n % 2 == 0 { 64 } else { 64 << 10 };
            let end = Instant::now() + Duration::from_millis(1500);
            let mut sent = 0;
            while Instant::now() < end {
                client.queue(offer(sent, size)).await.unwrap();
                sent += 1;
                if sent % 8 == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            for expected in 0..sent {
                let next = timeout(Duration::from_secs(20), inbox.recv());
                assert_eq!(next.await.unwrap(), Some(expected));
            }
            (client, sent)
        }));
    }
    let mut handovers = 0;
    while handovers < 10 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(server.connection_count(), 20, "before {handovers}");
        let successor = echo(&path).await.unwrap();
        assert_eq!(server.closed().await.kind(), "intentional");
        assert_eq!(successor.connection_count(), 20);
        server = successor;
        handovers += 1;
    }
    let (mut sent, mut connected) = (0, Vec::new());
    for client in clients {
        let (client, by_it) = client.await.unwrap();
        sent += by_it;
        connected.push(client);
    }
    assert!(sent > 1_000, "{sent}");
    // A client that comes now is accepted, and the path goes with the last server.
    let (mut late, mut inbox) = client(&path).await;
    late.queue(offer(5, 64)).await.unwrap();
    assert_eq!(inbox.recv().await, Some(5));
    server.dispose().await;
    assert!(!path.exists());
    assert!(!dir.path().join("bus.sock.handoff").exists());
}

/// A router whose state cannot be handed over.
#[derive(Debug)]
struct Forgetful;

impl Router<ChannelMsg> for Forgetful {
    fn established(&mut self, _: MemberKey, _: &MemberFacts, _: &mut Vec<Effect>) {}
    fn received(&mut self, _: MemberKey, _: ChannelMsg, _: &mut Vec<Effect>) {}
    fn left(&mut self, _: MemberKey, _: &mut Vec<Effect>) {}
}

/// A client whose messages arrive at the receiver. It does not connect again.
async fn member(path: &Path) -> (Client, mpsc::UnboundedReceiver<ChannelMsg>) {
    let (seen, inbox) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: Incoming| {
        let _ = seen.send(incoming.message);
        ready(Ok::<_, Infallible>(()))
    });
    let builder = Client::builder(path).reconnect(ReconnectPolicy::off());
    (builder.connect(handler).await.unwrap(), inbox)
}

/// The next message, which is not long in coming.
async fn next(inbox: &mut mpsc::UnboundedReceiver<ChannelMsg>) -> ChannelMsg {
    let next = timeout(Duration::from_secs(20), inbox.recv());
    next.await.unwrap().unwrap()
}

#[tokio::test]
async fn members_go_on_with_their_documents() {
    // The same without a handover.
    for handovers in [0, 10] {
        members_and_a_document(handovers).await;
    }
}

async fn members_and_a_document(handovers: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let take_over = async || {
        Server::builder(&path)
            .take_over()
            .listen(ignore)
            .await
            .unwrap()
    };
    let mut server = take_over().await;
    let (mut writer, mut to_writer) = member(&path).await;
    let (mut reader, mut to_reader) = member(&path).await;
    let doc = DocId::new("d").unwrap();
    let loro = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let entry = DocEntry::new(doc.clone(), loro, SchemaHash::new("02ab").unwrap());
    let present = ChannelMsg::Present(vec![entry]);
    writer.queue(present.clone()).await.unwrap();
    assert_eq!(next(&mut to_reader).await, present);
    reader
        .queue(Interest::new(doc.clone()).into())
        .await
        .unwrap();
    assert_eq!(
        next(&mut to_writer).await,
        Interest::new(doc.clone()).into()
    );
    // The writer has not answered yet: its answers in the other process are for the reader alone.
    for round in 0..10 {
        if round < handovers {
            let successor = take_over().await;
            server.closed().await;
            server = successor;
        }
        writer.queue(offer(round, 64)).await.unwrap();
        assert_eq!(next(&mut to_reader).await, offer(round, 64));
    }
    // A member that comes now is told, and one that leaves is missed.
    let (_late, mut to_late) = member(&path).await;
    assert_eq!(next(&mut to_late).await, present);
    writer.dispose().await;
    let vacant = ChannelMsg::Vacant(doc.clone());
    assert_eq!(
        next(&mut to_reader).await,
        vacant,
        "its interest had no answer"
    );
    assert_eq!(next(&mut to_reader).await, ChannelMsg::Dismiss(doc));
    assert!(to_reader.is_empty() && to_late.is_empty());
    server.dispose().await;
}

#[tokio::test]
async fn a_slow_reader_with_full_queues_gets_everything_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let take_over = async || {
        let builder = Server::builder(&path).relay(false);
        builder.take_over().listen(ignore).await.unwrap()
    };
    let server = take_over().await;
    let (seen, mut inbox) = mpsc::channel(1);
    let slow = service_fn(move |incoming: Incoming| {
        let seen = seen.clone();
        async move { seen.send(number(&incoming.message)).await }
    });
    let once = ReconnectPolicy::off();
    let _client = Client::builder(&path)
        .reconnect(once)
        .connect(slow)
        .await
        .unwrap();
    while server.connection_count() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let mut to_client = server.connections().remove(0);
    let mut sent = 0;
    // Until the queue is full: the client reads nothing yet.
    while to_client.try_queue(offer(sent, 4_000)).is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    let successor = take_over().await;
    server.closed().await;
    assert!(to_client.try_queue(offer(sent, 64)).is_err());
    let mut to_client = successor.connections().remove(0);
    to_client.queue(offer(sent, 64)).await.unwrap();
    for expected in 0..=sent {
        assert_eq!(inbox.recv().await, Some(expected));
    }
    successor.dispose().await;
}

#[tokio::test]
async fn what_cannot_be_handed_over_stays_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let plain = Server::builder(&path)
        .relay(false)
        .listen(ignore)
        .await
        .unwrap();
    let error = echo(&path).await.unwrap_err();
    assert!(matches!(error, ListenError::NotOffered { .. }), "{error}");
    plain.dispose().await;

    let policy = HandoffPolicy::default().handlers(Duration::from_millis(50));
    let stuck = service_fn(async |_: Incoming| {
        sleep(Duration::from_secs(3600)).await;
        Ok::<_, Infallible>(())
    });
    let builder = Server::builder(&path).relay(false).offer_handoff(policy);
    let mut events = builder.events();
    let server = builder.listen(stuck).await.unwrap();
    let (mut client, _inbox) = client(&path).await;
    client.queue(offer(0, 64)).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    let error = echo(&path).await.unwrap_err();
    let ListenError::NotTakenOver { source, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        source
            .to_string()
            .contains("is at work for longer than 50ms"),
        "{source}"
    );
    let refused = loop {
        if let Some(Event::NotHandedOver { error }) = events.recv().await {
            break error.to_string();
        }
    };
    assert!(refused.contains("is at work for longer"), "{refused}");
    assert!(server.is_connected(&server.connections().remove(0).peer_id().clone()));

    let relaying = dir.path().join("relay.sock");
    let relay = Relay::router(|| Forgetful);
    let builder = Server::builder(&relaying)
        .relay(relay)
        .offer_handoff(policy);
    let _server = builder.listen(ignore).await.unwrap();
    let error = echo(&relaying).await.unwrap_err();
    let ListenError::NotTakenOver { source, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        source
            .to_string()
            .contains("its router does not give its state"),
        "{source}"
    );
}
