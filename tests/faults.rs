//! A message that is lost is told of: as an event, a count and a log line, and the connection goes on.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use support::{Bus, collect, dismiss, offer, raw::frame, raw::payload, service, soon};
use kyneta_uds::{
    BoxError, CborLayer, ChannelMsg, Client, Counts, Event, Events, FramingLayer, Incoming,
    Listener, Message, Notice, Peer, QueueLayer, Role, Server, SocketPath, UnixConnector,
    UnixTarget,
};
use tokio::{io::AsyncWriteExt as _, net::UnixStream};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
use tracing::subscriber::DefaultGuard;

/// `{t: 1, id: "raw", y: "bot"}`
const ESTABLISH: &[u8] = b"\xa3\x61t\x01\x62id\x63raw\x61y\x63bot";

/// `{t: 99}`: well-formed, and no message.
const NO_MESSAGE: &[u8] = b"\xa1\x61t\x18\x63";

/// Warnings of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message that this handler fails on, one that it panics on, and any other.
async fn fragile(incoming: Incoming) -> Result<(), BoxError> {
    if incoming.message == dismiss("fails") {
        return Err("no such thing".into());
    }
    assert_ne!(incoming.message, dismiss("panics"), "as the test wants it");
    incoming
        .from()
        .ready()
        .await?
        .call(incoming.message)
        .await?;
    Ok(())
}

