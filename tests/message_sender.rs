//! A message, and a fault of it, are reported with the peer that sent it, also after its connection has
//! ended.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::time::Duration;

use kyneta_uds::{BoxError, Client, Event, Incoming, Peer, ReconnectPolicy, Role, State};
use support::{
    Bus, collect, dismiss, offer,
    raw::{NO_MESSAGE, establish, frame, payload},
    service, soon,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixListener,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn};

/// Time for a message to be read ahead.
const READ_AHEAD: Duration = Duration::from_millis(200);

/// A client of a listener by hand, and what lets its handler go on. At the message "1" the handler answers
/// with two messages that are larger than the socket's buffer (one for each connection), so that the client
/// cannot write and reads ahead; then it waits. `then` is what it does with each message after that.
async fn stopped_client(
    bus: &Bus,
    then: impl Fn(Incoming) -> Result<(), BoxError> + Clone + Send + Sync + 'static,
) -> (Client, UnixListener, watch::Sender<bool>) {
    let (go_on, gate) = watch::channel(false);
    let handler = service_fn(move |incoming: Incoming| {
        let (then, mut gate) = (then.clone(), gate.clone());
        async move {
            if incoming.message == dismiss("1") {
                for _ in 0..2 {
                    incoming.from().queue(offer("d", 4 << 20)).await?;
                }
                let _ = gate.wait_for(|open| *open).await;
            }
            then(incoming)
        }
    });
    let listener = UnixListener::bind(&bus.path).unwrap();
    let quick = ReconnectPolicy::new().base(Duration::from_millis(10));
    let client = Client::builder(&bus.path).reconnect(quick);
    let client = client.connect_lazy(handler).await.unwrap();
    (client, listener, go_on)
}

fn message(seq: u32, doc: &str) -> Vec<u8> {
    frame(3, seq, &payload(&dismiss(doc)))
}

#[tokio::test]
async fn what_was_read_ahead_keeps_its_sender_when_another_listener_takes_its_place() {
    let bus = Bus::new();
    let (handled, mut messages) = mpsc::unbounded_channel();
    let (client, listener, go_on) = stopped_client(&bus, move |incoming| {
        let from = incoming.peer().identity().peer_id.as_str().to_owned();
        handled.send((from, incoming.message))?;
        Ok(())
    })
    .await;
    let mut events = client.events();

    let (mut first, _) = soon(listener.accept()).await.unwrap();
    let frames = [
        establish(3, "first"),
        message(2, "1"),
        message(3, "2"),
        message(4, "3"),
    ];
    first.write_all(&frames.concat()).await.unwrap();
    sleep(READ_AHEAD).await;
    drop(first);

    let (mut second, _) = soon(listener.accept()).await.unwrap();
    let frames = [establish(3, "second"), message(2, "4")];
    second.write_all(&frames.concat()).await.unwrap();
    let is_second = |event: &Event| matches!(event, Event::Peer { peer, .. } if peer.identity().peer_id.as_str() == "second");
    while !is_second(&soon(events.recv()).await.unwrap()) {}
    sleep(READ_AHEAD).await;
    go_on.send(true).unwrap();
    for (from, doc) in [
        ("first", "1"),
        ("first", "2"),
        ("first", "3"),
        ("second", "4"),
    ] {
        let handled = soon(messages.recv()).await.unwrap();
        assert_eq!(handled, (from.to_owned(), dismiss(doc)));
    }
}

#[tokio::test]
async fn a_fault_is_reported_with_its_sender_after_that_has_gone_and_another_has_come() {
    for another_comes in [false, true] {
        let bus = Bus::new();
        let fail = |incoming: Incoming| Err(format!("{:?}", incoming.message).into());
        let (client, listener, go_on) = stopped_client(&bus, fail).await;
        let mut events = client.events();

        let (mut first, _) = soon(listener.accept()).await.unwrap();
        let frames = [
            establish(3, "first"),
            message(2, "1"),
            frame(3, 3, NO_MESSAGE),
            message(5, "2"), // Seq 4 is missing.
        ];
        first.write_all(&frames.concat()).await.unwrap();
        sleep(READ_AHEAD).await;
        drop(first);
        let mut second = None;
        if another_comes {
            let (mut stream, _) = soon(listener.accept()).await.unwrap();
            let frames = [establish(3, "second"), message(2, "3")];
            stream.write_all(&frames.concat()).await.unwrap();
            second = Some(stream);
        } else {
            drop(listener);
            std::fs::remove_file(&bus.path).unwrap();
        }
        soon(client.wait_for(|state| matches!(state, State::Connected) == another_comes)).await;
        sleep(READ_AHEAD).await;
        go_on.send(true).unwrap();

        let mut expected = vec![
            // Reported when it is read, which is ahead of the handler.
            ("rejected", "first"),
            ("noticed", "first"),
            ("failed", "first"),
            ("failed", "first"),
        ];
        if another_comes {
            expected.push(("failed", "second"));
        }
        let mut reported = Vec::new();
        let reports = async {
            while reported.len() < expected.len() {
                let (what, peer) = match events.recv().await.unwrap() {
                    Event::HandlerFailed { peer, .. } => ("failed", peer),
                    Event::Rejected { peer, .. } => ("rejected", peer),
                    Event::Noticed { peer, .. } => ("noticed", peer),
                    _ => continue,
                };
                reported.push((what, peer.identity().peer_id.as_str().to_owned()));
            }
        };
        let in_time = timeout(Duration::from_secs(5), reports).await;
        let reported: Vec<_> = reported
            .iter()
            .map(|(what, of)| (*what, of.as_str()))
            .collect();
        assert_eq!(
            reported, expected,
            "another comes: {another_comes}, {in_time:?}"
        );
        let counts = client.counts();
        assert_eq!(counts.handler_failures, 2 + u64::from(another_comes));
        assert_eq!((counts.messages_rejected, counts.frames_missing), (1, 1));
        #[cfg(feature = "status")]
        {
            use kyneta_uds::status::Inspect as _;
            let received = client.snapshot().received;
            assert_eq!(received, 2 + u64::from(another_comes));
        }
        drop(second);
    }
}

#[tokio::test]
async fn messages_of_a_lost_listener_keep_their_sender() {
    let bus = Bus::new();
    let (handler, mut received_by_c) = collect(64);
    let a = Peer::builder(&bus.path).identity(service("a"));
    let mut a = soon(a.join(handler.clone())).await.unwrap();

    // One message is being handled, the next ones wait to be read.
    let (handler_of_b, mut received_by_b) = collect(1);
    let b = Peer::builder(&bus.path).identity(service("b"));
    let mut b = soon(b.join(handler_of_b)).await.unwrap();
    for said in ["1", "2", "3", "4"] {
        soon(a.ready().await.unwrap().call(dismiss(said)))
            .await
            .unwrap();
    }
    let c = Peer::builder(&bus.path).identity(service("c"));
    let c = soon(c.join(handler)).await.unwrap();
    a.connections().iter().for_each(|to| to.handle().abort());
    soon(a.dispose()).await;
    soon(c.wait_for(|role| role == Role::Listener)).await;

    // A write finds out that the listener is gone; the next listener gets what follows.
    while received_by_c.try_recv().is_err() {
        let _ = soon(async { b.ready().await.unwrap().call(dismiss("hello")).await }).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for said in ["1", "2", "3", "4"] {
        let received = soon(received_by_b.recv()).await.unwrap();
        assert_eq!(received.message, dismiss(said));
        assert_eq!(received.peer().identity().peer_id.as_str(), "a");
    }
}
