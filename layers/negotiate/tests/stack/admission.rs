//! A connector without a handshake: connect(2) succeeds before the listener has looked at it.
//!
//! A failure shows how a message of the rejected connection ended: it must be known not to have arrived.

use std::time::Duration;

use kyneta_uds_core::WireVersion;
use kyneta_uds_framing::{FramingLayer, WireMode};
use kyneta_uds_negotiate::{Role, WaitReason};
use kyneta_uds_unix::{AccessPolicy, ListenerOptions, NotAllowed};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    time::sleep,
};
use tower::{Service as _, ServiceExt as _};

use crate::support::{Place, frame, is, join, join_over, joined, soon};

#[tokio::test]
async fn a_rejected_connector_keeps_its_messages_and_reports_why() {
    let place = Place::new();
    let options = ListenerOptions::new().max_connections(1);
    let mut a = join(&place, |layer| layer.listener(options)).await;
    is(&a, Role::Listener).await;
    let b = joined(&place).await;
    let mut c = join(&place, |layer| layer).await;
    let mut called = Vec::new();
    for number in 0..100 {
        called.push(soon(c.handle.ready()).await.unwrap().call(number));
    }
    let first = called.remove(0);
    tokio::select! {
        sent = first => panic!("{sent:?} of a message in a refused connection"),
        role = c.roles.wait_for(|role| role == Role::Connector) => panic!("{role} of a refused one"),
        () = sleep(Duration::from_millis(1500)) => {}
    }
    let waiting = c.roles.waiting().unwrap();
    assert_eq!(waiting.why, WaitReason::Rejected);
    assert!(waiting.waited >= Duration::from_millis(900), "{waiting:?}");
    assert_eq!(c.reports.all(), [(WaitReason::Rejected, 1)]);
    let error = soon(c.roles.settled()).await.unwrap_err();
    assert!(
        error.to_string().contains("closes our connections"),
        "{error}"
    );

    // With a place for it, all arrives, in order.
    drop(b);
    for sent in called {
        soon(sent).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(soon(a.inbox.recv()).await, Some(number));
    }
    assert!(c.roles.waiting().is_none());
}

#[tokio::test]
async fn an_admitted_connector_is_answered_and_receives_nothing_but_messages() {
    let place = Place::new();
    let mut a = joined(&place).await;
    let mut b = joined(&place).await;
    is(&a, Role::Listener).await;
    is(&b, Role::Connector).await;
    soon(b.handle.ready()).await.unwrap().call(1).await.unwrap();
    assert_eq!(soon(a.inbox.recv()).await, Some(1));
    soon(a.handle.ready()).await.unwrap().call(2).await.unwrap();
    assert_eq!(soon(b.inbox.recv()).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_admit_is_reported_and_gets_no_message() {
    let place = Place::new();
    let foreign = UnixListener::bind(place.file()).unwrap();
    let mut peer = join(&place, |layer| layer).await;
    let sent = peer.handle.ready().await.unwrap().call(7);
    let (mut first, _) = foreign.accept().await.unwrap();
    sleep(Duration::from_secs(6)).await;
    let waiting = peer.roles.waiting().unwrap();
    assert_eq!(waiting.why, WaitReason::ListenerSilent);
    let said = waiting.to_string();
    assert!(
        said.contains("has not admitted the connection within 5s"),
        "{said}"
    );
    let mut got = Vec::new();
    first.read_to_end(&mut got).await.unwrap();
    assert_eq!(
        got,
        frame(1, &[]),
        "it was asked what it speaks, and no more"
    );
    drop(sent);
}

#[tokio::test]
async fn a_listener_that_speaks_before_it_admits_is_of_another_kind() {
    let place = Place::new();
    let foreign = UnixListener::bind(place.file()).unwrap();
    let peer = join(&place, |layer| layer).await;
    let speaking = tokio::spawn(async move {
        loop {
            let (mut stream, _) = foreign.accept().await.unwrap();
            stream.write_all(&frame(0, &[7])).await.unwrap();
        }
    });
    while peer.reports.all().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let said = peer.roles.waiting().unwrap().to_string();
    assert!(said.contains("a program of another kind"), "{said}");
    speaking.abort();
}

#[tokio::test]
async fn not_a_byte_goes_to_a_listener_that_is_not_allowed() {
    // By default those are dealt with that would be let in.
    let none = ListenerOptions::new().allow(AccessPolicy::uids([]));
    let by_the_door: fn(_) -> _ = |layer: crate::support::Layer| layer;
    for chosen in [false, true] {
        let place = Place::new();
        let foreign = UnixListener::bind(place.file()).unwrap();
        let none = none.clone();
        let mut peer = join(&place, |layer| match chosen {
            true => by_the_door(layer).allow_listener(AccessPolicy::uids([])),
            false => layer.listener(none),
        })
        .await;
        let sent = soon(peer.handle.ready()).await.unwrap().call(7);
        let (mut stream, _) = soon(foreign.accept()).await.unwrap();
        stream.write_all(&frame(0, &[])).await.unwrap();
        let error = soon(peer.roles.settled()).await.unwrap_err();
        assert!(error.get_ref().is::<NotAllowed>(), "{error}");
        let mut got = Vec::new();
        // Closed with what was not read, or without.
        let _ = soon(stream.read_to_end(&mut got)).await;
        assert_eq!(got, []);
        drop(sent);
    }

    let place = Place::new();
    let none = ListenerOptions::new().allow(AccessPolicy::uids([]));
    let foreign = UnixListener::bind(place.file()).unwrap();
    let apart = join(&place, |layer| {
        layer
            .listener(none)
            .allow_listener(AccessPolicy::same_uid())
    })
    .await;
    let (mut stream, _) = soon(foreign.accept()).await.unwrap();
    stream.write_all(&frame(0, &[])).await.unwrap();
    is(&apart, Role::Connector).await;
}

#[tokio::test]
async fn a_word_of_the_other_wire_version_admits_only_if_it_is_empty() {
    for payload in [&[][..], &[7]] {
        let place = Place::new();
        let foreign = UnixListener::bind(place.file()).unwrap();
        let v2 = FramingLayer::new().wire(WireMode::Fixed(WireVersion::V2));
        let peer = join_over(&place, v2, |layer| layer).await;
        let (mut stream, _) = soon(foreign.accept()).await.unwrap();
        stream.write_all(&frame(0, payload)).await.unwrap();
        if payload.is_empty() {
            is(&peer, Role::Connector).await;
            continue;
        }
        tokio::select! {
            _ = soon(foreign.accept()) => {} // It tries again.
            _ = is(&peer, Role::Connector) => panic!("a program of another kind is joined"),
        }
    }
}
