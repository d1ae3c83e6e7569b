//! Input that is no frame or no message, and frames that are missing or repeated: each is an event, a
//! count and a log line.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::convert::Infallible;

use kyneta_uds::{
    BoxError, CborLayer, Event, FramingLayer, Incoming, Listener, Message, Notice, PeerChange,
    QueueLayer, Server, SocketPath, UnixConnector, UnixTarget,
};
use support::{
    Bus, Log, collect, dismiss,
    raw::{NO_MESSAGE, establish, frame, payload},
    soon,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tracing::Level;

#[tokio::test]
async fn a_bad_message_is_an_event_and_its_connection_goes_on() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let (handler, mut inbox) = collect(8);
    let _server = builder.listen(handler).await.unwrap();
    let mut stream = UnixStream::connect(&bus.path).await.unwrap();
    let (garbage, unknown_alias) = (b"\xff\xff", b"\xa2\x61t\x13\x62dx\x07");
    let frames = [
        establish(3, "x"),
        frame(3, 2, garbage),
        frame(3, 3, unknown_alias),
        frame(3, 4, &payload(&dismiss("d"))),
    ];
    stream.write_all(&frames.concat()).await.unwrap();
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
        let mut stream = UnixStream::connect(&bus.path).await.unwrap();
        if established {
            stream.write_all(&establish(3, "x")).await.unwrap();
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

#[tokio::test]
async fn payloads_that_are_no_message_are_logged_within_a_bound_and_counted() {
    let (log, _guard) = Log::start(Level::WARN);
    let bus = Bus::new();
    let (handler, mut inbox) = collect(8);
    // One for the new connection, and two more.
    let builder = Server::builder(&bus.path).log_lines(3);
    let server = builder.listen(handler).await.unwrap();
    let mut stream = UnixStream::connect(&bus.path).await.unwrap();
    let mut frames = establish(3, "raw");
    frames.extend((2..=6).flat_map(|seq| frame(3, seq, NO_MESSAGE)));
    frames.extend(frame(3, 7, &payload(&dismiss("good"))));
    stream.write_all(&frames).await.unwrap();
    assert_eq!(soon(inbox.recv()).await.unwrap().message, dismiss("good"));
    let counts = server.counts();
    assert_eq!(
        (counts.messages_rejected, counts.log_lines_left_out),
        (5, 3)
    );
    let log = log.text();
    let line = "the peer sent something that is not a message peer=\"raw\"";
    assert_eq!(log.matches(line).count(), 2, "{log}");
}

#[tokio::test]
async fn missing_and_repeated_frames_are_events_and_counts() {
    let (log, _guard) = Log::start(Level::WARN);
    let bus = Bus::new();
    let (handler, mut inbox) = collect(8);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let mut events = server.events();
    let mut stream = UnixStream::connect(&bus.path).await.unwrap();
    let message = |seq: u32| frame(3, seq, &payload(&dismiss(&seq.to_string())));
    let frames = [
        establish(3, "raw"),
        message(2),
        message(3),
        message(6),
        message(6),
    ];
    stream.write_all(&frames.concat()).await.unwrap();
    for seq in ["2", "3", "6"] {
        assert_eq!(soon(inbox.recv()).await.unwrap().message, dismiss(seq));
    }
    let mut noticed = Vec::new();
    while noticed.len() < 2 {
        if let Event::Noticed { peer, notice } = soon(events.recv()).await.unwrap() {
            assert_eq!(peer.identity().peer_id.as_str(), "raw");
            noticed.push(notice);
        }
    }
    assert_eq!(noticed, [Notice::Gap { missing: 2 }, Notice::Repeated]);
    let counts = server.counts();
    assert_eq!((counts.frames_missing, counts.frames_repeated), (2, 1));
    assert!(log.text().contains("2 frames of the peer are missing"));
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
enum Known {
    Ping(u32),
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
enum Newer {
    Ping(u32),
    Pong(u32),
}

impl Message for Known {
    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

impl Message for Newer {
    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// A stack as a user writes it, without an event handler.
#[tokio::test]
async fn a_typed_message_that_the_receiver_does_not_know_is_a_warning_and_a_count() {
    let (log, _guard) = Log::start(Level::WARN);
    let bus = Bus::new();
    let path = SocketPath::new(&bus.path).unwrap();
    let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
    let receiving = ServiceBuilder::new()
        .layer(QueueLayer::new(service_fn(move |known: Known| {
            let seen = seen.clone();
            async move { seen.send(known).await }
        })))
        .layer(CborLayer::typed::<Known>())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let ignore = service_fn(async |_: Newer| Ok::<(), BoxError>(()));
    let sending = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(CborLayer::typed::<Newer>())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let mut listener = Listener::bind(path.clone()).await.unwrap();
    let mut sender = sending.oneshot(UnixTarget::from(path)).await.unwrap();
    let (stream, _permit) = listener.accept().await;
    let receiver = receiving
        .oneshot(UnixTarget::Accepted(stream))
        .await
        .unwrap();
    sender.queue(Newer::Pong(1)).await.unwrap();
    sender.queue(Newer::Ping(2)).await.unwrap();
    assert_eq!(soon(inbox.recv()).await, Some(Known::Ping(2)));
    assert_eq!(receiver.counts().rejected, 1);
    let log = log.text();
    assert!(log.contains("WARN") && log.contains("Pong"), "{log}");
}
