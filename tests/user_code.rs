//! Code of the user that panics where it is called, or ends its own role.
//!
//! A failure shows what the role did instead of going on, or that it waits for ever.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::OnceLock,
};

use kyneta_uds::{
    AccessPolicy, Bus, BusIncoming, CborLayer, Client, DisconnectReason, Failure, FramingLayer,
    HandshakeLayer, Incoming, ListenerOptions, Message, Peer, QueueLayer, ReconnectPolicy, Recover,
    Server, State, Wait, bus::BusEvent,
};
use serde::{Deserialize, Serialize};
use support::{dismiss, service, soon};
use tokio::{io::duplex, sync::mpsc};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

const IGNORE: fn(Incoming) -> Ready<Result<(), Infallible>> = |_| ready(Ok(()));

fn ignore<M>(_: BusIncoming<M>) -> Ready<Result<(), Infallible>> {
    ready(Ok(()))
}

/// Panics at the first process, and allows each later one.
fn panics_once() -> ListenerOptions {
    let first = std::sync::Once::new();
    let policy = AccessPolicy::when(move |_| {
        let mut is_first = false;
        first.call_once(|| is_first = true);
        assert!(!is_first, "as the test wants it");
        true
    });
    ListenerOptions::new().allow(policy)
}

#[tokio::test]
async fn an_access_policy_that_panics_rejects_one_connection() {
    let bus = support::Bus::new();
    let server = Server::builder(&bus.path).listener(panics_once());
    let server = server.listen(service_fn(IGNORE)).await.unwrap();
    let once = Client::builder(&bus.path).reconnect(ReconnectPolicy::off());
    soon(once.connect(service_fn(IGNORE))).await.unwrap_err();
    let client = Client::builder(&bus.path).connect(service_fn(IGNORE));
    soon(client).await.unwrap();
    assert_eq!(server.counts().not_allowed, 1);
    soon(server.dispose()).await;
}

#[tokio::test]
async fn an_access_policy_that_panics_keeps_no_peer_and_no_member_of_a_bus_away_for_ever() {
    let bus = support::Bus::new();
    let listens = Peer::builder(&bus.path).listener(panics_once());
    let listens = soon(listens.join(service_fn(IGNORE))).await.unwrap();
    let joins = soon(Peer::builder(&bus.path).join(service_fn(IGNORE)))
        .await
        .unwrap();
    assert!(soon(listens.wait_for_peers()).await);
    soon(joins.dispose()).await;
    soon(listens.dispose()).await;

    let listens = Bus::<String>::builder(&bus.path).listener(panics_once());
    let mut listens = soon(listens.join(service_fn(ignore))).await.unwrap();
    let joins = Bus::<String>::builder(&bus.path).identity(service("joins"));
    let joins = soon(joins.join(service_fn(ignore))).await.unwrap();
    let said = soon(listens.ready())
        .await
        .unwrap()
        .call("hello".to_owned());
    assert_eq!(soon(said).await.unwrap().missed, []);
    soon(joins.dispose()).await;
    soon(listens.dispose()).await;
}

#[tokio::test]
async fn a_rule_of_the_handshake_that_panics_admits_no_peer_on_either_side() {
    let bus = support::Bus::new();
    let panics = |id: &str| {
        let layer = HandshakeLayer::new(service(id));
        layer.admit(|peer| {
            assert_ne!(
                peer.identity().peer_id.as_str(),
                "trap",
                "as the test wants it"
            );
            true
        })
    };
    let server = Server::builder(&bus.path).handshake(panics("hub"));
    let server = server.listen(service_fn(IGNORE)).await.unwrap();
    let client = |layer| {
        let client = Client::builder(&bus.path).reconnect(ReconnectPolicy::off());
        client.handshake(layer).connect(service_fn(IGNORE))
    };
    let trap = HandshakeLayer::new(service("trap"));
    soon(client(trap)).await.unwrap_err();
    let good = soon(client(panics("good"))).await.unwrap();
    soon(good.dispose()).await;
    soon(server.dispose()).await;

    let trap = Server::builder(&bus.path).identity(service("trap"));
    let trap = trap.listen(service_fn(IGNORE)).await.unwrap();
    let error = soon(client(panics("good"))).await.unwrap_err();
    assert!(support::said(&error).contains("not admitted"), "{error:?}");
    soon(trap.dispose()).await;
}

