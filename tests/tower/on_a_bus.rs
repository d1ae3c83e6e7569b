//! Tower's middleware around a bus, around one of its members, and around its handler.

use std::{convert::Infallible, future::ready, time::Duration};

use kyneta_uds::{
    Bus, BusIncoming,
    bus::{BusError, RequestError},
};
use tokio::sync::mpsc;
use tokio_test::task;
use tower::{
    Service as _, ServiceBuilder, ServiceExt as _, hedge,
    load::{CompleteOnResponse, Load as _, PendingRequests},
    load_shed::error::Overloaded,
    service_fn,
    spawn_ready::SpawnReadyLayer,
    timeout::error::Elapsed,
};

use crate::support::{self, service, soon};

/// Answers with what it was asked, except "never", which waits until it is taken back, and "fails".
async fn answers(bus: &support::Bus, id: &str) -> (Bus<String>, mpsc::UnboundedReceiver<String>) {
    let (sender, heard) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let _ = sender.send(incoming.message.clone());
        match (incoming.request, incoming.message.as_str()) {
            (None, _) => {}
            (Some(request), "never") => {
                drop(tokio::spawn(async move { request.cancelled().await }));
            }
            (Some(request), "fails") => request.fail("as the test wants it"),
            (Some(request), _) => request.answer(&incoming.message).unwrap(),
        }
        ready(Ok::<_, Infallible>(()))
    });
    let handler = ServiceBuilder::new()
        .concurrency_limit(1)
        .rate_limit(10_000, Duration::from_secs(1))
        .map_request(|incoming: BusIncoming<String>| incoming)
        .service(handler);
    let builder = Bus::builder(&bus.path).identity(service(id));
    // The handler need not be cloneable: tower's rate limit is not.
    (soon(builder.join(handler)).await.unwrap(), heard)
}

async fn asks(bus: &support::Bus) -> Bus<String> {
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let builder = Bus::builder(&bus.path).identity(service("asks"));
    soon(builder.join(ignore)).await.unwrap()
}

#[derive(Clone)]
struct Twice;

impl hedge::Policy<String> for Twice {
    fn clone_request(&self, request: &String) -> Option<String> {
        Some(request.clone())
    }

    fn can_retry(&self, _: &String) -> bool {
        true
    }
}

#[tokio::test]
async fn towers_layers_compose_around_publishing() {
    let bus = support::Bus::new();
    let (_other, mut heard) = answers(&bus, "other").await;
    let top = ServiceBuilder::new()
        .buffer(8)
        .load_shed()
        .concurrency_limit(4)
        .rate_limit(10_000, Duration::from_secs(1))
        .timeout(Duration::from_secs(5))
        .filter(|text: String| match text.is_empty() {
            true => Err("nothing to say"),
            false => Ok(text),
        })
        .layer(SpawnReadyLayer::new())
        .service(asks(&bus).await);
    for num in 1..=20 {
        let delivered = soon(top.clone().oneshot(num.to_string())).await.unwrap();
        assert_eq!((delivered.seq, delivered.missed), (num, vec![]));
    }
    let refused = soon(top.clone().oneshot(String::new())).await.unwrap_err();
    assert_eq!(refused.to_string(), "nothing to say");
    for num in 1..=20 {
        assert_eq!(soon(heard.recv()).await.unwrap(), num.to_string());
    }
}

