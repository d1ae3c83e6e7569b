//! A handler that fails, panics, is never ready or cannot be made, in each role.
//!
//! A failure shows the event, or the message that should have cost nothing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{IntoFuture as _, Ready, ready},
    task::{Context, Poll},
};

use kyneta_uds::{
    BoxError, Client, ClientError, Connection, Counts, Event, Events, Handler, Incoming, JoinError,
    Listener, Peer, ReconnectPolicy, Role, Server, serve,
};
use support::{Bus, Log, collect, dismiss, said, service, soon};
use tokio::sync::mpsc;
use tower::{Service, ServiceExt as _, service_fn};
use tracing::Level;

/// A handler that fails on one message, panics on another, and collects the rest.
fn fragile() -> (impl Handler + Clone, mpsc::Receiver<Incoming>) {
    let (handler, inbox) = collect(8);
    let fragile = service_fn(move |incoming: Incoming| {
        let handler = handler.clone();
        async move {
            if incoming.message == dismiss("fails") {
                return Err("no such thing".into());
            }
            assert_ne!(incoming.message, dismiss("panics"), "as the test wants it");
            handler.oneshot(incoming).await.map_err(BoxError::from)
        }
    });
    (fragile, inbox)
}

/// Waits for both events, and checks that they name the sender.
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

fn failures_and_panics(counts: Counts) -> (u64, u64) {
    (counts.handler_failures, counts.handler_panics)
}

const THREE: [&str; 3] = ["fails", "panics", "good"];

const IGNORE: fn(Incoming) -> Ready<Result<(), Infallible>> = |_| ready(Ok(()));

#[tokio::test]
async fn a_message_that_the_handler_of_a_server_fails_or_panics_on_costs_that_message_alone() {
    let (log, _guard) = Log::start(Level::WARN);
    let bus = Bus::new();
    let (handler, mut inbox) = fragile();
    let server = Server::builder(&bus.path).relay(false);
    let server = server.listen(handler).await.unwrap();
    let mut events = server.events();
    let client = Client::builder(&bus.path).identity(service("c"));
    let mut client = client.connect(service_fn(IGNORE)).await.unwrap();
    for doc in THREE {
        client.queue(dismiss(doc)).await.unwrap();
    }
    failed_and_panicked(&mut events, "c").await;
    assert_eq!(soon(inbox.recv()).await.unwrap().message, dismiss("good"));
    assert_eq!(failures_and_panics(server.counts()), (1, 1));
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
    let server = Server::builder(&bus.path).identity(service("hub"));
    let server = server.listen(service_fn(IGNORE)).await.unwrap();
    let (handler, mut inbox) = fragile();
    let client = Client::builder(&bus.path).connect(handler).await.unwrap();
    let mut events = client.events();
    let mut to_client = server.connections().remove(0);
    for doc in THREE {
        to_client.queue(dismiss(doc)).await.unwrap();
    }
    failed_and_panicked(&mut events, "hub").await;
    assert_eq!(soon(inbox.recv()).await.unwrap().message, dismiss("good"));
    assert_eq!(failures_and_panics(client.counts()), (1, 1));
    assert!(client.is_connected());
}

#[tokio::test]
async fn a_message_that_the_handler_of_a_peer_fails_or_panics_on_costs_that_message_alone() {
    let bus = Bus::new();
    let join = async |id: &str| {
        let (handler, inbox) = fragile();
        let builder = Peer::builder(&bus.path).identity(service(id)).relay(false);
        (soon(builder.join(handler)).await.unwrap(), inbox)
    };
    let mut listener = join("listener").await;
    let mut connector = join("connector").await;
    soon(listener.0.wait_for_peers()).await;
    for times in 1..=2 {
        let (to_connector, to_listener) = (listener.0.clone(), connector.0.clone());
        let ways = [
            ("listener", to_connector, &mut connector, Role::Connector),
            ("connector", to_listener, &mut listener, Role::Listener),
        ];
        for (id, mut from, (to, inbox), role) in ways {
            let mut events = to.events();
            for doc in THREE {
                from.queue(dismiss(doc)).await.unwrap();
            }
            failed_and_panicked(&mut events, id).await;
            assert_eq!(soon(inbox.recv()).await.unwrap().message, dismiss("good"));
            assert_eq!(failures_and_panics(to.counts()), (times, times));
            assert_eq!((to.role(), to.connection_count()), (role, 1));
        }
    }
}

/// A handler whose readiness fails.
#[derive(Clone)]
struct Broken;

impl Service<Incoming> for Broken {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("broken".into()))
    }

    fn call(&mut self, _: Incoming) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test]
async fn a_failed_handler_is_an_error_of_joining_and_of_connecting() {
    let bus = Bus::new();
    let error = soon(Peer::builder(&bus.path).join(Broken))
        .await
        .unwrap_err();
    assert!(matches!(error, JoinError::Ended { .. }), "{error:?}");
    let expected = format!(
        "the peer at {} ended before it had joined: broken",
        bus.path.display()
    );
    assert_eq!(said(&error), expected);
    assert!(!bus.path.exists());

    let first = Peer::builder(&bus.path)
        .join(service_fn(IGNORE))
        .await
        .unwrap();
    let error = soon(Peer::builder(&bus.path).join(Broken))
        .await
        .unwrap_err();
    assert_eq!(said(&error), expected);
    let error = soon(Client::builder(&bus.path).connect(Broken))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::NotConnected { .. }),
        "{error:?}"
    );
    assert!(said(&error).ends_with(": broken"), "{error:?}");
    first.dispose().await;
}

#[tokio::test]
async fn a_make_service_that_panics_costs_one_connection_and_is_reported() {
    let bus = Bus::new();
    let listener = Listener::bind(&bus.path).await.unwrap();
    let make = service_fn(
        async |peer: kyneta_uds::Connection| -> Result<_, Infallible> {
            match peer.peer_id().as_str() {
                "bad" => panic!("as the test wants it"),
                _ => Ok(service_fn(IGNORE)),
            }
        },
    );
    let serving = serve(listener, make);
    let server = serving.server();
    let mut events = server.events();
    tokio::spawn(serving.into_future());
    let client = |id: &str| Client::builder(&bus.path).identity(support::service(id));
    let bad = client("bad").connect_lazy(collect(1).0).await.unwrap();
    let Some(Event::NotEstablished { error }) = soon(events.recv()).await else {
        panic!("the connection was established")
    };
    assert!(
        error
            .to_string()
            .ends_with("panicked: as the test wants it"),
        "{error}"
    );
    assert_eq!(server.counts().not_served, 1);
    bad.dispose().await;
    let mut good = client("good").connect(collect(1).0).await.unwrap();
    good.queue(dismiss("d")).await.unwrap();
    good.flushed().await.unwrap();
    server.dispose().await;
}

#[tokio::test]
async fn a_handler_that_cannot_be_made_ends_the_connection_on_both_sides() {
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