/// Panics when it is asked, or while it is waited for.
#[derive(Clone)]
struct Panicking {
    at_once: bool,
}

impl Recover for Panicking {
    fn recover(&mut self, _: Failure<'_>) -> Result<Wait, DisconnectReason> {
        assert!(!self.at_once, "as the test wants it");
        let until = async { panic!("as the test wants it") };
        Ok(Wait::until(until, None))
    }
}

#[tokio::test]
async fn a_policy_that_panics_ends_its_client_with_an_error_and_nothing_waits_for_ever() {
    let bus = support::Bus::new();
    for at_once in [true, false] {
        let builder = || Client::builder(&bus.path).reconnect(Panicking { at_once });
        soon(builder().connect(service_fn(IGNORE)))
            .await
            .unwrap_err();
        let server = Server::builder(&bus.path).listen(service_fn(IGNORE));
        let server = server.await.unwrap();
        let client = soon(builder().connect(service_fn(IGNORE))).await.unwrap();
        soon(server.dispose()).await;
        let reason = soon(client.closed()).await;
        assert_eq!(reason.kind(), "error", "{reason}");
        soon(client.wait_for(|state| matches!(state, State::Connected))).await;
        soon(client.dispose()).await;
    }
}

#[tokio::test]
async fn a_role_is_disposed_of_twice_at_once_and_again() {
    let bus = support::Bus::new();
    let server = Server::builder(&bus.path)
        .listen(service_fn(IGNORE))
        .await
        .unwrap();
    let client = Client::builder(&bus.path)
        .connect(service_fn(IGNORE))
        .await
        .unwrap();
    for _ in 0..2 {
        soon(async { tokio::join!(client.dispose(), client.clone().dispose()) }).await;
        let other = server.clone();
        soon(async { tokio::join!(server.dispose(), other.dispose()) }).await;
    }
    let peer = soon(Peer::builder(&bus.path).join(service_fn(IGNORE)))
        .await
        .unwrap();
    for _ in 0..2 {
        let other = peer.clone();
        soon(async { tokio::join!(peer.dispose(), other.dispose()) }).await;
    }
    let member = Bus::<String>::builder(&bus.path).join(service_fn(ignore));
    let member = soon(member).await.unwrap();
    for _ in 0..2 {
        let (one, other) = (member.clone(), member.clone());
        let other = tokio::spawn(async move { other.dispose().await });
        soon(one.dispose()).await;
        soon(other).await.unwrap();
    }
}

/// The role waits for the handler, and the handler for the role.
#[tokio::test]
async fn a_handler_that_disposes_of_its_own_role_ends_it() {
    let bus = support::Bus::new();
    let own: &'static OnceLock<Client> = Box::leak(Box::default());
    let server = Server::builder(&bus.path)
        .listen(service_fn(IGNORE))
        .await
        .unwrap();
    let client = Client::builder(&bus.path)
        .connect(service_fn(async |_: Incoming| {
            if let Some(client) = own.get() {
                client.dispose().await;
            }
            Ok::<_, Infallible>(())
        }))
        .await
        .unwrap();
    own.set(client.clone()).unwrap();
    let mut to_client = server.connections().remove(0);
    to_client.queue(dismiss("d")).await.unwrap();
    soon(client.closed()).await;

    let own: &'static OnceLock<Bus<String>> = Box::leak(Box::default());
    let handler = service_fn(async |_: BusIncoming<String>| {
        if let Some(bus) = own.get() {
            bus.dispose().await;
        }
        Ok::<_, Infallible>(())
    });
    soon(server.dispose()).await;
    let ends = Bus::<String>::builder(&bus.path).identity(service("ends"));
    let ends = soon(ends.join(handler)).await.unwrap();
    own.set(ends.clone()).unwrap();
    let asks = Bus::<String>::builder(&bus.path).identity(service("asks"));
    let mut asks = soon(asks.join(service_fn(ignore))).await.unwrap();
    let said = soon(asks.ready()).await.unwrap().call("end".to_owned());
    soon(said).await.unwrap();
    soon(ends.closed()).await;
    soon(asks.dispose()).await;
}

