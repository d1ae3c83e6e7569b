//! How things end: peers that leave while they are answered, peers that never pause, handlers that
//! are never made, servers that are dropped.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{IntoFuture as _, pending},
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use support::{Bus, collect, raw};
use kyneta_uds::{
    Client, Connection, Event, HandshakeLayer, Identity, Incoming, Listener, PeerChange,
    QueueConfig, ReconnectPolicy, Server, serve,
};
use tower::{make::Shared, service_fn};

fn hello() -> Vec<u8> {
    raw::frame(2, 0, b"\xa3\x61t\x01\x62id\x61x\x61y\x63bot")
}

fn dismiss() -> Vec<u8> {
    raw::frame(2, 0, b"\xa2\x61t\x13\x63doc\x61d")
}

/// A peer by hand that has been answered.
fn introduced(bus: &std::path::Path) -> UnixStream {
    let mut stream = UnixStream::connect(bus).unwrap();
    stream.write_all(&hello()).unwrap();
    let mut answer = [0; 256];
    assert!(stream.read(&mut answer).unwrap() > 0);
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_said_before_it_left_is_heard_while_it_is_answered() {
    const COUNT: usize = 5000;
    let bus = Bus::new();
    let heard = Arc::new(AtomicUsize::new(0));
    let echo = {
        let heard = heard.clone();
        service_fn(move |incoming: Incoming| {
            heard.fetch_add(1, Ordering::Relaxed);
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
        introduced(&path)
            .write_all(&dismiss().repeat(COUNT))
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
    assert_eq!(heard.load(Ordering::Relaxed), COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_that_never_pauses_does_not_put_off_the_end() {
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
            let mut stream = introduced(&path);
            let chunk = dismiss().repeat(20_000);
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
async fn a_handler_that_cannot_be_made_ends_the_connection_for_all_who_hold_it() {
    let bus = Bus::new();
    let (held, mut connections) = tokio::sync::mpsc::unbounded_channel();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let make = service_fn(move |connection: Connection| {
        held.send(connection).unwrap();
        async move { if true { Err("not today") } else { Ok(ignore) } }
    });
    let listener = Listener::bind(&bus.path).await.unwrap();
    tokio::spawn(serve(listener, make).into_future());
    let (handler, _inbox) = collect(1);
    let client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .connect(handler)
        .await
        .unwrap();
    assert_eq!(client.closed().await.kind(), "closed");
    assert_eq!(
        connections.recv().await.unwrap().closed().await.kind(),
        "error"
    );
}

#[tokio::test]
async fn a_handler_that_is_never_made_does_not_put_off_the_end() {
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
async fn a_server_that_is_dropped_takes_its_connections_with_it() {
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
async fn no_limit_is_a_limit_like_any_other() {
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

#[tokio::test]
async fn a_client_that_ends_before_it_was_connected_still_says_that_it_leaves() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(8);
    let quick = ReconnectPolicy::new().base(Duration::from_millis(5));
    let client = Client::builder(&bus.path).reconnect(quick);
    let mut client = client.connect_lazy(handler.clone()).await.unwrap();
    client.queue(support::dismiss("d")).await.unwrap();
    let ending = tokio::spawn(client.dispose());
    tokio::time::sleep(Duration::from_millis(50)).await;

    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let server = builder.listen(handler).await.unwrap();
    let heard = support::soon(inbox.recv()).await.unwrap();
    assert_eq!(heard.message, support::dismiss("d"));
    support::soon(ending).await.unwrap();
    loop {
        match support::soon(events.recv()).await.unwrap() {
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
