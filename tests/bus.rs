//! Servers and clients on a real socket: who gets what, and what happens to those who misbehave.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, future::IntoFuture as _, time::Duration};

use bytes::Bytes;
use support::{Bus, collect, dismiss, offer, raw, said, service};
use kyneta_uds::{
    ChannelMsg, Client, DisconnectReason, Event, Features, HandshakeLayer, Incoming, Listener,
    Overflow, PeerChange, PeerId, QueueConfig, ReconnectPolicy, Server, WireMode, WireVersion,
    default_stack, serve,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
async fn peers_are_known_by_id_and_can_be_told_apart() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path).identity(service("s"));
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

    // Who says what.
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

    // On purpose from this side, on purpose from that side.
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
async fn the_end_of_a_server_is_told_and_nothing_queued_is_lost() {
    let bus = Bus::new();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let server = builder.listen(ignore).await.unwrap();
    let (handler, mut inbox) = collect(1);
    let client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .identity(service("c"))
        .connect(handler)
        .await
        .unwrap();
    events.recv().await.unwrap();
    let mut connection = server.connection(&peer("c")).unwrap();
    for i in 0..500 {
        connection.queue(offer(&i.to_string(), 4096)).await.unwrap();
    }
    let received = tokio::spawn(async move {
        let mut docs = Vec::new();
        while let Some(incoming) = inbox.recv().await {
            let ChannelMsg::Offer(offer) = incoming.message else {
                panic!()
            };
            docs.push(offer.doc.as_str().parse::<u32>().unwrap());
        }
        docs
    });
    let listener = client.peer().unwrap();
    server.dispose().await;
    assert_eq!(client.closed().await.kind(), "closed");
    assert!(listener.is_departing());
    drop(client);
    assert_eq!(received.await.unwrap(), (0..500).collect::<Vec<_>>());
    assert!(
        Client::builder(&bus.path)
            .reconnect(ReconnectPolicy::off())
            .connect(ignore)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_dropped_client_is_disconnected_and_its_messages_arrive() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path);
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
async fn both_wire_versions_are_served_at_once_and_told_apart() {
    let bus = Bus::new();
    let server = bus.echo("echo").await;
    for wire in [WireVersion::V2, WireVersion::V3] {
        let id = format!("wire-{wire}");
        let (handler, mut inbox) = collect(1);
        let mut client = Client::builder(&bus.path)
            .reconnect(ReconnectPolicy::off())
            .identity(service(&id))
            .stack(default_stack(WireMode::Fixed(wire)))
            .connect(handler)
            .await
            .unwrap();
        assert_eq!(client.peer().unwrap().wire(), wire);
        client
            .ready()
            .await
            .unwrap()
            .call(offer("d", 100))
            .await
            .unwrap();
        assert_eq!(inbox.recv().await.unwrap().message, offer("d", 100));
        assert_eq!(server.connection(&peer(&id)).unwrap().peer().wire(), wire);
    }
}

/// A listener that knows one wire version, made of the bytes of the wire: it ignores frames of the
/// other, as the reference does.
async fn old_listener(listener: tokio::net::UnixListener, wire: u8, header: usize) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut head = vec![0; header];
            while stream.read_exact(&mut head).await.is_ok() {
                let len = u32::from_be_bytes(head[2..6].try_into().unwrap()) as usize;
                let mut payload = vec![0; len.min(1 << 20)];
                if stream.read_exact(&mut payload).await.is_err() {
                    return;
                }
                if head[0] == wire && payload.starts_with(&[0xa4, 0x61, b't', 1]) {
                    // {t: 1, id: "old", y: "bot", f: {a: true}}
                    let answer = b"\xa4\x61t\x01\x62id\x63old\x61y\x63bot\x61f\xa1\x61a\xf5";
                    stream
                        .write_all(&raw::frame(wire, 1, answer))
                        .await
                        .unwrap();
                }
            }
        });
    }
}

#[tokio::test]
async fn a_listener_of_one_wire_version_is_joined_within_a_second() {
    for (wire, header, version) in [(2, 6, WireVersion::V2), (3, 10, WireVersion::V3)] {
        let bus = Bus::new();
        let listener = tokio::net::UnixListener::bind(&bus.path).unwrap();
        tokio::spawn(old_listener(listener, wire, header));
        let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
        let started = std::time::Instant::now();
        let client = Client::builder(&bus.path)
            .reconnect(ReconnectPolicy::off())
            .connect(ignore)
            .await
            .unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(client.peer().unwrap().wire(), version);
        assert_eq!(client.peer().unwrap().identity().peer_id.as_str(), "old");
    }
}

#[tokio::test]
async fn what_worked_is_remembered_by_the_stack() {
    use kyneta_uds::SocketPath;
    use tower::Layer as _;
    let bus = Bus::new();
    let listener = tokio::net::UnixListener::bind(&bus.path).unwrap();
    tokio::spawn(old_listener(listener, 2, 6));
    let stack = HandshakeLayer::new(service("c")).layer(default_stack(WireMode::Auto));
    let mut took = Vec::new();
    for _ in 0..2 {
        let started = std::time::Instant::now();
        let target = SocketPath::new(&bus.path).unwrap().into();
        stack.clone().oneshot(target).await.unwrap();
        took.push(started.elapsed());
    }
    assert!(took[0] >= Duration::from_millis(500), "{took:?}");
    assert!(took[1] < Duration::from_millis(400), "{took:?}");
}

