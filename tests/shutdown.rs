//! How roles and connections end: disposed of, dropped, or with their runtime; and what is still
//! delivered.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{Future, IntoFuture as _, Ready, pending, ready},
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

#[cfg(feature = "status")]
use kyneta_uds::status::{Inspect, Standing};
use kyneta_uds::{
    ChannelMsg, Client, Connection, DisconnectReason, Ended, Event, Incoming, Listener, Peer,
    PeerChange, PeerId, QueueConfig, ReconnectPolicy, Role, ServeDropped, Server, StateKind, serve,
};
use support::{
    Bus, collect, dismiss, offer,
    raw::{establish, frame, payload},
    service, soon,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
};
use tower::{make::Shared, service_fn};

const IGNORE: fn(Incoming) -> Ready<Result<(), Infallible>> = |_| ready(Ok(()));

#[tokio::test]
async fn the_end_of_a_server_is_reported_and_nothing_queued_is_lost() {
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
    let mut connection = server.connection(&PeerId::new("c").unwrap()).unwrap();
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

/// A raw connection after its handshake.
fn raw_peer(bus: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(bus).unwrap();
    stream.write_all(&establish(2, "x")).unwrap();
    let mut answer = [0; 256];
    assert!(stream.read(&mut answer).unwrap() > 0);
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_sent_before_a_peer_left_are_handled_while_they_are_answered() {
    const COUNT: usize = 5000;
    let bus = Bus::new();
    let received = Arc::new(AtomicUsize::new(0));
    let echo = {
        let received = received.clone();
        service_fn(move |incoming: Incoming| {
            received.fetch_add(1, Ordering::Relaxed);
            async move {
                let _ = incoming.from().queue(incoming.message).await;
                Ok::<(), Infallible>(())
            }
        })
    };
    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let _server = builder.listen(echo).await.unwrap();
    let path = bus.path.clone();
    let leaves = move || {
        raw_peer(&path)
            .write_all(&frame(2, 0, &payload(&dismiss("d"))).repeat(COUNT))
            .unwrap();
    };
    tokio::task::spawn_blocking(leaves).await.unwrap();
    loop {
        if let Some(Event::Peer {
            change: PeerChange::Disconnected(_),
            ..
        }) = events.recv().await
        {
            break;
        }
    }
    assert_eq!(received.load(Ordering::Relaxed), COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_that_never_pauses_does_not_delay_shutdown() {
    let bus = Bus::new();
    let busy = service_fn(async |_: Incoming| {
        let started = Instant::now();
        while started.elapsed() < Duration::from_micros(20) {}
        Ok::<(), Infallible>(())
    });
    let config = QueueConfig::default().drain_timeout(Duration::from_millis(200));
    let server = Server::builder(&bus.path).queue(config);
    let mut events = server.events();
    let server = server.listen(busy).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let (path, stop) = (bus.path.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut stream = raw_peer(&path);
            let chunk = frame(2, 0, &payload(&dismiss("d"))).repeat(20_000);
            while !stop.load(Ordering::Relaxed) && stream.write_all(&chunk).is_ok() {}
        })
    };
    events.recv().await.unwrap();
    let started = Instant::now();
    server.dispose().await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
}

#[tokio::test]
async fn a_handler_that_is_never_made_does_not_delay_shutdown() {
    let bus = Bus::new();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let never = service_fn(move |_: Connection| async move {
        pending::<()>().await;
        Ok::<_, Infallible>(ignore)
    });
    let listener = Listener::bind(&bus.path).await.unwrap();
    let serve = serve(listener, never);
    let server = serve.server();
    tokio::spawn(serve.into_future());
    let (handler, _inbox) = collect(1);
    let client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .connect(handler)
        .await
        .unwrap();
    server.dispose().await;
    assert_eq!(client.closed().await.kind(), "closed");
}

#[tokio::test]
async fn a_dropped_server_ends_its_connections() {
    let bus = Bus::new();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let listener = Listener::bind(&bus.path).await.unwrap();
    let serve = serve(listener, Shared::new(ignore));
    let server = serve.server();
    let mut events = server.events();
    let task = tokio::spawn(serve.into_future());
    let (handler, _inbox) = collect(1);
    let client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .connect(handler)
        .await
        .unwrap();
    events.recv().await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    server.dispose().await;
    assert_eq!(client.closed().await.kind(), "closed");
    assert_eq!(server.connection_count(), 0);
}

#[tokio::test]
async fn a_client_that_ends_before_it_was_connected_still_sends_depart() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(8);
    let quick = ReconnectPolicy::new().base(Duration::from_millis(5));
    let client = Client::builder(&bus.path).reconnect(quick);
    let mut client = client.connect_lazy(handler.clone()).await.unwrap();
    client.queue(dismiss("d")).await.unwrap();
    let ending = tokio::spawn(client.dispose());
    tokio::time::sleep(Duration::from_millis(50)).await;

    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let server = builder.listen(handler).await.unwrap();
    let received = soon(inbox.recv()).await.unwrap();
    assert_eq!(received.message, dismiss("d"));
    soon(ending).await.unwrap();
    loop {
        match soon(events.recv()).await.unwrap() {
            Event::Peer { change, .. } => match change {
                PeerChange::Established => {}
                PeerChange::Departed => break,
                other => panic!("{other:?}"),
            },
            _ => continue,
        }
    }
    server.dispose().await;
}

#[tokio::test]
async fn a_client_that_ends_while_it_connects_still_sends_depart() {
    let bus = Bus::new();
    let listener = tokio::net::UnixListener::bind(&bus.path).unwrap();
    let client = Client::builder(&bus.path);
    let client = client.connect_lazy(service_fn(IGNORE)).await.unwrap();
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let mut read = [0; 256];
    assert!(soon(stream.read(&mut read)).await.unwrap() > 0);

    // The listener has its peer, and the client has no answer yet.
    let ending = tokio::spawn(client.dispose());
    tokio::task::yield_now().await;
    stream.write_all(&establish(3, "x")).await.unwrap();
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.ends_with(&payload(&ChannelMsg::Depart)), "{rest:?}");
    drop(stream);
    soon(ending).await.unwrap();
}

