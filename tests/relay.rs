//! Documents pass between the clients of a server, and between peers.
//!
//! A failure shows the message that a client has got instead, or the diagnostic.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::time::Duration;

use kyneta_uds::{
    ChannelMsg, Client, Connection, Diagnostic, DocEntry, DocId, Event, Identity, Incoming,
    Interest, Offer, Peer, ReplicaType, SchemaHash, Server, Version,
};
use support::Bus;
use tokio::{sync::mpsc, time::timeout};
use tower::{Service, ServiceExt as _, service_fn};

/// A handler that passes on what it gets.
fn seen() -> (
    impl kyneta_uds::Handler + Clone,
    mpsc::UnboundedReceiver<ChannelMsg>,
) {
    let (seen, inbox) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: Incoming| {
        let sent = seen.send(incoming.message);
        async move { sent }
    });
    (handler, inbox)
}

async fn next(inbox: &mut mpsc::UnboundedReceiver<ChannelMsg>) -> ChannelMsg {
    let next = timeout(Duration::from_secs(10), inbox.recv()).await;
    next.unwrap().unwrap()
}

fn doc() -> DocId {
    DocId::new("settings").unwrap()
}

fn present() -> ChannelMsg {
    let loro = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let schema = SchemaHash::new("02ab").unwrap();
    ChannelMsg::Present(vec![DocEntry::new(doc(), loro, schema)])
}

fn offer(version: &str) -> Offer {
    Offer::binary(doc(), Version::new(version).unwrap(), &b"state"[..])
}

async fn send<S>(service: &mut S, msg: impl Into<ChannelMsg>)
where
    S: Service<ChannelMsg, Error: std::fmt::Debug>,
{
    let sent = service.ready().await.unwrap().call(msg.into());
    sent.await.unwrap();
}

/// One presents a document, the other asks for it, gets it, and gets its changes.
async fn a_document_passes<A, B>(
    a: &mut A,
    inbox_a: &mut mpsc::UnboundedReceiver<ChannelMsg>,
    b: &mut B,
    inbox_b: &mut mpsc::UnboundedReceiver<ChannelMsg>,
) where
    A: Service<ChannelMsg, Error: std::fmt::Debug>,
    B: Service<ChannelMsg, Error: std::fmt::Debug>,
{
    send(a, present()).await;
    assert_eq!(next(inbox_b).await, present());
    let interest = Interest::new(doc()).reciprocate(false);
    send(b, interest.clone()).await;
    assert_eq!(next(inbox_a).await, interest.into());
    let answer = offer("1").reciprocate(false);
    send(a, answer.clone()).await;
    assert_eq!(next(inbox_b).await, answer.into());
    let change = offer("2").delta();
    send(a, change.clone()).await;
    assert_eq!(next(inbox_b).await, change.into());
}

#[tokio::test]
async fn a_document_passes_from_client_to_client_and_the_handler_sees_all() {
    let bus = Bus::new();
    let (handler, mut inbox) = seen();
    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let server = builder.listen(handler).await.unwrap();
    let client = async |name: &str| {
        let (handler, inbox) = seen();
        let builder = Client::builder(&bus.path).identity(Identity::service(name).unwrap());
        (builder.connect(handler).await.unwrap(), inbox)
    };
    let (mut a, mut inbox_a) = client("a").await;
    let (mut b, mut inbox_b) = client("b").await;
    a_document_passes(&mut a, &mut inbox_a, &mut b, &mut inbox_b).await;
    let kinds = ["present", "interest", "offer", "offer"];
    for kind in kinds {
        assert_eq!(next(&mut inbox).await.kind(), kind);
    }

    // One that comes late is shown it.
    let (_late, mut inbox_late) = client("late").await;
    assert_eq!(next(&mut inbox_late).await, present());

    // What is not passed on is an event and a count.
    send(&mut b, offer("3")).await;
    loop {
        match timeout(Duration::from_secs(10), events.recv())
            .await
            .unwrap()
        {
            Some(Event::Diagnostic {
                peer,
                doc: of,
                diagnostic,
            }) => {
                assert_eq!(peer.unwrap().as_str(), "b");
                assert_eq!(of, Some(doc()));
                assert_eq!(diagnostic, Diagnostic::OfferWithoutPresent);
                break;
            }
            Some(_) => {}
            None => panic!("no diagnostic"),
        }
    }
    assert_eq!(server.counts().diagnostics, 1);

    // The last holder leaves.
    a.dispose().await;
    assert_eq!(next(&mut inbox_b).await, ChannelMsg::Dismiss(doc()));
    server.dispose().await;
}

