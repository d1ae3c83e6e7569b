//! Handlers that look, in each role: what they are shown, in order, and what their panics cost.
//!
//! A failure shows the messages in the order in which they were shown.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use kyneta_uds::{
    BoxError, ChannelMsg, Client, Connection, DocId, Event, IncomingRef, Interest, Listener,
    Looking, Peer, Role, Server, SocketPath, Version, bus::tap, look, serve,
};
use kyneta_uds_core::{Establish, Observe};
use support::{Bus, dismiss, offer, raw, service, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, make::Shared};

/// Says which peer each message is from, and panics at one.
fn noting() -> (Looking, mpsc::UnboundedReceiver<(String, ChannelMsg)>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let looking = look(move |incoming: IncomingRef<'_>| {
        let message = incoming.message.to_message();
        let doc = incoming.message.doc().map(DocId::as_str);
        assert_ne!(doc, Some("panics"), "as the test wants it");
        let from = incoming.peer().identity().peer_id.as_str().to_owned();
        sender.send((from, message)).unwrap();
    });
    (looking, receiver)
}

/// Of every kind, and offers of known and of other documents.
fn messages() -> Vec<ChannelMsg> {
    let mut msgs = Vec::new();
    for n in 0..300 {
        let doc = format!("doc-{}", n % 7);
        msgs.push(match n % 10 {
            0 => dismiss(&format!("{n}")),
            1 => Interest::new(DocId::new(&doc).unwrap())
                .since(Version::new(format!("{n}")).unwrap())
                .into(),
            // Larger than what the kernel takes at once.
            2 if n == 152 => offer(&doc, 1 << 20),
            _ => offer(&doc, n),
        });
    }
    msgs
}

async fn all_arrive(mut to: Connection, from: &str, inbox: &mut Inbox) {
    let msgs = messages();
    let sending = async {
        for (n, msg) in msgs.iter().enumerate() {
            match n % 3 {
                0 => to.queue(msg.clone()).await.unwrap(),
                _ => to.queue_ref(msg).await.unwrap(),
            }
        }
    };
    let receiving = async {
        let mut got = Vec::new();
        for _ in 0..msgs.len() {
            let (of, msg) = inbox.recv().await.unwrap();
            assert_eq!(of, from);
            got.push(msg);
        }
        got
    };
    let ((), got) = soon(async { tokio::join!(sending, receiving) }).await;
    assert!(got == msgs);
}

type Inbox = mpsc::UnboundedReceiver<(String, ChannelMsg)>;

#[tokio::test]
async fn client_and_server_are_shown_all_in_order_with_and_without_a_relay() {
    for relay in [false, true] {
        let bus = Bus::new();
        let (handler, mut at_server) = noting();
        let server = Server::builder(&bus.path)
            .identity(service("server"))
            .relay(relay)
            .listen(handler)
            .await
            .unwrap();
        let (handler, mut at_client) = noting();
        let client = Client::builder(&bus.path).identity(service("client"));
        let client = client.connect(handler).await.unwrap();
        let to_server = client.connection().unwrap();
        all_arrive(to_server, "client", &mut at_server).await;
        if relay {
            continue; // The hub has sent the client messages of its own.
        }
        let to_client = soon(async {
            loop {
                if let Some(connection) = server.connections().pop() {
                    break connection;
                }
                tokio::task::yield_now().await;
            }
        });
        all_arrive(to_client.await, "server", &mut at_client).await;
        server.dispose().await;
    }
}

#[tokio::test]
async fn a_tap_sees_what_a_handler_is_shown() {
    let bus = Bus::new();
    let (handler, mut inbox) = noting();
    let builder = Server::builder(&bus.path).identity(service("server"));
    let server = builder.relay(false).listen(handler).await.unwrap();
    let client = Client::builder(&bus.path).identity(service("client"));
    let client = client.connect(look(|_| {})).await.unwrap();
    let mut tap = soon(tap(SocketPath::new(&bus.path).unwrap()))
        .await
        .unwrap();
    all_arrive(client.connection().unwrap(), "client", &mut inbox).await;
    let (mut seen, count) = (0, messages().len() as u64);
    while seen < count {
        let passed = soon(tap.next()).await.unwrap().unwrap();
        assert_eq!(passed.from, "client");
        seen += 1 + passed.missed;
    }
    server.dispose().await;
}

