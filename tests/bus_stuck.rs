//! Members that are stuck, or send without end: what a listener does with them.
//!
//! The stall limit of one test is 200 ms. A failure shows the event that came instead, or what a member has missed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, path::Path, time::Duration};

use kyneta_uds::{
    Bus, BusIncoming, Role,
    bus::{BusBuilder, BusEvent, BusEventReader},
};
use support::{service, soon};
use tokio::sync::{mpsc, watch};
use tower::{Service as _, ServiceExt as _, service_fn};

fn builder(path: &Path, id: &str) -> BusBuilder<String> {
    Bus::builder(path).identity(service(id)).protocol("test/1")
}

async fn until(events: &mut BusEventReader, wanted: impl Fn(&BusEvent) -> bool) -> BusEvent {
    loop {
        let event = soon(events.recv()).await.unwrap();
        if wanted(&event) {
            return event;
        }
    }
}

/// The handler of the listener is stuck at its first message until it is let go.
#[tokio::test]
async fn a_listener_whose_own_handler_is_stuck_is_named_and_comes_back_as_a_newcomer() {
    let bus = support::Bus::new();
    let (let_go, stuck) = watch::channel(false);
    let (sender, mut heard) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let (mut stuck, sender) = (stuck.clone(), sender.clone());
        async move {
            let _ = stuck.wait_for(|is_over| *is_over).await;
            let _ = sender.send(incoming.message);
            Ok::<_, Infallible>(())
        }
    });
    let limit = Duration::from_millis(200);
    let listener = builder(&bus.path, "listener")
        .stall_limit(limit)
        .join(handler);
    let mut listener = soon(listener).await.unwrap();
    assert_eq!(listener.role(), Role::Listener);
    let mut events = listener.events();
    let (to_other, mut at_other) = mpsc::unbounded_channel();
    let other = service_fn(move |incoming: BusIncoming<String>| {
        let _ = to_other.send(incoming.message);
        std::future::ready(Ok::<_, Infallible>(()))
    });
    let _other = soon(builder(&bus.path, "other").join(other)).await.unwrap();
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let mut sender = soon(builder(&bus.path, "sender").join(ignore))
        .await
        .unwrap();
    let mut at_sender = sender.events();

    // More than one message, so that not all are acknowledged before the handler is called.
    let mut last = None;
    for n in 0..1000 {
        last = Some(soon(sender.ready()).await.unwrap().call(n.to_string()));
    }
    let delivered = soon(last.unwrap()).await.unwrap();
    assert_eq!(
        delivered
            .missed
            .iter()
            .map(|id| id.as_str())
            .collect::<Vec<_>>(),
        ["listener"]
    );
    for n in 0..1000 {
        assert_eq!(soon(at_other.recv()).await.unwrap(), n.to_string());
    }
    let stalled = until(&mut events, |event| matches!(event, BusEvent::Stalled(_))).await;
    assert!(matches!(stalled, BusEvent::Stalled(member) if member.id.as_str() == "listener"));
    assert_eq!(listener.counts().stalled, 1);
    // It routes on: the others hear each other.
    let published = soon(sender.ready())
        .await
        .unwrap()
        .call("between".to_owned());
    assert_eq!(soon(published).await.unwrap().missed, []);
    assert_eq!(soon(at_other.recv()).await.unwrap(), "between");

    let_go.send_replace(true);
    until(
        &mut at_sender,
        |event| matches!(event, BusEvent::Joined(member) if member.id.as_str() == "listener"),
    )
    .await;
    let missed = until(&mut events, |event| {
        matches!(event, BusEvent::Missed { .. })
    })
    .await;
    assert!(
        matches!(missed, BusEvent::Missed { count: 1, .. }),
        "{missed:?}"
    );
    let published = soon(sender.ready()).await.unwrap().call("again".to_owned());
    assert_eq!(soon(published).await.unwrap().missed, []);
    for n in 0..1000 {
        assert_eq!(soon(heard.recv()).await.unwrap(), n.to_string());
    }
    assert_eq!(soon(heard.recv()).await.unwrap(), "again");
    // And it is heard.
    let published = soon(listener.ready())
        .await
        .unwrap()
        .call("back".to_owned());
    assert_eq!(soon(published).await.unwrap().missed, []);
    assert_eq!(soon(at_other.recv()).await.unwrap(), "again");
    assert_eq!(soon(at_other.recv()).await.unwrap(), "back");
}