#[tokio::test]
async fn a_local_member_takes_part_as_a_connected_one_does() {
    let bus = Bus::new();
    let (handler, _inbox) = seen();
    let server = Server::builder(&bus.path);
    let server = server.listen(handler).await.unwrap();
    let (local_seen, mut inbox_local) = mpsc::unbounded_channel();
    let mut local = server
        .local_member(service_fn(move |msg: ChannelMsg| {
            let sent = local_seen.send(msg);
            async move { sent }
        }))
        .unwrap();
    let (handler, mut inbox_a) = seen();
    let mut a = Client::builder(&bus.path).connect(handler).await.unwrap();
    a_document_passes(&mut local, &mut inbox_local, &mut a, &mut inbox_a).await;
    drop(local);
    assert_eq!(next(&mut inbox_a).await, ChannelMsg::Dismiss(doc()));
    server.dispose().await;
}

#[tokio::test]
async fn whichever_peer_listens_passes_documents_on() {
    let bus = Bus::new();
    let peer = async |name: &str| {
        let (handler, inbox) = seen();
        let builder = Peer::builder(&bus.path).identity(Identity::service(name).unwrap());
        (builder.join(handler).await.unwrap(), inbox)
    };
    let (first, _inbox) = peer("first").await;
    let (mut second, mut inbox_second) = peer("second").await;
    let (mut third, mut inbox_third) = peer("third").await;
    a_document_passes(&mut second, &mut inbox_second, &mut third, &mut inbox_third).await;

    // Another one listens, and knows nothing yet.
    let (mut fourth, mut inbox_fourth) = peer("fourth").await;
    assert_eq!(next(&mut inbox_fourth).await, present());
    first.dispose().await;
    let listens = async |peer: &Peer| {
        let wanted = |role| role != kyneta_uds::Role::Negotiating;
        peer.wait_for(wanted).await == kyneta_uds::Role::Listener
    };
    second.wait_for_peers().await;
    third.wait_for_peers().await;
    fourth.wait_for_peers().await;
    // Two of the three are connectors now.
    let (mut pair, mut listener) = (Vec::new(), None);
    for (peer, inbox) in [
        (&mut second, &mut inbox_second),
        (&mut third, &mut inbox_third),
        (&mut fourth, &mut inbox_fourth),
    ] {
        match listens(peer).await {
            true => listener = Some(peer),
            false => pair.push((peer, inbox)),
        }
    }
    let [(a, inbox_a), (b, inbox_b)] = &mut pair[..] else {
        panic!("one listens")
    };
    a_document_passes(*a, inbox_a, *b, inbox_b).await;
    assert!(listener.is_some());
}

#[tokio::test]
async fn without_a_relay_a_message_stays_with_the_listener() {
    let bus = Bus::new();
    let (handler, mut inbox) = seen();
    let server = Server::builder(&bus.path).relay(false);
    let server = server.listen(handler).await.unwrap();
    assert!(
        server
            .local_member(service_fn(async |_| Ok::<_, std::io::Error>(())))
            .is_none()
    );
    let (handler, _inbox_a) = seen();
    let mut a = Client::builder(&bus.path).connect(handler).await.unwrap();
    let (handler, mut inbox_b) = seen();
    let _b = Client::builder(&bus.path).connect(handler).await.unwrap();
    send(&mut a, present()).await;
    assert_eq!(next(&mut inbox).await, present());
    let sent = server
        .connections()
        .iter()
        .map(|of: &Connection| of.handle().gone_out())
        .sum::<u64>();
    assert_eq!(sent, 0);
    assert!(inbox_b.try_recv().is_err());
    server.dispose().await;
}