#[tokio::test]
async fn both_peers_of_a_path_and_a_served_listener_are_shown_all() {
    let bus = Bus::new();
    let peer = |id| Peer::builder(&bus.path).identity(service(id)).relay(false);
    let (handler, mut at_listener) = noting();
    let listener = peer("listener").join(handler).await.unwrap();
    soon(listener.joined()).await.unwrap();
    let (handler, mut at_connector) = noting();
    let connector = peer("connector").join(handler).await.unwrap();
    assert_eq!(soon(connector.joined()).await.unwrap(), Role::Connector);
    let to_listener = connector.connections().pop().unwrap();
    all_arrive(to_listener, "connector", &mut at_listener).await;
    let to_connector = listener.connections().pop().unwrap();
    all_arrive(to_connector, "listener", &mut at_connector).await;
}

#[tokio::test]
async fn a_served_listener_takes_one_and_a_layer_around_it_calls_it() -> Result<(), BoxError> {
    let bus = Bus::new();
    let (handler, mut inbox) = noting();
    let layered = ServiceBuilder::new().concurrency_limit(3).service(handler);
    let listener = Listener::bind(&bus.path).await?;
    tokio::spawn(async move { serve(listener, Shared::new(layered)).await });
    let client = Client::builder(&bus.path).identity(service("client"));
    let client = client.connect(look(|_| {})).await?;
    all_arrive(client.connection().unwrap(), "client", &mut inbox).await;
    Ok(())
}

#[tokio::test]
async fn a_panic_of_a_look_costs_one_message_and_names_the_sender() {
    let bus = Bus::new();
    let (handler, mut inbox) = noting();
    let server = Server::builder(&bus.path).identity(service("server"));
    let server = server.relay(false).listen(handler).await.unwrap();
    let mut events = server.events();
    let client = Client::builder(&bus.path).identity(service("client"));
    let mut client = client.connect(look(|_| {})).await.unwrap();
    let msgs = [
        offer("a", 1),
        offer("panics", 9),
        offer("b", 2),
        offer("c", 3),
    ];
    for msg in msgs.clone() {
        client.queue(msg).await.unwrap();
    }
    for msg in [&msgs[0], &msgs[2], &msgs[3]] {
        assert_eq!(&soon(inbox.recv()).await.unwrap().1, msg);
    }
    loop {
        if let Event::HandlerPanicked { peer, panic } = soon(events.recv()).await.unwrap() {
            assert_eq!(peer.identity().peer_id.as_str(), "client");
            assert!(panic.message.contains("as the test wants it"));
            break;
        }
    }
    assert_eq!(server.counts().handler_panics, 1);
}

#[tokio::test]
async fn a_look_may_answer() {
    let bus = Bus::new();
    let server = Server::builder(&bus.path).relay(false);
    let echo = look(|incoming| {
        let _ = incoming.from().try_queue(incoming.message.to_message());
    });
    let _server = server.listen(echo).await.unwrap();
    let (handler, mut inbox) = noting();
    let mut client = Client::builder(&bus.path).connect(handler).await.unwrap();
    let client = client.ready().await.unwrap();
    for n in 0..50 {
        client.call(offer("d", n)).await.unwrap();
        assert_eq!(soon(inbox.recv()).await.unwrap().1, offer("d", n));
    }
}

#[tokio::test]
async fn a_tap_whose_handshake_ends_while_the_server_disposes_ends_too() {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path).identity(service("server"));
    let server = builder.listen(look(|_| {})).await.unwrap();
    let mut late = UnixStream::connect(&bus.path).await.unwrap();
    // It is accepted after the other one.
    let client = Client::builder(&bus.path).identity(service("client"));
    let _client = client.connect(look(|_| {})).await.unwrap();
    let disposing = tokio::spawn(async move { server.dispose().await });
    while bus.path.exists() {
        tokio::task::yield_now().await;
    }
    let establish = Establish::new(service("tap")).observe(Observe::Messages);
    let establish = raw::frame(3, 1, &raw::payload(&establish.into()));
    late.write_all(&establish).await.unwrap();
    let mut told = Vec::new();
    soon(late.read_to_end(&mut told)).await.unwrap();
    assert!(!told.is_empty());
    soon(disposing).await.unwrap();
}