/// A message of the user's with code in each place where it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
struct Trap(String);

impl From<Trap> for String {
    fn from(trap: Trap) -> Self {
        assert_ne!(trap.0, "serialize", "as the test wants it");
        trap.0.clone()
    }
}

impl From<String> for Trap {
    fn from(text: String) -> Self {
        assert_ne!(text, "deserialize", "as the test wants it");
        Self(text)
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        let panics = self.0 == "drop" && !std::thread::panicking();
        assert!(!panics, "as the test wants it");
    }
}

impl Message for Trap {
    fn size(&self) -> usize {
        assert_ne!(self.0, "size", "as the test wants it");
        self.0.size()
    }
}

#[tokio::test]
async fn a_message_that_panics_on_a_bus_costs_that_message_alone() {
    let path = support::Bus::new();
    let (sender, mut heard) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<Trap>| {
        let _ = sender.send(incoming.message.0.clone());
        ready(Ok::<_, Infallible>(()))
    });
    let hears = Bus::<Trap>::builder(&path.path).identity(service("hears"));
    let hears = soon(hears.join(handler)).await.unwrap();
    let mut events = hears.events();
    let says = Bus::<Trap>::builder(&path.path).identity(service("says"));
    let mut says = soon(says.join(service_fn(ignore))).await.unwrap();
    let mut clone = says.clone();
    let saying = async move { clone.ready().await?.call(Trap("serialize".into())).await };
    assert!(soon(tokio::spawn(saying)).await.unwrap_err().is_panic());
    let texts = Bus::<String>::builder(&path.path).identity(service("texts"));
    let mut texts = soon(texts.join(service_fn(ignore))).await.unwrap();
    for text in ["deserialize", "drop"] {
        let said = soon(texts.ready()).await.unwrap().call(text.to_owned());
        assert_eq!(soon(said).await.unwrap().missed, []);
    }
    let said = soon(says.ready()).await.unwrap().call(Trap("good".into()));
    assert_eq!(soon(said).await.unwrap().missed, []);
    while soon(heard.recv()).await.unwrap() != "good" {}
    let mut failed = Vec::new();
    while failed.len() < 2 {
        match soon(events.recv()).await.unwrap() {
            BusEvent::NotUnderstood { from, error } => {
                let error = error.to_string();
                assert!(error.contains("as the test wants it"), "{error}");
                failed.push(("not understood", from.id.as_str().to_owned()));
            }
            BusEvent::HandlerFailed { from, .. } => {
                failed.push(("failed", from.id.as_str().to_owned()));
            }
            _ => {}
        }
    }
    let of_texts = |what| (what, "texts".to_owned());
    assert_eq!(failed, ["not understood", "failed"].map(of_texts));
    soon(texts.dispose()).await;
    soon(says.dispose()).await;
    soon(hears.dispose()).await;
}

/// The task of the connection ends, and says so to all that wait.
#[tokio::test]
async fn a_message_that_panics_in_a_queue_ends_its_connection_and_nothing_waits_for_ever() {
    for text in ["size", "serialize", "drop"] {
        let (ours, theirs) = duplex(64);
        let stack = ServiceBuilder::new()
            .layer(QueueLayer::new(service_fn(|_: Trap| {
                ready(Ok::<(), Infallible>(()))
            })))
            .layer(CborLayer::typed::<Trap>())
            .layer(FramingLayer::new())
            .service(service_fn(|io| ready(Ok::<_, Infallible>(io))));
        let one = soon(stack.clone().oneshot(ours)).await.unwrap();
        let other = soon(stack.oneshot(theirs)).await.unwrap();
        let mut sends = one.clone();
        let sending =
            tokio::spawn(async move { sends.ready().await?.call(Trap(text.into())).await });
        let _ = soon(sending).await;
        let mut sends = one.clone();
        let after =
            tokio::spawn(async move { sends.ready().await?.call(Trap("good".into())).await });
        let _ = soon(after).await.unwrap();
        one.close();
        soon(one.closed()).await;
        soon(other.closed()).await;
    }
}
