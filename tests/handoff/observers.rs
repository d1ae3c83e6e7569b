//! Connections that only look on do not hold a handover up, and end with it.
//!
//! A failure says how long the handover took.

use std::{convert::Infallible, future::ready, path::Path, time::Duration};

use kyneta_uds::{Event, Incoming, Peer, Server, SocketPath, bus::Look};
use tokio::time::{Instant, timeout};
use tower::service_fn;

use crate::{member, next, number, offer};

/// Looks on.
async fn tap(path: &Path) -> Look {
    let path = SocketPath::new(path).unwrap();
    until(kyneta_uds::bus::tap(path)).await.unwrap()
}

async fn until<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.unwrap()
}

/// A client talks while two taps look on, one of which reads nothing.
async fn a_tap_ends<A, B>(path: &Path, former: A, successor: impl AsyncFnOnce() -> B) {
    let (mut client, mut inbox) = member(path).await;
    let mut reads = tap(path).await;
    let mut idle = tap(path).await;
    // More than may wait for one that reads nothing.
    for number in 0..3_000 {
        client.queue(offer(number, 4_000)).await.unwrap();
        if number % 100 == 0 {
            assert!(until(reads.next()).await.unwrap().is_some());
        }
    }
    let began = Instant::now();
    let next_one = successor().await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    for expected in 0..3_000 {
        assert_eq!(number(&next(&mut inbox).await), expected);
    }
    for tap in [&mut reads, &mut idle] {
        while until(tap.next()).await.is_ok_and(|passed| passed.is_some()) {}
    }
    // A new one looks on at the successor.
    let mut anew = tap(path).await;
    client.queue(offer(3_000, 64)).await.unwrap();
    assert!(until(anew.next()).await.unwrap().is_some());
    assert_eq!(number(&next(&mut inbox).await), 3_000);
    drop((former, next_one));
}

#[tokio::test]
async fn a_tap_that_reads_nothing_does_not_hold_up_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    let take_over = async || {
        let builder = Server::builder(&path).relay(false);
        builder.take_over().listen(echo).await.unwrap()
    };
    a_tap_ends(&path, take_over().await, take_over).await;
}

#[tokio::test]
async fn a_tap_that_reads_nothing_does_not_hold_up_a_peer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    let take_over = async || {
        let builder = Peer::builder(&path).relay(false);
        builder.take_over().join(echo).await.unwrap()
    };
    a_tap_ends(&path, take_over().await, take_over).await;
}

#[tokio::test]
async fn those_that_look_on_are_no_connections_of_the_successor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let _former = Server::builder(&path).take_over().listen(ignore).await;
    let _tap = tap(&path).await;
    let builder = Server::builder(&path);
    let mut events = builder.events();
    let successor = builder.take_over().listen(ignore).await.unwrap();
    let Some(Event::TookOver { connections, .. }) = until(events.recv()).await else {
        panic!("the first event");
    };
    assert_eq!((connections, successor.connection_count()), (0, 0));
}
