//! The handshake over a real socket: wire versions, silence, features, timeouts.
//!
//! A failure shows the wire version, the time that it took, or the error.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::IntoFuture as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kyneta_uds::{
    Client, Event, Features, HandshakeLayer, Identity, Incoming, Listener, PeerId, QueueConfig,
    ReconnectPolicy, Server, WireMode, WireVersion, default_stack, serve,
};
use support::{Bus, collect, offer, raw, said, service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::{Service as _, ServiceExt as _, service_fn};

fn peer(id: &str) -> PeerId {
    PeerId::new(id).unwrap()
}

#[tokio::test]
async fn both_wire_versions_are_served_at_once_and_distinguished() {
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

/// A listener by hand that knows one wire version, and ignores frames of the other as the reference does.
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
async fn without_time_for_an_answer_it_does_not_connect_again_and_again() {
    let bus = Bus::new();
    let listener = tokio::net::UnixListener::bind(&bus.path).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counts = count.clone();
    tokio::spawn(async move {
        let mut held = VecDeque::new();
        while let Ok((stream, _)) = listener.accept().await {
            counts.fetch_add(1, Ordering::Relaxed);
            held.push_back(stream);
            if held.len() > 8 {
                held.pop_front();
            }
        }
    });
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let handshake = HandshakeLayer::new(service("c"))
        .wire_fallback(Duration::ZERO)
        .timeout(Duration::from_millis(500));
    let client = Client::builder(&bus.path).reconnect(ReconnectPolicy::off());
    let connected = client.handshake(handshake).connect(ignore).await;
    let error = said(&connected.unwrap_err());
    assert!(error.contains("no answer to establish"), "{error}");
    let count = count.load(Ordering::Relaxed);
    assert!(count < 50, "{count}");
}

#[tokio::test]
async fn silence_on_both_wire_versions_is_an_error_that_names_both() {
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
    // Long enough that both wire versions were tried without an answer.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let serve = serve(listener, tower::make::Shared::new(ignore));
    let mut events = serve.server().events();
    tokio::spawn(serve.into_future());
    client.await.unwrap().unwrap();
    // The attempts that gave up meanwhile are no events.
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
async fn timeouts_without_a_limit_are_accepted() {
    let bus = Bus::new();
    let forever = HandshakeLayer::new(Identity::service("c").unwrap())
        .timeout(Duration::MAX)
        .wire_fallback(Duration::MAX);
    let _server = bus.echo("echo").await;
    let (handler, _inbox) = collect(1);
    let config = QueueConfig::default().drain_timeout(Duration::MAX);
    let client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .handshake(forever)
        .queue(config);
    client.connect(handler).await.unwrap().dispose().await;
}
