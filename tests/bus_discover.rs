//! tower's `Balance` over the members of a bus.
//!
//! A failure shows which members have answered.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{collections::HashMap, convert::Infallible, path::Path, time::Duration};

use kyneta_uds::{
    BoxError, Bus, BusIncoming,
    bus::{BusDiscover, BusError, RequestError},
};
use support::{service, soon};
use tower::{
    Service as _, ServiceExt as _,
    balance::p2c::Balance,
    load::{CompleteOnResponse, PendingRequestsDiscover},
    service_fn,
};

type Loads = PendingRequestsDiscover<BusDiscover<String>, CompleteOnResponse>;

/// A member that answers with its id, except to "wait".
async fn stock(path: &Path, id: &str) -> Bus<String> {
    let me = id.to_owned();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let me = me.clone();
        if let Some(request) = incoming.request {
            match incoming.message.as_str() {
                "wait" => drop(tokio::spawn(async move { request.cancelled().await })),
                _ => request.answer(&me).unwrap(),
            }
        }
        std::future::ready(Ok::<_, Infallible>(()))
    });
    let identity = service(id).named("stock").unwrap();
    soon(Bus::builder(path).identity(identity).join(handler))
        .await
        .unwrap()
}

async fn till(path: &Path) -> Bus<String> {
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let builder = Bus::builder(path).identity(service("till"));
    soon(builder.join(ignore)).await.unwrap()
}

fn balanced(bus: &Bus<String>) -> Balance<Loads, String> {
    let stocks = bus.discover(|member| {
        let name = member.name.as_ref();
        name.is_some_and(|name| name.as_str() == "stock")
    });
    let counts = CompleteOnResponse::default();
    Balance::new(PendingRequestsDiscover::new(stocks, counts))
}

async fn ask(balance: &mut Balance<Loads, String>, text: &str) -> Result<String, BoxError> {
    soon(soon(balance.ready()).await?.call(text.to_owned())).await
}

/// Which members answer so many requests, and how many each.
async fn answers(balance: &mut Balance<Loads, String>, count: usize) -> HashMap<String, usize> {
    let mut answers = HashMap::new();
    for _ in 0..count {
        let from = ask(balance, "who").await.unwrap();
        *answers.entry(from).or_default() += 1;
    }
    answers
}

#[tokio::test]
async fn requests_go_to_the_members_that_fit_as_they_come_and_go() {
    let bus = support::Bus::new();
    let till = till(&bus.path).await;
    let a = stock(&bus.path, "a").await;
    let b = stock(&bus.path, "b").await;
    let mut balance = balanced(&till);
    let both = answers(&mut balance, 200).await;
    assert!(both["a"] > 20 && both["b"] > 20, "{both:?}");

    soon(a.dispose()).await;
    till_members(&till, &["b"]).await;
    assert_eq!(
        answers(&mut balance, 20).await,
        HashMap::from([("b".into(), 20)])
    );

    // The same id, and another one.
    let a = stock(&bus.path, "a").await;
    let c = stock(&bus.path, "c").await;
    till_members(&till, &["a", "b", "c"]).await;
    let all = answers(&mut balance, 300).await;
    assert!(all.len() == 3 && all.values().all(|&of| of > 20), "{all:?}");
    drop((a, b, c));
}

#[tokio::test]
async fn what_a_member_that_leaves_was_asked_fails_and_without_any_the_balance_waits() {
    let bus = support::Bus::new();
    let till = till(&bus.path).await;
    let a = stock(&bus.path, "a").await;
    let mut balance = balanced(&till);
    let waits = soon(balance.ready()).await.unwrap().call("wait".into());
    soon(a.dispose()).await;
    let left = soon(waits).await.unwrap_err();
    assert_eq!(left.downcast_ref(), Some(&RequestError::Left));
    assert_eq!(left.to_string(), "the member has left before it answered");
    till_members(&till, &[]).await;

    let nothing = tokio::time::timeout(Duration::from_millis(50), balance.ready()).await;
    assert!(nothing.is_err(), "there is none");
    let b = stock(&bus.path, "b").await;
    assert_eq!(ask(&mut balance, "who").await.unwrap(), "b");
    drop(b);
}

#[tokio::test]
async fn when_this_member_has_ended_the_balance_says_so() {
    let bus = support::Bus::new();
    let till = till(&bus.path).await;
    let mut balance = balanced(&till);
    soon(till.dispose()).await;
    let error = soon(balance.ready()).await.unwrap_err();
    let source = std::error::Error::source(&*error).unwrap_or(&*error);
    assert!(
        matches!(source.downcast_ref(), Some(BusError::Ended)),
        "{error}: {source}"
    );
}

async fn till_members(bus: &Bus<String>, ids: &[&str]) {
    let mut watch = bus.watch_members();
    let all = async {
        loop {
            let members = watch.get();
            if members
                .iter()
                .map(|member| member.id.as_str())
                .eq(ids.iter().copied())
            {
                return;
            }
            watch.changed().await.unwrap();
        }
    };
    soon(all).await;
}
