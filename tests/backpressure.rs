//! Peers that read slowly or not at all: what waits is bounded, and other peers are not held up.
//!
//! A failure says how many bytes waited at most, or why a peer was disconnected.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use kyneta_uds::{
    ChannelMsg, Client, Event, Incoming, Overflow, Peer, PeerChange, PeerId, QueueConfig,
    ReconnectPolicy, Role, Server,
};
use support::{Bus, collect, dismiss, offer, raw, said, service, soon};
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tower::{Service as _, ServiceExt as _, service_fn};

fn peer(id: &str) -> PeerId {
    PeerId::new(id).unwrap()
}

/// 20,000 messages of 16 KiB at a receiver that stops reading for two seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_everything_once_and_in_order_and_costs_a_bounded_queue() {
    const COUNT: u32 = 20_000;
    const SIZE: usize = 16 << 10;
    let bus = Bus::new();
    let (handler, mut inbox) = collect(1);
    let server = Server::builder(&bus.path)
        .identity(service("slow"))
        .listen(handler);
    let server = server.await.unwrap();
    let reader = tokio::spawn(async move {
        let mut expected = 0;
        while expected < COUNT {
            if expected == 1000 {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            let incoming = inbox.recv().await.unwrap();
            let ChannelMsg::Offer(offer) = incoming.message else {
                panic!()
            };
            assert_eq!(offer.version.as_str(), expected.to_string());
            assert_eq!(offer.data.len(), SIZE);
            expected += 1;
        }
    });
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let config = QueueConfig::default()
        .max_messages(64)
        .overflow(Overflow::Wait);
    let client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .queue(config)
        .connect(ignore)
        .await
        .unwrap();
    let mut connection = client.connection().unwrap();
    let data = Bytes::from(vec![7; SIZE]);
    let mut most = 0;
    for i in 0..COUNT {
        let mut msg = offer("d", 0);
        if let ChannelMsg::Offer(offer) = &mut msg {
            offer.version = i.to_string().try_into().unwrap();
            // A copy for each message, so that queued messages cost memory.
            offer.data = Bytes::from(data.to_vec()).into();
        }
        connection.queue(msg).await.unwrap();
        most = most.max(connection.handle().queued().1);
    }
    client.flushed().await.unwrap();
    reader.await.unwrap();
    assert!(most <= 65 * (SIZE + 512), "{most} bytes waited");
    client.dispose().await;
    server.dispose().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_disconnected_and_the_others_are_not_held_up() {
    let bus = Bus::new();
    let config = QueueConfig::default()
        .max_messages(16)
        .overflow(Overflow::Disconnect {
            after: Duration::from_millis(200),
        });
    let builder = Server::builder(&bus.path).queue(config);
    let mut events = builder.events();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let server = builder.listen(ignore).await.unwrap();
    let mut stuck = tokio::net::UnixStream::connect(&bus.path).await.unwrap();
    let hello = b"\xa3\x61t\x01\x62id\x65stuck\x61y\x63bot";
    stuck.write_all(&raw::frame(3, 1, hello)).await.unwrap();
    let (handler, mut inbox) = collect(1);
    let good = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .identity(service("good"))
        .connect(handler)
        .await
        .unwrap();
    events.recv().await.unwrap();
    events.recv().await.unwrap();
    let counter = tokio::spawn(async move {
        for _ in 0..200 {
            inbox.recv().await.unwrap();
        }
    });
    // In turn to each: the peer that does not read delays the other one once, within the limit.
    let started = std::time::Instant::now();
    let mut connections = server.connections();
    for _ in 0..200 {
        for connection in &mut connections {
            let queued = connection.queue(offer("d", 64 << 10)).await;
            assert!(queued.is_ok() || connection.peer_id() == &peer("stuck"));
        }
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    counter.await.unwrap();
    loop {
        if let Event::Peer {
            peer,
            change: PeerChange::Disconnected(reason),
        } = events.recv().await.unwrap()
        {
            assert_eq!(peer.identity().peer_id.as_str(), "stuck");
            assert!(reason.to_string().contains("does not read"), "{reason}");
            break;
        }
    }
    good.dispose().await;
}

#[tokio::test]
async fn a_listener_that_does_not_read_is_given_up_after_the_stall_limit_and_not_replaced() {
    let bus = Bus::new();
    // Completes the handshake and then reads nothing: its handler never ends.
    let never_ready =
        service_fn(async |_: Incoming| std::future::pending::<Result<(), Infallible>>().await);
    let brief = QueueConfig::default().drain_timeout(Duration::ZERO);
    let listening = Server::builder(&bus.path).queue(brief).listen(never_ready);
    let server = listening.await.unwrap();
    let (handler, _inbox) = collect(8);
    let after = Duration::from_millis(100);
    let config = QueueConfig::default()
        .max_bytes(64 << 10)
        .overflow(Overflow::Disconnect { after });
    let builder = Peer::builder(&bus.path).queue(config);
    let mut events = builder.events();
    let peer = builder.join(handler).await.unwrap();
    let mut flood = peer.clone();
    let flooding = tokio::spawn(async move {
        let large = "x".repeat(500);
        for _ in 0..100_000 {
            flood.queue(dismiss(&large)).await.unwrap();
        }
    });
    let reason = loop {
        if let Event::Peer {
            change: PeerChange::Disconnected(reason),
            ..
        } = soon(events.recv()).await.unwrap()
        {
            break reason;
        }
    };
    assert!(said(&reason).contains("does not read"), "{reason}");
    // Connected again, to the same listener.
    soon(peer.wait_for(|role| role == Role::Connector)).await;
    assert!(server.connection_count() > 0);
    flooding.abort();
    server.dispose().await;
}

#[tokio::test]
async fn a_call_resolves_while_another_sender_never_pauses() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(64);
    let a = Peer::builder(&bus.path).identity(service("a"));
    let mut a = soon(a.join(handler.clone())).await.unwrap();
    let b = Peer::builder(&bus.path).identity(service("b"));
    let _b = soon(b.join(handler)).await.unwrap();
    soon(a.wait_for_peers()).await;
    let reading = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let mut never_pauses = a.clone();
    let pumping =
        tokio::spawn(async move { while never_pauses.queue(dismiss("again")).await.is_ok() {} });
    for _ in 0..20 {
        let reported = async { a.ready().await.unwrap().call(dismiss("once")).await };
        timeout(Duration::from_secs(5), reported)
            .await
            .unwrap()
            .unwrap();
    }
    pumping.abort();
    reading.abort();
}
