//! What a member of a bus is told, at once before or behind something else.
//!
//! A failure shows what came instead, or that nothing came within 20 s.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    path::Path,
    time::{Duration, Instant},
};

use kyneta_uds::{
    Bus, BusIncoming, Role,
    bus::{BusBuilder, BusError, BusEvent, RequestError},
};
use support::{service, soon};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
};
use tower::{Service as _, ServiceExt as _, service_fn, util::BoxCloneService};

type Handler = BoxCloneService<BusIncoming<String>, (), Infallible>;

fn builder(path: &Path, id: &str) -> BusBuilder<String> {
    Bus::builder(path).identity(service(id)).protocol("test/1")
}

/// A handler that says each message, and answers no request but with something large.
fn hears() -> (Handler, mpsc::UnboundedReceiver<String>) {
    let (sender, heard) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let _ = sender.send(incoming.message.clone());
        match (incoming.request, incoming.message.as_str()) {
            (Some(request), "wait") => {
                drop(tokio::spawn(async move { request.cancelled().await }));
            }
            (Some(request), _) => request.answer(&"large".repeat(1000)).unwrap(),
            (None, _) => {}
        }
        std::future::ready(Ok::<_, Infallible>(()))
    });
    (Handler::new(handler), heard)
}

async fn until_it_lists(bus: &Bus<String>, id: &str) {
    let mut watch = bus.watch_members();
    while bus.member(id).is_err() {
        soon(watch.changed()).await.unwrap();
    }
}

#[tokio::test]
async fn room_that_the_acknowledgement_of_an_answer_makes_is_not_missed() {
    let bus = support::Bus::new();
    let (handler, _heard) = hears();
    let mut answers = soon(builder(&bus.path, "answers").window(16, 1000).join(handler))
        .await
        .unwrap();
    let asks = soon(builder(&bus.path, "asks").join(hears().0))
        .await
        .unwrap();
    let mut ask = asks.member("answers").unwrap();
    // An answer counts, though it needs no slot, and is acknowledged late.
    let mut was_full = false;
    for _ in 0..20 {
        soon(ask.request("something".to_owned())).await.unwrap();
        was_full |= answers.unacknowledged().1 > 1000;
        // A limit on all of it would poll once more when it is over.
        let since = Instant::now();
        let published = soon(answers.ready()).await.unwrap().call("x".to_owned());
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "{:?}",
            since.elapsed()
        );
        assert_eq!(soon(published).await.unwrap().missed, []);
    }
    assert!(was_full);
}

#[tokio::test]
async fn what_a_member_has_handled_at_once_before_it_leaves_is_not_missed() {
    let bus = support::Bus::new();
    let mut sender = soon(builder(&bus.path, "sender").join(hears().0))
        .await
        .unwrap();
    for id in ["a", "b", "c", "d", "e"] {
        let (handler, mut heard) = hears();
        let leaves = soon(builder(&bus.path, id).join(handler)).await.unwrap();
        until_it_lists(&sender, id).await;
        // Not all of so many are to be acknowledged at once. They are too large for a bundle.
        let text = "text".repeat(2000);
        let mut sent = Vec::new();
        for _ in 0..40 {
            sent.push(soon(sender.ready()).await.unwrap().call(text.clone()));
        }
        for _ in 0..40 {
            assert_eq!(soon(heard.recv()).await.unwrap(), text);
        }
        soon(leaves.dispose()).await;
        for (n, sent) in sent.into_iter().enumerate() {
            assert_eq!(soon(sent).await.unwrap().missed, [], "{id} {n}");
        }
    }
}

/// A handler that is stuck at "stuck" until it is let go.
fn stuck_until(let_go: watch::Receiver<bool>) -> Handler {
    Handler::new(service_fn(move |_: BusIncoming<String>| {
        let mut let_go = let_go.clone();
        async move {
            let _ = let_go.wait_for(|is_over| *is_over).await;
            Ok::<_, Infallible>(())
        }
    }))
}

/// The member that was asked is told that the asker has left, so it does not answer. The asker comes back.
async fn a_request_ends_when_its_asker_was_removed(asker_listens: bool) {
    let bus = support::Bus::new();
    let limit = Duration::from_millis(200);
    let (let_go, stuck) = watch::channel(false);
    let join = async |id: &str, handler| {
        let joined = builder(&bus.path, id).stall_limit(limit).join(handler);
        soon(joined).await.unwrap()
    };
    let ((handler, mut heard), asks_handler) = (hears(), stuck_until(stuck));
    let (asked, asks) = match asker_listens {
        true => {
            let asks = join("asks", asks_handler).await;
            (join("asked", handler).await, asks)
        }
        false => {
            let asked = join("asked", handler).await;
            (asked, join("asks", asks_handler).await)
        }
    };
    let mut events = asked.events();
    let mut sender = join("sender", hears().0).await;
    let mut ask = asks.member("asked").unwrap();
    let request = tokio::spawn(async move { ask.request("wait".to_owned()).await });
    assert_eq!(soon(heard.recv()).await.unwrap(), "wait");
    // So many that not all are acknowledged before the handler is called.
    for n in 0..1000 {
        drop(soon(sender.ready()).await.unwrap().call(n.to_string()));
    }
    let mut until = async |is_wanted: fn(&BusEvent) -> bool| {
        while !is_wanted(&soon(events.recv()).await.unwrap()) {}
    };
    until(|event| matches!(event, BusEvent::Left(of) if of.id.as_str() == "asks")).await;
    let_go.send_replace(true);
    let ended = soon(request).await.unwrap().unwrap_err();
    assert_eq!(ended.downcast_ref(), Some(&RequestError::Left));
}

#[tokio::test]
async fn a_request_of_a_listener_that_was_removed_ends() {
    a_request_ends_when_its_asker_was_removed(true).await;
}

#[tokio::test]
async fn a_request_of_a_member_that_was_removed_ends() {
    a_request_ends_when_its_asker_was_removed(false).await;
}

#[test]
fn a_bus_ends_with_its_runtime_and_every_way_of_asking_says_so() {
    let path = support::Bus::new();
    let first = Runtime::new().unwrap();
    let (mut says, said, asked, hears) = first.block_on(async {
        let hears = Bus::<String>::builder(&path.path).identity(service("hears"));
        // It neither takes the next message nor answers.
        let stuck = service_fn(async |_: BusIncoming<String>| {
            std::future::pending::<Result<(), Infallible>>().await
        });
        let hears = soon(hears.join(stuck)).await.unwrap();
        let says = Bus::<String>::builder(&path.path).identity(service("says"));
        let mut says = soon(says.join(self::hears().0)).await.unwrap();
        let said = soon(says.ready()).await.unwrap().call("hello".to_owned());
        let mut member = says.member("hears").unwrap();
        let asked = soon(member.ready()).await.unwrap().call("hello".to_owned());
        (says, said, asked, hears)
    });
    drop(first);
    Runtime::new().unwrap().block_on(async {
        let said = soon(said).await;
        assert!(matches!(&said, Ok(_) | Err(BusError::Ended)), "{said:?}");
        soon(asked).await.unwrap_err();
        soon(says.closed()).await;
        let ready = soon(says.ready()).await.map(drop);
        assert!(matches!(&ready, Err(BusError::Ended)), "{ready:?}");
        soon(says.dispose()).await;
        soon(hears.dispose()).await;
        assert_eq!(says.role(), Role::Disposed);
    });
}
