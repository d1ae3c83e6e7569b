//! Trace context between the members of a bus.
//!
//! A failure shows the trace that the handler was given.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::path::Path;

use kyneta_uds::{
    Bus, BusIncoming,
    bus::{
        TraceParent,
        trace::{PutTraceLayer, TakeTraceLayer},
    },
};
use support::{service, soon};
use tokio::sync::mpsc;
use tower::{Layer as _, Service as _, ServiceBuilder, ServiceExt as _, service_fn};
use tracing::Span;

tokio::task_local! {
    static PRESENT: TraceParent;
}

type Seen = mpsc::UnboundedReceiver<(String, Option<TraceParent>)>;

/// A member that tells which traces its messages belong to, and answers requests within them.
async fn member(path: &Path, id: &str) -> (Bus<String>, Seen) {
    let (sender, seen) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let _ = sender.send((incoming.message, incoming.trace));
        let answered = incoming
            .request
            .map_or(Ok(()), |request| request.answer(&"done"));
        std::future::ready(answered)
    });
    let builder = Bus::builder(path).identity(service(id));
    (soon(builder.join(handler)).await.unwrap(), seen)
}

fn trace(span: u64) -> TraceParent {
    TraceParent::new(7, span, 1).unwrap()
}

#[tokio::test]
async fn a_trace_reaches_each_member_through_the_listener_and_messages_around_it_have_none() {
    let bus = support::Bus::new();
    let (_listener, mut at_listener) = member(&bus.path, "listener").await;
    let (till, _) = member(&bus.path, "till").await;
    let (_stock, mut at_stock) = member(&bus.path, "stock").await;
    let put = PutTraceLayer::new(|| PRESENT.try_with(|trace| *trace).ok());
    let mut publish = ServiceBuilder::new()
        .layer(put.clone())
        .service(till.clone());
    for nth in 0..100_u64 {
        let text = nth.to_string();
        let accepted = soon(publish.ready()).await.unwrap();
        let published = match nth % 3 {
            1 => PRESENT.sync_scope(trace(nth), || accepted.call(text)),
            _ => accepted.call(text),
        };
        drop(published); // many wait at once
    }
    for seen in [&mut at_listener, &mut at_stock] {
        for nth in 0..100_u64 {
            let expected = (nth % 3 == 1).then(|| trace(nth));
            assert_eq!(
                soon(seen.recv()).await.unwrap(),
                (nth.to_string(), expected)
            );
        }
    }

    let mut ask = put.layer(till.member("stock").unwrap());
    let asked = PRESENT.scope(trace(200), async {
        soon(ask.ready()).await.unwrap().call("?".into()).await
    });
    assert_eq!(soon(asked).await.unwrap(), "done");
    let asked = ("?".to_owned(), Some(trace(200)));
    assert_eq!(soon(at_stock.recv()).await.unwrap(), asked);
}

#[tokio::test]
async fn a_handler_runs_in_the_span_that_is_made_of_the_message() {
    let subscriber = tracing_subscriber::registry();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (sender, mut spans) = mpsc::unbounded_channel();
    let inside = sender.clone();
    let handler = ServiceBuilder::new()
        .layer(TakeTraceLayer::new(
            move |incoming: &BusIncoming<String>| {
                let span = tracing::info_span!("incoming", from = %incoming.from);
                let _ = sender.send((incoming.trace, span.id()));
                span
            },
        ))
        .service(service_fn(move |incoming: BusIncoming<String>| {
            let (sender, called) = (inside.clone(), Span::current().id());
            async move {
                tokio::task::yield_now().await;
                assert_eq!(Span::current().id(), called);
                sender.send((incoming.trace, called))
            }
        }));
    let bus = support::Bus::new();
    let builder = Bus::builder(&bus.path).identity(service("shop"));
    let _shop = soon(builder.join(handler)).await.unwrap();
    let (till, _) = member(&bus.path, "till").await;
    let put = PutTraceLayer::new(|| Some(trace(3)));
    let mut publish = ServiceBuilder::new().layer(put).service(till);
    let published = soon(publish.ready()).await.unwrap().call("x".into());
    soon(published).await.unwrap();
    let made = soon(spans.recv()).await.unwrap();
    assert_eq!(made.0, Some(trace(3)));
    assert!(made.1.is_some());
    assert_eq!(soon(spans.recv()).await.unwrap(), made);
}
