//! A leaderless listener is replaced while the others talk.
//!
//! A failure shows the events of a connector, which should be none, or the message that is lost.

use std::{
    convert::Infallible,
    future::ready,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kyneta_uds::{Event, HandoffPolicy, Identity, Incoming, Peer, Role};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn};

use crate::{member, next, number, offer};

/// A peer that sends each offer back while it listens, and takes over.
async fn echo(path: &Path) -> Peer {
    let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    let identity = Identity::service("echo").unwrap();
    let builder = Peer::builder(path).identity(identity).relay(false);
    builder.take_over().join(echo).await.unwrap()
}

/// A peer whose messages arrive at the receiver.
async fn join(path: &Path) -> (Peer, mpsc::UnboundedReceiver<u64>) {
    let (seen, inbox) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: Incoming| {
        let _ = seen.send(number(&incoming.message));
        ready(Ok::<_, Infallible>(()))
    });
    let peer = Peer::builder(path).join(handler).await.unwrap();
    (peer, inbox)
}

async fn until<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.unwrap()
}

#[tokio::test]
async fn connectors_keep_their_connections_and_every_message_through_ten_handovers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut listener = echo(&path).await;
    let mut talking = Vec::new();
    for n in 0..8_u64 {
        let (mut peer, mut inbox) = join(&path).await;
        let mut events = peer.events();
        talking.push(tokio::spawn(async move {
            let size = if n % 2 == 0 { 64 } else { 64 << 10 };
            for sent in 0..600 {
                peer.queue(offer(sent, size)).await.unwrap();
                if sent % 4 == 0 {
                    sleep(Duration::from_millis(10)).await;
                }
            }
            for expected in 0..600 {
                assert_eq!(until(inbox.recv()).await, Some(expected));
            }
            assert_eq!(peer.role(), Role::Connector);
            peer.dispose().await;
            drop(peer);
            let mut seen = Vec::new();
            while let Some(event) = events.recv().await {
                seen.push(format!("{event:?}"));
            }
            // The last ones are of its own end.
            let disconnected = |event: &&String| event.contains("Disconnected");
            assert!(seen.iter().filter(disconnected).count() <= 1, "{seen:?}");
            assert!(
                !seen.iter().any(|event| event.contains("Role(Negotiating)")),
                "{seen:?}"
            );
        }));
    }
    for _ in 0..10 {
        sleep(Duration::from_millis(100)).await;
        let successor = echo(&path).await;
        assert_eq!(successor.role(), Role::Listener);
        assert_eq!(successor.connection_count(), 8);
        assert_eq!(until(listener.closed()).await.kind(), "intentional");
        assert_eq!(listener.role(), Role::Disposed);
        listener = successor;
    }
    for peer in talking {
        peer.await.unwrap();
    }
    listener.dispose().await;
    assert!(!path.exists());
    assert!(!dir.path().join("bus.sock.handoff").exists());
}

#[tokio::test]
async fn what_the_listener_sends_to_all_arrives_once_or_fails_and_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut listener = echo(&path).await;
    let (_a, mut to_a) = join(&path).await;
    let (_b, mut to_b) = join(&path).await;
    while listener.connection_count() < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    let (mut sent, failed) = (0_u64, Arc::new(AtomicU64::new(0)));
    for _ in 0..5 {
        // Until the predecessor takes no more; the rest goes to the next one.
        let sending = tokio::spawn({
            let (mut former, failed, first) = (listener.clone(), failed.clone(), sent);
            async move {
                for number in first.. {
                    let done = former
                        .ready()
                        .await
                        .map(|former| former.call(offer(number, 64)));
                    match done {
                        Ok(queued) => drop(tokio::spawn({
                            let failed = failed.clone();
                            async move {
                                if let Err(error) = queued.await
                                    && !error.may_have_been_sent()
                                {
                                    failed.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        })),
                        Err(_) => return number,
                    }
                    tokio::task::yield_now().await;
                }
                first
            }
        });
        sleep(Duration::from_millis(20)).await;
        let successor = echo(&path).await;
        until(listener.closed()).await;
        sent = until(sending).await.unwrap();
        listener = successor;
    }
    listener.queue(offer(sent, 64)).await.unwrap();
    for inbox in [&mut to_a, &mut to_b] {
        let mut seen = Vec::new();
        while seen.last() != Some(&sent) {
            seen.push(until(inbox.recv()).await.unwrap());
        }
        assert!(seen.is_sorted_by(|a, b| a < b), "in order, none twice");
        let missing = sent + 1 - seen.len() as u64;
        assert_eq!(missing, failed.load(Ordering::Relaxed), "of {sent}");
    }
    listener.dispose().await;
}

#[tokio::test]
async fn a_peer_that_is_disposed_of_gives_up_its_offer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let first = echo(&path).await;
    let control = dir.path().join("bus.sock.handoff");
    assert!(control.exists());
    let (second, _inbox) = join(&path).await;
    first.dispose().await;
    until(second.wait_for(|role| role == Role::Listener)).await;
    until(async {
        while control.exists() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    // It offers nothing: the next one joins, and says why.
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let builder = Peer::builder(&path);
    let mut events = builder.events();
    let third = builder.take_over().join(ignore).await.unwrap();
    assert_eq!(third.role(), Role::Connector);
    let why = until(async {
        loop {
            if let Some(Event::NotTakenOver { error }) = events.recv().await {
                return error.to_string();
            }
        }
    })
    .await;
    assert!(why.contains("offers no handoff"), "{why}");
}

#[tokio::test]
async fn a_handler_that_is_at_work_keeps_the_listener_serving() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let stuck = service_fn(async |incoming: Incoming| {
        if number(&incoming.message) == 1 {
            sleep(Duration::from_millis(400)).await;
        }
        incoming.from().queue(incoming.message).await
    });
    let policy = HandoffPolicy::default().handlers(Duration::from_millis(50));
    let builder = Peer::builder(&path).relay(false).offer_handoff(policy);
    let listener = builder.join(stuck).await.unwrap();
    let (mut client, mut inbox) = member(&path).await;
    client.queue(offer(1, 64)).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let builder = Peer::builder(&path);
    let mut events = builder.events();
    let other = builder.take_over().join(ignore).await.unwrap();
    let Some(Event::NotTakenOver { error }) = until(events.recv()).await else {
        panic!("it says so first");
    };
    assert!(
        format!("{error:?}").contains("is at work for longer than 50ms"),
        "{error:?}"
    );
    assert_eq!(
        (listener.role(), other.role()),
        (Role::Listener, Role::Connector)
    );
    // It goes on, for old and new ones.
    client.queue(offer(2, 64)).await.unwrap();
    for expected in [1, 2] {
        assert_eq!(number(&next(&mut inbox).await), expected);
    }
    assert_eq!(listener.connection_count(), 2);
}