#[tokio::test]
async fn towers_layers_compose_around_requests() {
    let bus = support::Bus::new();
    let (other, mut heard) = answers(&bus, "other").await;
    let asks = asks(&bus).await;
    let member = || asks.member("other").unwrap();
    let mut hedged = hedge::Hedge::new(member(), Twice, 1, 0.9, Duration::from_secs(1));
    let answer = soon(soon(hedged.ready()).await.unwrap().call("yes".into()));
    assert_eq!(answer.await.unwrap(), "yes");

    let mut brief = ServiceBuilder::new()
        .timeout(Duration::from_millis(50))
        .service(member());
    let late = soon(brief.ready().await.unwrap().call("never".into())).await;
    assert!(late.unwrap_err().is::<Elapsed>());

    let mut counted = PendingRequests::new(member(), CompleteOnResponse::default());
    let idle = counted.load();
    let waits = soon(counted.ready()).await.unwrap().call("never".into());
    assert!(counted.load() > idle);
    drop(waits);
    assert_eq!(counted.load(), idle);

    let mut limited = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .service(member());
    let waits = limited.ready().await.unwrap().call("never".into());
    let shed = soon(limited.ready().await.unwrap().call("yes".into())).await;
    assert!(shed.unwrap_err().is::<Overloaded>());
    drop(waits);
    let answer = soon(limited.ready().await.unwrap().call("yes".into())).await;
    assert_eq!(answer.unwrap(), "yes");

    let failed = soon(member().oneshot("fails".into())).await.unwrap_err();
    assert_eq!(failed.to_string(), "as the test wants it");
    assert!(failed.is::<RequestError>());
    assert!(!heard.is_empty());
    soon(heard.recv()).await.unwrap();
    drop(other);
}

/// A clone is not ready because another is, and each has what it was promised.
#[tokio::test]
async fn each_clone_is_made_ready_by_itself_and_a_reservation_is_given_back() {
    fn is_reserved(bus: &mut Bus<String>) -> bool {
        task::spawn(bus.ready()).poll().is_ready()
    }
    let bus = support::Bus::new();
    let (_other, _heard) = answers(&bus, "other").await;
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let builder = Bus::builder(&bus.path)
        .identity(service("asks"))
        .window(1, 1 << 20);
    let mut one: Bus<String> = soon(builder.join(ignore)).await.unwrap();
    let mut two = one.clone();
    assert!(
        is_reserved(&mut one) && is_reserved(&mut one),
        "asked twice, one slot"
    );
    assert!(!is_reserved(&mut two));
    assert!(!is_reserved(&mut one.clone()), "a clone has no reservation");
    drop(one);
    soon(two.ready()).await.unwrap();
    soon(two.call("hello".into())).await.unwrap();
    soon(two.dispose()).await;
    let ended = soon(two.ready()).await.map(drop).unwrap_err();
    assert!(matches!(ended, BusError::Ended), "{ended:?}");
    let again = soon(two.ready()).await.map(drop).unwrap_err();
    assert!(matches!(again, BusError::Ended), "{again:?}");
}

/// A handle that sends many holds slots of its next ones: not those that others need, and not for longer than it is there.
#[tokio::test]
async fn what_handles_hold_of_the_window_leaves_half_of_it_and_is_given_back() {
    let bus = support::Bus::new();
    let (_other, _heard) = answers(&bus, "other").await;
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let builder = Bus::builder(&bus.path)
        .identity(service("asks"))
        .window(64, 1 << 20);
    let first: Bus<String> = soon(builder.join(ignore)).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut handle = first.clone();
        for _ in 0..2 {
            let ready = soon(handle.ready()).await.unwrap();
            soon(ready.call("hello".into())).await.unwrap();
        }
        idle.push(handle);
    }
    let ready_now = || {
        let handles = (0..64).map(|_| first.clone());
        let mut ready: Vec<_> = handles
            .map(|mut handle| {
                let is_ready = task::spawn(handle.ready()).poll().is_ready();
                (is_ready, handle)
            })
            .collect();
        ready.retain(|(is_ready, _)| *is_ready);
        ready.len()
    };
    assert!((32..64).contains(&ready_now()), "{}", ready_now());
    let mut one = idle.pop().unwrap();
    drop(idle);
    soon(one.ready()).await.unwrap();
    soon(one.call("hello".into())).await.unwrap();
    assert!(ready_now() >= 64 - 16, "{}", ready_now());

    drop(soon(one.ready()).await.unwrap().call("hello".into()));
    soon(first.dispose()).await;
    let ended = soon(one.ready()).await.map(drop).unwrap_err();
    assert!(matches!(ended, BusError::Ended), "{ended:?}");
}