type Handler = tower::util::BoxCloneService<BusIncoming<String>, (), Infallible>;

/// A handler that is at its first message for ever.
fn stuck() -> Handler {
    Handler::new(service_fn(async |_: BusIncoming<String>| {
        std::future::pending::<Result<(), Infallible>>().await
    }))
}

fn ignore() -> Handler {
    Handler::new(service_fn(async |_: BusIncoming<String>| {
        Ok::<_, Infallible>(())
    }))
}

/// A listener with a small window, a receiver that is stuck, here or there, and a sender that knows no bound.
async fn a_sender_without_bound_is_ended(stuck_id: &str) {
    let bus = support::Bus::new();
    let handler = |id: &str| match id == stuck_id {
        true => stuck(),
        false => ignore(),
    };
    let listener = builder(&bus.path, "listener").window(4, 1 << 10);
    let listener = soon(listener.join(handler("listener"))).await.unwrap();
    let mut events = listener.events();
    let receiver = builder(&bus.path, "receiver").join(handler("receiver"));
    let _receiver = soon(receiver).await.unwrap();
    let honest = soon(builder(&bus.path, "honest").join(ignore()))
        .await
        .unwrap();
    let flooder = builder(&bus.path, "flooder").window(100_000, 1 << 30);
    let mut flooder = soon(flooder.join(ignore())).await.unwrap();

    for n in 0..5000 {
        drop(soon(flooder.ready()).await.unwrap().call(n.to_string()));
    }
    let ended = until(&mut events, |event| {
        matches!(event, BusEvent::BeyondWindow(_))
    })
    .await;
    assert!(matches!(ended, BusEvent::BeyondWindow(member) if member.id.as_str() == "flooder"));
    // It comes back at once, and is not admitted.
    let refused = until(&mut events, |event| {
        matches!(event, BusEvent::Refused { .. })
    })
    .await;
    let BusEvent::Refused { id, error } = refused else {
        unreachable!()
    };
    let refused = (id.as_str(), error.code.as_str());
    assert_eq!(refused, ("flooder", "beyond-window"));
    assert_eq!(listener.counts().beyond_window, 1);
    // The others go on.
    let other = match stuck_id {
        "listener" => "receiver",
        _ => "listener",
    };
    let mut to_other = honest.member(other).unwrap();
    soon(to_other.send("still here".to_owned())).await.unwrap();
}

#[tokio::test]
async fn a_member_that_sends_beyond_any_window_is_ended() {
    a_sender_without_bound_is_ended("receiver").await;
}

#[tokio::test]
async fn a_member_that_sends_beyond_any_window_to_the_listener_is_ended() {
    a_sender_without_bound_is_ended("listener").await;
}

#[tokio::test]
async fn members_that_keep_to_larger_windows_than_the_listeners_go_on() {
    let bus = support::Bus::new();
    let listener = builder(&bus.path, "listener").window(256, 1 << 20);
    let listener = soon(listener.join(ignore())).await.unwrap();
    let receiver = builder(&bus.path, "receiver").join(ignore());
    let _receiver = soon(receiver).await.unwrap();
    let sender = builder(&bus.path, "sender").join(ignore());
    let mut sender = soon(sender).await.unwrap();
    let mut last = None;
    for n in 0..50_000 {
        last = Some(soon(sender.ready()).await.unwrap().call(n.to_string()));
    }
    assert_eq!(soon(last.unwrap()).await.unwrap().missed, []);
    assert_eq!(listener.counts().beyond_window, 0);
}
