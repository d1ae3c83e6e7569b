//! Stacks that are composed layer by layer: over a socket, in a server and a client, over hyperlocal's
//! connector, with messages of another type.

use std::{convert::Infallible, fmt::Debug, future::ready, time::Duration};

use kyneta_uds::{
    CborLayer, Client, FramingLayer, HandshakeLayer, Incoming, Listener, Message, QueueLayer,
    ReconnectPolicy, Server, SocketPath, UnixConnector, UnixTarget, encoded_size,
};
use serde::{Deserialize, Serialize};
use tokio::io::duplex;
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

use crate::{
    pipes::{inbox, pipes},
    support::{Bus, collect, offer, service},
};

#[tokio::test]
async fn a_stack_spelled_out_joins_two_ends_of_a_socket() {
    let bus = Bus::new();
    let mut listener = Listener::bind(&bus.path).await.unwrap();
    let (to_alice, mut alice_gets) = inbox();
    let (to_bob, mut bob_gets) = inbox();
    let stack = |name, handler| {
        ServiceBuilder::new()
            .layer(QueueLayer::new(handler))
            .layer(HandshakeLayer::new(service(name)))
            .timeout(Duration::from_secs(5))
            .layer(CborLayer::new())
            .concurrency_limit(2)
            .layer(FramingLayer::new())
            .service(UnixConnector::new())
    };
    let connecting = stack("alice", to_alice).oneshot(SocketPath::new(&bus.path).unwrap().into());
    let accepting = async {
        let (stream, _permit) = listener.accept().await;
        stack("bob", to_bob)
            .oneshot(UnixTarget::Accepted(stream))
            .await
    };
    let (mut alice, mut bob) = tokio::try_join!(connecting, accepting).unwrap();
    for i in 0..100 {
        let there = offer(&format!("a{i}"), i * 1000);
        let back = offer(&format!("b{i}"), i * 1000);
        alice
            .ready()
            .await
            .unwrap()
            .call(there.clone())
            .await
            .unwrap();
        bob.ready().await.unwrap().call(back.clone()).await.unwrap();
        assert_eq!(bob_gets.recv().await, Some(there));
        assert_eq!(alice_gets.recv().await, Some(back));
    }
    drop(alice);
    assert_eq!(bob.closed().await.kind(), "closed");
}

#[tokio::test]
async fn server_and_client_take_a_stack_with_towers_layers_in_it() {
    let bus = Bus::new();
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(5))
        .layer(CborLayer::new())
        .concurrency_limit(8)
        .layer(FramingLayer::new().max_frame(1 << 20))
        .map_request(|target: UnixTarget| target)
        .service(UnixConnector::new());
    let (handler, mut got) = collect(8);
    let server = Server::builder(&bus.path)
        .stack(stack.clone())
        .listen(handler)
        .await
        .unwrap();
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let mut client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .stack(stack)
        .connect(ignore)
        .await
        .unwrap();
    client
        .ready()
        .await
        .unwrap()
        .call(offer("d", 1000))
        .await
        .unwrap();
    assert_eq!(got.recv().await.unwrap().message, offer("d", 1000));
    client.dispose().await;
    server.dispose().await;
}

#[cfg(feature = "hyperlocal")]
#[tokio::test]
async fn hyperlocals_connector_is_a_bottom_too() {
    use kyneta_uds::HyperlocalConnector;
    let bus = Bus::new();
    let stack = || {
        ServiceBuilder::new()
            .layer(CborLayer::new())
            .layer(FramingLayer::new())
            .service(HyperlocalConnector::new())
    };
    let echo = service_fn(async |incoming: Incoming| {
        incoming.from().ready().await?.call(incoming.message).await
    });
    let server = Server::builder(&bus.path)
        .stack(stack())
        .listen(echo)
        .await
        .unwrap();
    let (handler, mut got) = collect(8);
    let mut client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .stack(stack())
        .connect(handler)
        .await
        .unwrap();
    for size in [0, 1, 1 << 10, 1 << 20] {
        client
            .ready()
            .await
            .unwrap()
            .call(offer("d", size))
            .await
            .unwrap();
        assert_eq!(got.recv().await.unwrap().message, offer("d", size));
    }
    assert_eq!(
        client.peer().unwrap().credentials(),
        None,
        "hyperlocal hides the socket"
    );
    client.dispose().await;
    server.dispose().await;

    let target = |path: &str| SocketPath::new(path).unwrap().into();
    let path = bus.path.to_str().unwrap();
    let gone = HyperlocalConnector::new()
        .oneshot(target(path))
        .await
        .unwrap_err();
    assert_eq!(gone.to_string(), format!("{path}: no process listens"));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Order {
    Buy { what: String, pieces: u32 },
    Cancel(u64),
    Done,
}

impl Message for Order {
    fn size(&self) -> usize {
        encoded_size(self)
    }
}

#[tokio::test]
async fn messages_of_any_type_travel() {
    let (ours, theirs) = duplex(64);
    let stack = |handler| {
        ServiceBuilder::new()
            .layer(QueueLayer::new(handler))
            .layer(CborLayer::typed::<Order>())
            .layer(FramingLayer::new())
            .service(pipes())
    };
    let (to_shop, mut shop_gets) = inbox();
    let (to_guest, mut guest_gets) = inbox();
    let mut shop = stack(to_shop).oneshot(ours).await.unwrap();
    let mut guest = stack(to_guest).oneshot(theirs).await.unwrap();
    let orders = [
        Order::Buy {
            what: "tea".repeat(1000),
            pieces: 3,
        },
        Order::Cancel(u64::MAX),
        Order::Done,
    ];
    for order in &orders {
        guest.queue(order.clone()).await.unwrap();
        assert_eq!(shop_gets.recv().await.as_ref(), Some(order));
        shop.ready()
            .await
            .unwrap()
            .call(order.clone())
            .await
            .unwrap();
        assert_eq!(guest_gets.recv().await.as_ref(), Some(order));
    }
}
