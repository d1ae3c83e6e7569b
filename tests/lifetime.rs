//! A role ends with what drives it, and says so: its runtime, its handler, the future that serves it.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{Future, IntoFuture as _, Ready, ready},
    task::{Context, Poll},
};

use support::{Bus, collect, dismiss, said, soon};
#[cfg(feature = "status")]
use kyneta_uds::status::{Inspect, Standing};
use kyneta_uds::{
    BoxError, Client, ClientError, DisconnectReason, Ended, Event, Incoming, JoinError, Listener,
    Peer, Role, ServeDropped, Server, StateKind, serve,
};
use tokio::runtime::Runtime;
use tower::{Service, make::Shared, service_fn};

/// A handler that is never ready: it has failed.
#[derive(Clone)]
struct Broken;

impl Service<Incoming> for Broken {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("out of order".into()))
    }

    fn call(&mut self, _: Incoming) -> Self::Future {
        ready(Ok(()))
    }
}

const IGNORE: fn(Incoming) -> Ready<Result<(), Infallible>> = |_| ready(Ok(()));

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Makes a role on a runtime that ends, and looks at it on another.
fn outlive<R, F: Future<Output = ()>>(make: impl Future<Output = R>, look: impl FnOnce(R) -> F) {
    let first = runtime();
    let role = first.block_on(make);
    drop(first);
    runtime().block_on(soon(look(role)));
}

/// What `/healthz` answers with 503.
#[cfg(feature = "status")]
fn standing_of_the_unwell(role: &impl Inspect) -> Standing {
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
        assert_eq!(standing_of_the_unwell(&peer), Standing::Disposed);
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
        assert_eq!(standing_of_the_unwell(&client), Standing::Disconnected);
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
        assert_eq!(standing_of_the_unwell(&server), Standing::Disposed);
        assert_eq!(server.connection_count(), 0);
        server.dispose().await;
        assert!(!bus.path.exists());
    });
}

/// Its task was never polled.
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

#[tokio::test]
async fn a_listener_that_is_served_no_more_says_why() {
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

#[tokio::test]
async fn a_handler_that_is_out_of_order_is_an_error_of_joining_and_of_connecting() {
    let bus = Bus::new();
    let error = soon(Peer::builder(&bus.path).join(Broken))
        .await
        .unwrap_err();
    assert!(matches!(error, JoinError::Ended { .. }), "{error:?}");
    let expected = format!(
        "the peer at {} ended before it had joined: out of order",
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
    assert!(said(&error).ends_with(": out of order"), "{error:?}");
    first.dispose().await;
}

#[tokio::test]
async fn a_maker_of_handlers_that_panics_costs_one_connection_and_is_told() {
    let bus = Bus::new();
    let listener = Listener::bind(&bus.path).await.unwrap();
    let make = service_fn(
        async |peer: kyneta_uds::Connection| -> Result<_, Infallible> {
            match peer.peer_id().as_str() {
                "bad" => panic!("no place for it"),
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
        panic!("not established")
    };
    assert!(
        error.to_string().ends_with("panicked: no place for it"),
        "{error}"
    );
    assert_eq!(server.counts().not_served, 1);
    bad.dispose().await;
    let mut good = client("good").connect(collect(1).0).await.unwrap();
    good.queue(dismiss("d")).await.unwrap();
    good.flushed().await.unwrap();
    server.dispose().await;
}
