//! Handlers that are slow: they are waited for, and what waits for them counts as delivered to none.
//!
//! The stall limit is 300 ms. A failure shows what was missed.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

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

use futures_util::future::join_all;
use kyneta_uds::{Bus, BusIncoming, bus::BusBuilder};
use support::{service, soon};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn, util::BoxCloneService};

type Handler = BoxCloneService<BusIncoming<String>, (), Infallible>;

fn builder(path: &Path, id: &str) -> BusBuilder<String> {
    let builder = Bus::builder(path).identity(service(id)).protocol("test/1");
    builder.stall_limit(Duration::from_millis(300))
}

fn ignore() -> Handler {
    Handler::new(service_fn(async |_: BusIncoming<String>| Ok(())))
}

/// How a handler spends its time.
#[derive(Clone, Copy)]
enum Slow {
    Waits,
    Blocks,
}

/// Takes 2 ms for each message, and counts it.
fn slow(how: Slow, got: Arc<AtomicUsize>) -> Handler {
    const EACH: Duration = Duration::from_millis(2);
    Handler::new(service_fn(move |_: BusIncoming<String>| {
        let got = got.clone();
        async move {
            match how {
                Slow::Waits => sleep(EACH).await,
                Slow::Blocks => std::thread::sleep(EACH),
            }
            got.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }))
}

/// A thousand messages take seven times the stall limit.
async fn a_slow_one_is_waited_for(how: Slow, slow_one_listens: bool) {
    let bus = support::Bus::new();
    let got = Arc::new(AtomicUsize::new(0));
    let (first, second) = match slow_one_listens {
        true => (slow(how, got.clone()), ignore()),
        false => (ignore(), slow(how, got.clone())),
    };
    let first = soon(builder(&bus.path, "first").join(first)).await.unwrap();
    let second = soon(builder(&bus.path, "second").join(second));
    let second = second.await.unwrap();
    let mut sender = if slow_one_listens {
        second
    } else {
        first.clone()
    };
    let mut sent = Vec::new();
    for n in 0..1000 {
        sent.push(soon(sender.ready()).await.unwrap().call(n.to_string()));
    }
    let sent = timeout(Duration::from_secs(60), join_all(sent)).await;
    for delivered in sent.unwrap() {
        assert_eq!(delivered.unwrap().missed, []);
    }
    // The last one is at work at most.
    assert!(got.load(Ordering::SeqCst) >= 999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_whose_handler_waits_is_waited_for() {
    a_slow_one_is_waited_for(Slow::Waits, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_whose_handler_blocks_is_waited_for() {
    a_slow_one_is_waited_for(Slow::Blocks, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_handler_waits_is_waited_for() {
    a_slow_one_is_waited_for(Slow::Waits, true).await;
}

#[tokio::test]
async fn what_waits_for_the_handler_is_not_delivered() {
    let bus = support::Bus::new();
    let (let_go, stuck) = watch::channel(false);
    let handler = service_fn(move |_: BusIncoming<String>| {
        let mut stuck = stuck.clone();
        async move {
            let _ = stuck.wait_for(|is_over| *is_over).await;
            Ok::<_, Infallible>(())
        }
    });
    let patient = |id| builder(&bus.path, id).stall_limit(Duration::from_secs(60));
    let mut sender = soon(patient("sender").join(ignore())).await.unwrap();
    let _slow = soon(patient("slow").join(handler)).await.unwrap();
    let first = soon(sender.ready()).await.unwrap().call("first".to_owned());
    soon(first).await.unwrap(); // its handler is at work on it
    let mut second = soon(sender.ready())
        .await
        .unwrap()
        .call("second".to_owned());
    // Only time shows that nothing happens.
    let early = timeout(Duration::from_millis(100), &mut second).await;
    assert!(early.is_err(), "{early:?}");
    let_go.send_replace(true);
    assert_eq!(soon(second).await.unwrap().missed, []);
}