#[tokio::test]
async fn a_client_ends_soon_although_the_listener_never_answers() {
    let bus = Bus::new();
    let _silent = tokio::net::UnixListener::bind(&bus.path).unwrap();
    let client = Client::builder(&bus.path);
    let client = client.connect_lazy(service_fn(IGNORE)).await.unwrap();
    client
        .wait_for(|state| state.kind() == StateKind::Connecting)
        .await;
    let begin = Instant::now();
    soon(client.dispose()).await;
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn events_end_with_the_peer_and_with_the_client() {
    let bus = Bus::new();
    let (handler, _inbox) = collect(64);
    let peer = Peer::builder(&bus.path).identity(service("a"));
    let peer = soon(peer.join(handler.clone())).await.unwrap();
    let client = Client::builder(&bus.path).identity(service("b"));
    let client = soon(client.connect(handler)).await.unwrap();

    let mut events = client.events();
    soon(client.dispose()).await;
    drop(client);
    while soon(events.recv()).await.is_some() {}

    let mut events = peer.events();
    soon(peer.dispose()).await;
    drop(peer);
    while soon(events.recv()).await.is_some() {}
}

#[tokio::test]
async fn a_server_that_is_no_longer_served_says_why() {
    let bus = Bus::new();
    let listener = Listener::bind(&bus.path).await.unwrap();
    let serving = serve(listener, Shared::new(service_fn(IGNORE)));
    let server = serving.server();
    drop(serving);
    assert!(is_serve_dropped(&soon(server.closed()).await));

    let listener = Listener::bind(&bus.path).await.unwrap();
    let serving = serve(listener, Shared::new(service_fn(IGNORE)));
    let server = serving.server();
    let serving = tokio::spawn(serving.into_future());
    soon(server.dispose()).await;
    assert_eq!(soon(server.closed()).await.kind(), "intentional");
    serving.await.unwrap().unwrap();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Makes a role on a runtime that ends, and checks it on another.
fn outlive<R, F: Future<Output = ()>>(make: impl Future<Output = R>, look: impl FnOnce(R) -> F) {
    let first = runtime();
    let role = first.block_on(make);
    drop(first);
    runtime().block_on(soon(look(role)));
}

/// Of a role whose `/healthz` answers 503.
#[cfg(feature = "status")]
fn unhealthy_standing(role: &impl Inspect) -> Standing {
    let snapshot = role.snapshot();
    assert!(snapshot.health().is_err(), "{snapshot:?}");
    snapshot.role
}

fn is_ended(reason: &DisconnectReason) -> bool {
    matches!(reason, DisconnectReason::Error(error) if error.get_ref().is::<Ended>())
}

fn is_serve_dropped(reason: &DisconnectReason) -> bool {
    matches!(reason, DisconnectReason::Error(error) if error.get_ref().is::<ServeDropped>())
}

#[test]
fn a_peer_ends_with_its_runtime_and_every_way_of_asking_says_so() {
    let bus = Bus::new();
    let joined = async {
        let peer = Peer::builder(&bus.path);
        peer.join(service_fn(IGNORE)).await.unwrap()
    };
    outlive(joined, async |peer: Peer| {
        assert_eq!(peer.role(), Role::Disposed);
        assert!(is_ended(&peer.closed().await));
        #[cfg(feature = "status")]
        assert_eq!(unhealthy_standing(&peer), Standing::Disposed);
        assert_eq!(
            peer.wait_for(|role| role == Role::Disposed).await,
            Role::Disposed
        );
        assert!(!peer.wait_for_peers().await);
        assert!(is_ended(&peer.dispose().await));
    });
}

#[test]
fn a_client_ends_with_its_runtime_and_every_way_of_asking_says_so() {
    let bus = Bus::new();
    let joined = async {
        let server = Server::builder(&bus.path)
            .listen(service_fn(IGNORE))
            .await
            .unwrap();
        let client = Client::builder(&bus.path);
        (client.connect(service_fn(IGNORE)).await.unwrap(), server)
    };
    outlive(joined, async |(client, server): (Client, Server)| {
        assert_eq!(client.state().kind(), StateKind::Disconnected);
        assert!(is_ended(&client.closed().await));
        #[cfg(feature = "status")]
        assert_eq!(unhealthy_standing(&client), Standing::Disconnected);
        client
            .wait_for(|state| state.kind() == StateKind::Disconnected)
            .await;
        assert!(!client.is_connected() && client.connection().is_none());
        assert!(is_ended(&client.dispose().await));
        server.dispose().await;
    });
}

#[test]
fn a_server_ends_with_its_runtime_and_every_way_of_asking_says_so() {
    let bus = Bus::new();
    let joined = async {
        let server = Server::builder(&bus.path)
            .listen(service_fn(IGNORE))
            .await
            .unwrap();
        Client::builder(&bus.path)
            .connect(service_fn(IGNORE))
            .await
            .unwrap();
        server
    };
    outlive(joined, async |server: Server| {
        assert!(is_serve_dropped(&server.closed().await));
        #[cfg(feature = "status")]
        assert_eq!(unhealthy_standing(&server), Standing::Disposed);
        assert_eq!(server.connection_count(), 0);
        server.dispose().await;
        assert!(!bus.path.exists());
    });
}

/// The task was never polled.
#[test]
fn a_server_whose_runtime_ends_at_once_has_ended() {
    let bus = Bus::new();
    let served = async {
        Server::builder(&bus.path)
            .listen(service_fn(IGNORE))
            .await
            .unwrap()
    };
    outlive(served, async |server: Server| {
        assert!(is_serve_dropped(&server.closed().await));
        server.dispose().await;
    });
}
