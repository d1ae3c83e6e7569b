//! A bus whose members have fixed roles: a server and its clients.
//!
//! A failure shows the error, or what was heard instead.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kyneta_uds::{
    BindError, Bus, BusIncoming, FramingLayer, Listener, Only, Role, UnixConnector,
    bus::{BusBuilder, BusEvent, BusJoinError, MemberInfo},
};
use support::{service, soon};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

type Heard = mpsc::UnboundedReceiver<String>;
type Handler = tower::util::BoxCloneService<BusIncoming<String>, (), Infallible>;

fn hears() -> (Handler, Heard) {
    let (sender, heard) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let _ = sender.send(incoming.message);
        std::future::ready(Ok::<_, Infallible>(()))
    });
    (Handler::new(handler), heard)
}

fn builder(path: &Path, id: &str) -> BusBuilder<String> {
    Bus::builder(path).identity(service(id)).protocol("test/1")
}

async fn publish(bus: &mut Bus<String>, text: &str) {
    let published = soon(bus.ready()).await.unwrap().call(text.to_owned());
    assert_eq!(soon(published).await.unwrap().missed, []);
}

#[tokio::test]
async fn clients_hear_each_other_through_the_server_and_wait_for_the_next_one() {
    let bus = support::Bus::new();
    let (handler, mut at_server) = hears();
    let server = soon(builder(&bus.path, "server").listen(handler))
        .await
        .unwrap();
    let (handler, mut at_a) = hears();
    let a = soon(builder(&bus.path, "a").connect(handler))
        .await
        .unwrap();
    let (handler, _at_b) = hears();
    let mut b = soon(builder(&bus.path, "b").connect(handler))
        .await
        .unwrap();
    assert_eq!(
        (server.role(), a.role(), b.role()),
        (Role::Listener, Role::Connector, Role::Connector)
    );
    publish(&mut b, "hello").await;
    assert_eq!(soon(at_a.recv()).await.unwrap(), "hello");
    assert_eq!(soon(at_server.recv()).await.unwrap(), "hello");

    let mut events = a.events();
    soon(server.dispose()).await;
    loop {
        if let Some(BusEvent::Role(role)) = soon(events.recv()).await {
            assert_eq!(role, Role::Negotiating);
            break;
        }
    }
    // No client takes over. What is published meanwhile is kept.
    let waits = soon(b.ready()).await.unwrap().call("kept".to_owned());
    tokio::time::sleep(Duration::from_millis(100)).await; // nothing is to happen
    assert_eq!((a.role(), b.role()), (Role::Negotiating, Role::Negotiating));
    assert!(!bus.path.exists());

    let (handler, mut at_server) = hears();
    let server = soon(builder(&bus.path, "server").listen(handler))
        .await
        .unwrap();
    assert_eq!(soon(waits).await.unwrap().missed, []);
    assert_eq!(soon(at_a.recv()).await.unwrap(), "kept");
    let mut listed = b.watch_members();
    while b.member("server").is_err() {
        soon(listed.changed()).await.unwrap();
    }
    publish(&mut b, "again").await;
    assert_eq!(soon(at_server.recv()).await.unwrap(), "again");
    drop((server, a));
}

#[tokio::test]
async fn a_second_server_is_told_which_path_is_in_use() {
    let bus = support::Bus::new();
    let first = soon(builder(&bus.path, "one").listen(hears().0))
        .await
        .unwrap();
    let second = builder(&bus.path, "two").listen(hears().0);
    let error = soon(second).await.unwrap_err();
    let BusJoinError::InTheWay { source, .. } = &error else {
        panic!("{error}");
    };
    let in_use = source.get_ref().downcast_ref::<BindError>();
    assert!(matches!(in_use, Some(BindError::InUse { .. })), "{source}");
    drop(first);
}

#[tokio::test]
async fn a_client_without_a_server_says_what_it_waits_for() {
    let bus = support::Bus::new();
    let limit = Duration::from_millis(1_100); // a reason is given after a second
    let client = builder(&bus.path, "a")
        .join_timeout(limit)
        .connect(hears().0);
    let error = soon(client).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("no process listens at the path"), "{said}");
}

