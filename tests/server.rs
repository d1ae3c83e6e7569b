//! A server and its clients on a real socket: messages, ids, broadcasts, departures.
//!
//! A failure shows the event or the message that came instead.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, time::Duration};

use kyneta_uds::{
    Client, DisconnectReason, Event, Incoming, PeerChange, PeerId, ReconnectPolicy, Server,
};
use support::{Bus, changes, collect, dismiss, offer, service};
use tower::{Service as _, ServiceExt as _, service_fn};

fn peer(id: &str) -> PeerId {
    PeerId::new(id).unwrap()
}

#[tokio::test]
async fn messages_of_every_size_come_back_intact_and_in_order() {
    let bus = Bus::new();
    let server = bus.echo("echo").await;
    let (handler, mut inbox) = collect(4);
    let mut client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .identity(service("c"))
        .connect(handler)
        .await
        .unwrap();
    let sizes = [
        0,
        1,
        23,
        24,
        255,
        256,
        4096,
        65_535,
        65_536,
        1 << 20,
        16 << 20,
    ];
    let sent = sizes.map(|size| offer("d", size));
    let send = async {
        for msg in &sent {
            client
                .ready()
                .await
                .unwrap()
                .call(msg.clone())
                .await
                .unwrap();
        }
    };
    let receive = async {
        for msg in &sent {
            assert!(inbox.recv().await.unwrap().message == *msg);
        }
    };
    tokio::join!(send, receive);
    assert_eq!(client.dispose().await.kind(), "intentional");
    server.dispose().await;
    assert!(!bus.path.exists());
}

#[tokio::test]
async fn peers_are_known_by_id_and_can_be_distinguished() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path)
        .identity(service("s"))
        .relay(false);
    let mut events = builder.events();
    let (handler, mut inbox) = collect(8);
    let server = builder.listen(handler).await.unwrap();
    let (to_a, mut inbox_a) = collect(8);
    let (to_b, mut inbox_b) = collect(8);
    let a = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .identity(service("a"))
        .connect(to_a)
        .await
        .unwrap();
    let b = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .identity(service("b"))
        .connect(to_b)
        .await
        .unwrap();
    for _ in 0..2 {
        let Some(Event::Peer {
            change: PeerChange::Established,
            ..
        }) = events.recv().await
        else {
            panic!("a peer was established")
        };
    }
    assert_eq!(a.peer().unwrap().identity().peer_id, peer("s"));
    assert_eq!(server.connection_count(), 2);
    assert!(server.is_connected(&peer("a")) && !server.is_connected(&peer("c")));
    assert!(server.connection(&peer("c")).is_none());
    assert_eq!(server.connections().len(), 2);

    // One peer, then all.
    let mut only_a = server.connection(&peer("a")).unwrap();
    only_a
        .ready()
        .await
        .unwrap()
        .call(dismiss("for a"))
        .await
        .unwrap();
    assert_eq!(inbox_a.recv().await.unwrap().message, dismiss("for a"));
    let broadcast = server.broadcast(dismiss("for all")).await;
    assert_eq!((broadcast.sent.len(), broadcast.failed.len()), (2, 0));
    assert_eq!(inbox_a.recv().await.unwrap().message, dismiss("for all"));
    assert_eq!(inbox_b.recv().await.unwrap().message, dismiss("for all"));

    // Received messages name their sender.
    b.clone()
        .ready()
        .await
        .unwrap()
        .call(dismiss("from b"))
        .await
        .unwrap();
    let incoming = inbox.recv().await.unwrap();
    assert_eq!(incoming.peer().identity().peer_id, peer("b"));
    assert_eq!(incoming.message, dismiss("from b"));
    let credentials = incoming.peer().credentials().unwrap();
    assert_eq!(credentials.pid, Some(std::process::id() as i32));

    // Each side leaves on purpose.
    let listener = a.peer().unwrap();
    assert_eq!(
        server.disconnect(&peer("a")).await.unwrap().kind(),
        "intentional"
    );
    assert!(server.disconnect(&peer("a")).await.is_none());
    assert!(listener.is_departing());
    assert_eq!(a.closed().await.kind(), "closed");
    let Some(Event::Peer {
        peer,
        change: PeerChange::Disconnected(reason),
    }) = events.recv().await
    else {
        panic!("a was disconnected")
    };
    assert_eq!(
        (peer.identity().peer_id.as_str(), reason.kind()),
        ("a", "intentional")
    );
    b.dispose().await;
    let Some(Event::Peer {
        peer,
        change: PeerChange::Departed,
    }) = events.recv().await
    else {
        panic!("b departed")
    };
    assert_eq!(peer.identity().peer_id.as_str(), "b");
    assert_eq!(server.connection_count(), 0);
    server.dispose().await;
}

#[tokio::test]
async fn a_dropped_client_is_disconnected_and_its_messages_arrive() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path).relay(false);
    let mut events = builder.events();
    let (handler, mut inbox) = collect(100);
    let _server = builder.listen(handler).await.unwrap();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let mut client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .connect(ignore)
        .await
        .unwrap();
    for _ in 0..50 {
        drop(client.ready().await.unwrap().call(dismiss("d")));
    }
    drop(client);
    for _ in 0..50 {
        inbox.recv().await.unwrap();
    }
    events.recv().await.unwrap();
    let Some(Event::Peer {
        change: PeerChange::Disconnected(reason),
        ..
    }) = events.recv().await
    else {
        panic!("disconnected")
    };
    assert!(matches!(reason, DisconnectReason::Closed), "{reason}");
}

#[tokio::test]
async fn a_peer_away_for_a_while_reconnects_and_one_that_stays_away_departs() {
    let bus = Bus::new();
    let (handler, _inbox) = collect(8);
    let builder = Server::builder(&bus.path).departure_timeout(Duration::from_millis(200));
    let mut events = builder.events();
    let server = builder.listen(handler).await.unwrap();
    let client = || async {
        let (handler, inbox) = collect(8);
        let client = Client::builder(&bus.path)
            .identity(service("c"))
            .connect(handler)
            .await
            .unwrap();
        (client, inbox)
    };
    let first = client().await;
    let second = client().await;
    assert_eq!(
        changes(&mut events, "c twice").await,
        ["c established", "c twice"]
    );
    drop(first);
    drop(second);
    assert_eq!(
        changes(&mut events, "c disconnected").await,
        ["c disconnected"]
    );
    let third = client().await;
    assert_eq!(
        changes(&mut events, "c reconnected").await,
        ["c reconnected"]
    );
    drop(third);
    let gone = changes(&mut events, "c departed").await;
    assert_eq!(gone, ["c disconnected", "c departed"]);
    server.dispose().await;
}