/// What is told of the two, with whose they were.
async fn failed_and_panicked(events: &mut Events, of: &str) {
    let mut seen = (false, false);
    while seen != (true, true) {
        match soon(events.recv()).await.unwrap() {
            Event::HandlerFailed { peer, error } => {
                assert_eq!(peer.identity().peer_id.as_str(), of);
                assert_eq!(error.to_string(), "no such thing");
                seen.0 = true;
            }
            Event::HandlerPanicked { peer, panic } => {
                assert_eq!(peer.identity().peer_id.as_str(), of);
                assert!(panic.message.contains("as the test wants it"), "{panic}");
                seen.1 = true;
            }
            Event::Peer { .. } | Event::Role(_) | Event::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn assert_counted(counts: Counts) {
    assert_eq!((counts.handler_failures, counts.handler_panics), (1, 1));
}

const THREE: [&str; 3] = ["fails", "panics", "good"];

#[tokio::test]
async fn a_message_that_the_handler_of_a_server_fails_or_panics_on_costs_that_message_alone() {
    let (log, _guard) = Log::start();
    let bus = Bus::new();
    let server = Server::builder(&bus.path)
        .listen(service_fn(fragile))
        .await
        .unwrap();
    let mut events = server.events();
    let (handler, mut inbox) = collect(8);
    let client = Client::builder(&bus.path).identity(service("c"));
    let mut client = client.connect(handler).await.unwrap();
    for doc in THREE {
        client.queue(dismiss(doc)).await.unwrap();
    }
    failed_and_panicked(&mut events, "c").await;
    assert_eq!(soon(inbox.recv()).await.unwrap().message, dismiss("good"));
    assert_counted(server.counts());
    assert_eq!(server.connection_count(), 1);
    let log = log.text();
    for line in [
        "the handler failed on a message",
        "no such thing",
        "a message is lost",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
}

#[tokio::test]
async fn a_message_that_the_handler_of_a_client_fails_or_panics_on_costs_that_message_alone() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(8);
    let server = Server::builder(&bus.path).identity(service("hub"));
    let server = server.listen(handler).await.unwrap();
    let client = Client::builder(&bus.path)
        .connect(service_fn(fragile))
        .await
        .unwrap();
    let mut events = client.events();
    let mut to_client = server.connections().remove(0);
    for doc in THREE {
        to_client.queue(dismiss(doc)).await.unwrap();
    }
    failed_and_panicked(&mut events, "hub").await;
    assert_eq!(soon(inbox.recv()).await.unwrap().message, dismiss("good"));
    assert_counted(client.counts());
    assert!(client.is_connected());
}

#[tokio::test]
async fn a_message_that_the_handler_of_a_peer_fails_or_panics_on_costs_that_message_alone() {
    let bus = Bus::new();
    let join = |id: &str| {
        let builder = Peer::builder(&bus.path).identity(service(id));
        async { soon(builder.join(service_fn(fragile))).await.unwrap() }
    };
    let listener = join("listener").await;
    let connector = join("connector").await;
    let ways = [
        (&listener, &connector, Role::Connector),
        (&connector, &listener, Role::Listener),
    ];
    for (from, to, role) in ways {
        let id = if role == Role::Connector {
            "listener"
        } else {
            "connector"
        };
        let (mut events, mut from) = (to.events(), from.clone());
        soon(from.wait_for_peers()).await;
        for doc in ["fails", "panics"] {
            from.queue(dismiss(doc)).await.unwrap();
        }
        failed_and_panicked(&mut events, id).await;
        assert_counted(to.counts());
        assert_eq!((to.role(), to.connection_count()), (role, 1));
    }
}

#[tokio::test]
async fn what_a_peer_sends_that_is_no_message_is_logged_within_a_bound_and_counted() {
    let (log, _guard) = Log::start();
    let bus = Bus::new();
    let (handler, mut inbox) = collect(8);
    // The line of its coming, and two more.
    let builder = Server::builder(&bus.path).log_lines(3);
    let server = builder.listen(handler).await.unwrap();
    let mut stream = UnixStream::connect(&bus.path).await.unwrap();
    let mut words = frame(3, 1, ESTABLISH);
    words.extend((2..=6).flat_map(|seq| frame(3, seq, NO_MESSAGE)));
    words.extend(frame(3, 7, &payload(&dismiss("good"))));
    stream.write_all(&words).await.unwrap();
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
async fn frames_that_are_missing_and_that_come_twice_are_events_and_counts() {
    let (log, _guard) = Log::start();
    let bus = Bus::new();
    let (handler, mut inbox) = collect(8);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let mut events = server.events();
    let mut stream = UnixStream::connect(&bus.path).await.unwrap();
    let message = |seq: u32| frame(3, seq, &payload(&dismiss(&seq.to_string())));
    let words = [
        frame(3, 1, ESTABLISH),
        message(2),
        message(3),
        message(6),
        message(6),
    ];
    stream.write_all(&words.concat()).await.unwrap();
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

/// A stack as a user spells it out, with nothing that asks for events.
#[tokio::test]
async fn a_typed_message_that_the_receiver_does_not_know_is_a_warning_and_a_count() {
    let (log, _guard) = Log::start();
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

/// A handler that is slow makes its queue read ahead while it cannot write. A connection that comes
/// after must not be taken for the sender of what the one before has said.
#[tokio::test]
async fn what_was_read_ahead_keeps_its_sender_when_another_listener_takes_its_place() {
    let bus = Bus::new();
    let (go, gate) = tokio::sync::watch::channel(false);
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    // It answers with two messages that no socket holds, one for each connection, so that its side cannot
    // write; then it waits.
    let handler = service_fn(move |incoming: Incoming| {
        let (said, mut gate) = (said.clone(), gate.clone());
        async move {
            if incoming.message == dismiss("1") {
                for _ in 0..2 {
                    incoming.from().queue(offer("d", 4 << 20)).await?;
                }
                let _ = gate.wait_for(|open| *open).await;
            }
            let from = incoming.peer().identity().peer_id.as_str().to_owned();
            let _ = said.send((from, incoming.message));
            Ok::<(), BoxError>(())
        }
    });
    let listener = tokio::net::UnixListener::bind(&bus.path).unwrap();
    let client = Client::builder(&bus.path)
        .reconnect(kyneta_uds::ReconnectPolicy::new().base(Duration::from_millis(10)));
    let client = client.connect_lazy(handler).await.unwrap();
    let mut events = client.events();
    let establish = |id: &str| {
        let identity = kyneta_uds::Establish::new(service(id));
        frame(3, 1, &payload(&ChannelMsg::Establish(identity)))
    };
    let message = |seq, doc: &str| frame(3, seq, &payload(&dismiss(doc)));

    let (mut first, _) = soon(listener.accept()).await.unwrap();
    first.write_all(&establish("first")).await.unwrap();
    let words = [message(2, "1"), message(3, "2"), message(4, "3")].concat();
    first.write_all(&words).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(first);

    let (mut second, _) = soon(listener.accept()).await.unwrap();
    second.write_all(&establish("second")).await.unwrap();
    second.write_all(&message(2, "4")).await.unwrap();
    while let Some(event) = soon(events.recv()).await {
        if matches!(&event, Event::Peer { peer, .. } if peer.identity().peer_id.as_str() == "second")
        {
            break;
        }
    }
    // Until that is read ahead, too.
    tokio::time::sleep(Duration::from_millis(200)).await;
    go.send(true).unwrap();
    for (from, doc) in [
        ("first", "1"),
        ("first", "2"),
        ("first", "3"),
        ("second", "4"),
    ] {
        assert_eq!(
            soon(heard.recv()).await.unwrap(),
            (from.to_owned(), dismiss(doc))
        );
    }
}

/// What a handler fails on, and what is no message, is of the one that has sent it, also when its connection
/// has ended by the time that it is told of.
#[tokio::test]
async fn a_fault_is_told_of_its_sender_when_that_has_gone_and_when_another_has_come() {
    for another_comes in [false, true] {
        let bus = Bus::new();
        let (go, gate) = tokio::sync::watch::channel(false);
        // As above; and then it fails.
        let handler = service_fn(move |incoming: Incoming| {
            let mut gate = gate.clone();
            async move {
                if incoming.message == dismiss("1") {
                    for _ in 0..2 {
                        incoming.from().queue(offer("d", 4 << 20)).await?;
                    }
                    let _ = gate.wait_for(|open| *open).await;
                }
                Err::<(), BoxError>(format!("{:?}", incoming.message).into())
            }
        });
        let listener = tokio::net::UnixListener::bind(&bus.path).unwrap();
        let client = Client::builder(&bus.path)
            .reconnect(kyneta_uds::ReconnectPolicy::new().base(Duration::from_millis(10)));
        let client = client.connect_lazy(handler).await.unwrap();
        let mut events = client.events();
        let establish = |id: &str| {
            let identity = kyneta_uds::Establish::new(service(id));
            frame(3, 1, &payload(&ChannelMsg::Establish(identity)))
        };
        let message = |seq, doc: &str| frame(3, seq, &payload(&dismiss(doc)));

        let (mut first, _) = soon(listener.accept()).await.unwrap();
        first.write_all(&establish("first")).await.unwrap();
        let words = [
            message(2, "1"),
            frame(3, 3, NO_MESSAGE),
            message(5, "2"), // The 4 is missing.
        ];
        first.write_all(&words.concat()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(first);
        let mut second = None;
        if another_comes {
            let (mut stream, _) = soon(listener.accept()).await.unwrap();
            let words = [establish("second"), message(2, "3")].concat();
            stream.write_all(&words).await.unwrap();
            second = Some(stream);
        } else {
            drop(listener);
            std::fs::remove_file(&bus.path).unwrap();
        }
        soon(client.wait_for(|state| {
            let now = matches!(state, kyneta_uds::State::Connected);
            now == another_comes
        }))
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        go.send(true).unwrap();

        let mut expected = vec![
            // Reported when it is read, which is ahead of the handler.
            ("rejected", "first"),
            ("noticed", "first"),
            ("failed", "first"),
            ("failed", "first"),
        ];
        if another_comes {
            expected.push(("failed", "second"));
        }
        let mut told = Vec::new();
        let telling = async {
            while told.len() < expected.len() {
                let (what, peer) = match events.recv().await.unwrap() {
                    Event::HandlerFailed { peer, .. } => ("failed", peer),
                    Event::Rejected { peer, .. } => ("rejected", peer),
                    Event::Noticed { peer, .. } => ("noticed", peer),
                    _ => continue,
                };
                told.push((what, peer.identity().peer_id.as_str().to_owned()));
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(5), telling).await;
        let told: Vec<_> = told.iter().map(|(what, of)| (*what, of.as_str())).collect();
        assert_eq!(
            told, expected,
            "another comes: {another_comes}, {in_time:?}"
        );
        let counts = client.counts();
        assert_eq!(counts.handler_failures, 2 + u64::from(another_comes));
        assert_eq!((counts.messages_rejected, counts.frames_missing), (1, 1));
        #[cfg(feature = "status")]
        {
            use kyneta_uds::status::Inspect as _;
            let received = client.snapshot().received;
            assert_eq!(received, 2 + u64::from(another_comes));
        }
        drop(second);
    }
}
