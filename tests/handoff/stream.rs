//! Both directions are full while the server is replaced: nothing is lost, twice, or out of order.
//!
//! A failure says how many were sent, called and read, by name of the direction.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use kyneta_uds::{Client, Connection, Event, Identity, Incoming, QueueConfig, Server};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn};

use crate::{number, offer};

/// What has come, by sender.
type Seen = Arc<Mutex<HashMap<String, Vec<u64>>>>;

fn seen_by(seen: &Seen, sender: &str) -> Vec<u64> {
    seen.lock()
        .unwrap()
        .get(sender)
        .cloned()
        .unwrap_or_default()
}

/// Notes what comes under the name of its sender.
fn noting(
    seen: &Seen,
    as_name: Option<String>,
) -> impl tower::Service<
    Incoming,
    Response = (),
    Error = Infallible,
    Future = std::future::Ready<Result<(), Infallible>>,
> + Clone
+ Send
+ 'static {
    let seen = seen.clone();
    service_fn(move |incoming: Incoming| {
        let sender = incoming.peer().identity().peer_id.as_str().to_owned();
        let name = as_name.clone().unwrap_or(sender);
        let mut seen = seen.lock().unwrap();
        seen.entry(name)
            .or_default()
            .push(number(&incoming.message));
        ready(Ok(()))
    })
}

async fn server(path: &Path, seen: &Seen) -> Server {
    // What waits goes over with the state: one MiB for each client.
    let waits = QueueConfig::default().max_bytes(1 << 20);
    let builder = Server::builder(path).relay(false).queue(waits);
    let mut events = builder.events();
    let server = builder
        .take_over()
        .listen(noting(seen, None))
        .await
        .unwrap();
    if let Ok(Some(Event::TookOver { pause, .. })) = timeout(Duration::ZERO, events.recv()).await {
        println!("frozen for {pause:?} at most");
    }
    server
}

/// Sends until the connection ends: the next number. Counts those that were certainly not sent.
async fn flood(mut to: Connection, first: u64, size: usize, failed: Arc<AtomicU64>) -> u64 {
    for next in first.. {
        let Ok(ready) = to.ready().await else {
            return next;
        };
        let sent = ready.call(offer(next, size));
        let failed = failed.clone();
        tokio::spawn(async move {
            if let Err(error) = sent.await
                && !error.may_have_been_sent()
            {
                failed.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    first
}

/// A client that sends until it is told to stop, and then says how many it has sent.
async fn client(
    path: &Path,
    name: &str,
    seen: &Seen,
    size: usize,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<(Client, u64)> {
    let identity = Identity::service(name).unwrap();
    let builder = Client::builder(path).identity(identity);
    let handler = noting(seen, Some(name.to_owned()));
    let mut client = builder.connect(handler).await.unwrap();
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            client.queue(offer(sent, size)).await.unwrap();
            sent += 1;
        }
        (client, sent)
    })
}

async fn full_streams(size: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let (at_servers, at_clients) = (Seen::default(), Seen::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut current = server(&path, &at_servers).await;
    let names = ["a", "b", "c", "d"];
    let mut clients = Vec::new();
    for name in names {
        clients.push(client(&path, name, &at_clients, size, &stop).await);
    }
    while current.connection_count() < names.len() {
        sleep(Duration::from_millis(1)).await;
    }
    let mut called = HashMap::<String, u64>::new();
    let failed = names.map(|_| Arc::new(AtomicU64::new(0)));
    for _ in 0..6 {
        let floods = current.connections().into_iter().map(|to| {
            let name = to.peer_id().as_str().to_owned();
            let at = names.iter().position(|of| *of == name).unwrap();
            let first = called.get(&name).copied().unwrap_or(0);
            (
                name,
                tokio::spawn(flood(to, first, size, failed[at].clone())),
            )
        });
        let floods: Vec<_> = floods.collect();
        sleep(Duration::from_millis(150)).await;
        let successor = server(&path, &at_servers).await;
        assert_eq!(successor.connection_count(), names.len());
        current.closed().await;
        for (name, flood) in floods {
            called.insert(name, flood.await.unwrap());
        }
        current = successor;
    }
    stop.store(true, Ordering::Relaxed);
    let mut lasting = Vec::new();
    for ((name, client), failed) in names.iter().zip(clients).zip(failed) {
        let (client, sent) = timeout(Duration::from_secs(20), client)
            .await
            .unwrap()
            .unwrap();
        let all = async {
            loop {
                let expected = called[*name] - failed.load(Ordering::SeqCst);
                let (at_client, at_server) =
                    (seen_by(&at_clients, name), seen_by(&at_servers, name));
                assert!(at_client.is_sorted_by(|a, b| a < b), "in order, none twice");
                if at_client.len() as u64 == expected && at_server.len() as u64 == sent {
                    return (at_client, at_server);
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let (at_client, at_server) = timeout(Duration::from_secs(20), all)
            .await
            .unwrap_or_else(|_| panic!("{name}: {sent} sent, {} called", called[*name]));
        assert_eq!(at_server, (0..sent).collect::<Vec<_>>());
        assert!(
            sent > 100 && at_client.len() > 100,
            "{sent}, {}",
            at_client.len()
        );
        lasting.push(client);
    }
    current.dispose().await;
}

#[tokio::test]
async fn full_streams_of_64_bytes_go_on_through_six_handovers() {
    full_streams(64).await;
}

#[tokio::test]
async fn full_streams_of_64_kib_go_on_through_six_handovers() {
    full_streams(64 << 10).await;
}
