//! Bursts of small messages, which go as bundles, while listeners end without a word.
//!
//! A failure names the sender and the number at which the order breaks.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, path::Path, thread, time::Duration};

use kyneta_uds::{Bus, BusIncoming, bus::BusJoinError};
use support::{service, soon};
use tokio::{runtime::Runtime, sync::mpsc};
use tower::{Service as _, ServiceExt as _, service_fn};

/// Listens in a runtime of its own. Dropped, its connections end in the middle of what they do.
struct Listener(Option<Runtime>);

impl Listener {
    fn start(path: &Path, id: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
        let listen = || loop {
            let builder = Bus::<String>::builder(path).identity(service(id));
            match runtime.block_on(builder.listen(ignore)) {
                Ok(bus) => break bus,
                // The one before has not ended yet.
                Err(BusJoinError::InTheWay { .. }) => thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        };
        let bus = thread::scope(|scope| scope.spawn(listen).join().unwrap());
        // It does not leave: it ends.
        std::mem::forget(bus);
        Self(Some(runtime))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn text(n: u64) -> String {
    format!("{n} {}", "x".repeat(n as usize * 13 % 300))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_burst_comes_once_and_in_order_whichever_listener_ends() {
    const ROUNDS: u64 = 8;
    const EACH: u64 = 4000;
    let bus = support::Bus::new();
    let mut listener = Listener::start(&bus.path, "listener-0");
    let (sender, mut said) = mpsc::unbounded_channel();
    let tell = service_fn(move |incoming: BusIncoming<String>| {
        let _ = sender.send((incoming.seq, incoming.to_me, incoming.message));
        std::future::ready(Ok::<_, Infallible>(()))
    });
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let builder = |id| Bus::<String>::builder(&bus.path).identity(service(id));
    let _receiver = soon(builder("receiver").connect(tell)).await.unwrap();
    let mut publisher = soon(builder("publisher").connect(ignore)).await.unwrap();
    while publisher.members().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut to_one = publisher.member("receiver").unwrap();
    let mut n = 0;
    let mut last = None;
    for round in 1..=ROUNDS {
        for _ in 0..EACH {
            n += 1;
            last = Some(match n % 89 {
                0 => soon(to_one.begin_send(text(n))).await.unwrap(),
                _ => soon(publisher.ready()).await.unwrap().call(text(n)),
            });
            if n % 701 == 0 {
                tokio::task::yield_now().await;
            }
        }
        // At some time during what it passes on.
        tokio::time::sleep(Duration::from_micros(round * 700)).await;
        drop(listener);
        listener = Listener::start(&bus.path, &format!("listener-{round}"));
    }
    soon(last.unwrap()).await.unwrap();
    for n in 1..=ROUNDS * EACH {
        let got = soon(said.recv()).await.unwrap();
        assert_eq!(got, (n, n % 89 == 0, text(n)));
    }
    assert!(said.try_recv().is_err());
}