#[tokio::test]
async fn a_listener_that_is_bound_already_is_served() {
    let bus = support::Bus::new();
    let listener = Listener::bind(&bus.path).await.unwrap();
    let (handler, mut at_server) = hears();
    let server = builder(&bus.path, "server").serve(listener).join(handler);
    let server = soon(server).await.unwrap();
    assert_eq!(server.role(), Role::Listener);
    let mut client = soon(builder(&bus.path, "a").connect(hears().0))
        .await
        .unwrap();
    publish(&mut client, "hello").await;
    assert_eq!(soon(at_server.recv()).await.unwrap(), "hello");
    soon(server.dispose()).await;
    assert!(!bus.path.exists());
}

/// Counts what is alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn each_member_has_a_handler_that_is_dropped_when_it_has_left() {
    let bus = support::Bus::new();
    let alive = Arc::new(AtomicUsize::new(0));
    let (sender, mut heard) = mpsc::unbounded_channel();
    let count = alive.clone();
    let make = service_fn(move |member: Arc<MemberInfo>| {
        let (alive, sender, mut nth) = (Alive::new(&count), sender.clone(), 0);
        let id = member.id.clone();
        let handler = service_fn(move |incoming: BusIncoming<String>| {
            let _ = &alive;
            nth += 1;
            let _ = sender.send(format!("{} {nth} {}", id.as_str(), incoming.message));
            std::future::ready(Ok::<_, Infallible>(()))
        });
        std::future::ready(match member.id.as_str() {
            "refused" => Err("none for this one"),
            _ => Ok(handler),
        })
    });
    let server = builder(&bus.path, "server")
        .only(Only::Listener)
        .join_each(make);
    let server = soon(server).await.unwrap();
    let mut events = server.events();
    let join = async |id| {
        soon(builder(&bus.path, id).connect(hears().0))
            .await
            .unwrap()
    };
    let (a, b) = (join("a").await, join("b").await);
    for (from, text) in [(&a, "x"), (&b, "y"), (&a, "z")] {
        let mut server = from.member("server").unwrap();
        soon(server.send(text.to_owned())).await.unwrap();
    }
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(soon(heard.recv()).await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, ["a 1 x", "a 2 z", "b 1 y"]);
    assert_eq!(alive.load(Ordering::Relaxed), 2);

    soon(a.dispose()).await;
    loop {
        if let Some(BusEvent::Left(member)) = soon(events.recv()).await {
            assert_eq!(member.id.as_str(), "a");
            break;
        }
    }
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    // It has started again: another member.
    let mut a = join("a").await;
    publish(&mut a, "again").await;
    assert_eq!(soon(heard.recv()).await.unwrap(), "a 1 again");

    let mut refused = join("refused").await;
    publish(&mut refused, "lost").await;
    loop {
        if let Some(BusEvent::HandlerFailed { from, error }) = soon(events.recv()).await {
            assert_eq!(from.id.as_str(), "refused");
            assert_eq!(error.to_string(), "none for this one");
            break;
        }
    }
    assert_eq!(server.counts().handler_failures, 1);
    drop(b);
}

#[tokio::test]
async fn a_bus_runs_over_a_stack_of_the_users() {
    let bus = support::Bus::new();
    let made = Arc::new(AtomicUsize::new(0));
    let stack = || {
        let made = made.clone();
        ServiceBuilder::new()
            .map_response(move |frames| {
                made.fetch_add(1, Ordering::Relaxed);
                frames
            })
            .timeout(Duration::from_secs(20))
            .layer(FramingLayer::new())
            .service(UnixConnector::new())
    };
    let (handler, mut at_server) = hears();
    let server = builder(&bus.path, "server").frames(stack()).join(handler);
    let server = soon(server).await.unwrap();
    let client = builder(&bus.path, "client").frames(stack());
    let mut client = soon(client.join(hears().0)).await.unwrap();
    publish(&mut client, "hello").await;
    assert_eq!(soon(at_server.recv()).await.unwrap(), "hello");
    // The client's connection, and the same one accepted. (The server's first probe found no process.)
    assert_eq!(made.load(Ordering::Relaxed), 2);
    drop(server);
}