#[tokio::test]
async fn silence_on_both_wire_versions_is_said_plainly() {
    let bus = Bus::new();
    let listener = tokio::net::UnixListener::bind(&bus.path).unwrap();
    tokio::spawn(old_listener(listener, 9, 10));
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let error = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .handshake(
            HandshakeLayer::new(service("c"))
                .wire_fallback(Duration::from_millis(50))
                .timeout(Duration::from_millis(300)),
        )
        .connect(ignore)
        .await
        .unwrap_err();
    let text = said(&error);
    let expected = format!(
        "{} could not be connected to: no answer to establish on wire version 3 or 2 within",
        bus.path.display()
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[tokio::test]
async fn a_listener_that_is_slow_to_accept_is_joined_all_the_same() {
    let bus = Bus::new();
    let listener = Listener::bind(&bus.path).await.unwrap();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let establish = HandshakeLayer::new(service("c")).wire_fallback(Duration::from_millis(50));
    let client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .handshake(establish);
    let client = tokio::spawn(client.connect(ignore));
    // Long enough for both wire versions to have been tried in vain.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let serve = serve(listener, tower::make::Shared::new(ignore));
    let mut events = serve.server().events();
    tokio::spawn(serve.into_future());
    client.await.unwrap().unwrap();
    // Who gave up in the meantime is not worth an event.
    let Some(Event::Peer { peer, .. }) = events.recv().await else {
        panic!("only the peer")
    };
    assert_eq!(peer.identity().peer_id.as_str(), "c");
}

#[tokio::test]
async fn aliasing_off_on_one_side_is_off() {
    let bus = Bus::new();
    let server = bus.echo("echo").await;
    let (handler, mut inbox) = collect(1);
    let features = Features {
        alias: Some(false),
        ..Features::default()
    };
    let mut client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .handshake(HandshakeLayer::new(service("plain")).features(features))
        .connect(handler)
        .await
        .unwrap();
    client
        .ready()
        .await
        .unwrap()
        .call(offer("d", 10))
        .await
        .unwrap();
    assert_eq!(inbox.recv().await.unwrap().message, offer("d", 10));
    let establish = server
        .connection(&peer("plain"))
        .unwrap()
        .peer()
        .establish()
        .clone();
    assert!(!establish.aliases());
}

#[tokio::test]
async fn a_probe_is_no_peer_and_no_error() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let _server = builder.listen(ignore).await.unwrap();
    for _ in 0..10 {
        drop(tokio::net::UnixStream::connect(&bus.path).await.unwrap());
    }
    let client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .identity(service("c"))
        .connect(ignore)
        .await
        .unwrap();
    let Some(Event::Peer { peer, .. }) = events.recv().await else {
        panic!("only the peer")
    };
    assert_eq!(peer.identity().peer_id.as_str(), "c");
    drop(client);
}

#[tokio::test]
async fn a_bad_message_is_an_event_and_its_connection_goes_on() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let (handler, mut inbox) = collect(8);
    let _server = builder.listen(handler).await.unwrap();
    let mut stream = tokio::net::UnixStream::connect(&bus.path).await.unwrap();
    let hello = b"\xa3\x61t\x01\x62id\x61x\x61y\x63bot";
    let good = b"\xa2\x61t\x13\x63doc\x61d";
    let garbage = b"\xff\xff";
    let unknown_alias = b"\xa2\x61t\x13\x62dx\x07";
    for (seq, payload) in [&hello[..], garbage, unknown_alias, good]
        .into_iter()
        .enumerate()
    {
        stream
            .write_all(&raw::frame(3, seq as u32 + 1, payload))
            .await
            .unwrap();
    }
    assert_eq!(inbox.recv().await.unwrap().message, dismiss("d"));
    events.recv().await.unwrap();
    for code in ["decode-failed", "alias-resolution-failed"] {
        let Some(Event::Rejected { rejection, .. }) = events.recv().await else {
            panic!("{code}")
        };
        assert_eq!(rejection.code(), code);
    }
}

#[tokio::test]
async fn a_header_over_the_limit_ends_its_connection_with_limit_and_size() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let _server = builder.listen(ignore).await.unwrap();
    // Before the handshake and after it.
    for established in [false, true] {
        let mut stream = tokio::net::UnixStream::connect(&bus.path).await.unwrap();
        if established {
            let hello = b"\xa3\x61t\x01\x62id\x61x\x61y\x63bot";
            stream.write_all(&raw::frame(3, 1, hello)).await.unwrap();
            events.recv().await.unwrap();
        }
        let before = support::resident_bytes();
        stream
            .write_all(&[3, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2])
            .await
            .unwrap();
        let error = match events.recv().await.unwrap() {
            Event::NotEstablished { error } => error.to_string(),
            Event::Peer {
                change: PeerChange::Disconnected(reason),
                ..
            } => reason.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(
            error.contains("4294967295") && error.contains("67108864"),
            "{error}"
        );
        let grown = support::resident_bytes().saturating_sub(before);
        assert!(grown < 1 << 20, "{grown} bytes");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    }
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
            // Each its own bytes, so that what waits really costs memory.
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
async fn a_peer_that_does_not_read_is_cut_and_the_others_are_not_held_up() {
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
    // One after the other to each: the stuck one holds up the good one once, and not for ever.
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
