//! Under a queue, over pipes: what is queued goes out on the next connection, in order.
//!
//! A failure shows the error of a message that should have gone out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    time::Duration,
};

use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{Message, Redial};
use kyneta_uds_framing::FramingLayer;
use kyneta_uds_queue::{Handle, QueueLayer};
use kyneta_uds_reconnect::{ReconnectLayer, ReconnectPolicy, StateKind, StateWatch};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, DuplexStream, duplex},
    sync::mpsc,
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Tick(u8);

impl Message for Tick {
    fn size(&self) -> usize {
        1
    }
}

struct Somewhere;

impl Redial for Somewhere {
    fn redial(&self) -> Option<Self> {
        Some(Self)
    }
}

/// The payloads of `count` frames of wire version 3: one byte each.
async fn read(pipe: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut payloads = Vec::new();
    for _ in 0..count {
        let mut frame = [0; 11];
        pipe.read_exact(&mut frame).await.unwrap();
        payloads.extend(frame.last());
    }
    payloads
}

/// A make service of pipes that hold `size` bytes; the other ends go to the test.
fn pipes(
    size: usize,
) -> (
    impl Fn(Somewhere) -> Ready<io::Result<DuplexStream>> + Clone + Send + 'static,
    mpsc::UnboundedReceiver<DuplexStream>,
) {
    let (made, peers) = mpsc::unbounded_channel();
    let connect = move |_: Somewhere| {
        let (ours, theirs) = duplex(size);
        ready(match made.send(theirs) {
            Ok(()) => Ok(ours),
            Err(_) => Err(io::ErrorKind::NotFound.into()),
        })
    };
    (connect, peers)
}

async fn stack(
    connect: impl Fn(Somewhere) -> Ready<io::Result<DuplexStream>> + Clone + Send + 'static,
) -> (Handle<Tick>, StateWatch) {
    let layer = ReconnectLayer::new(ReconnectPolicy::new());
    let states = layer.state_watch();
    let ignore = service_fn(async |_: Tick| Ok::<(), Infallible>(()));
    let handle = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(layer)
        .layer(CborLayer::typed::<Tick>())
        .layer(FramingLayer::new())
        .service(service_fn(connect))
        .oneshot(Somewhere)
        .await
        .unwrap();
    (handle, states)
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_goes_out_on_the_next_connection_in_order() {
    let (connect, mut peers) = pipes(1 << 16);
    let (mut handle, states) = stack(connect).await;
    let mut first = peers.recv().await.unwrap();
    for n in 0..3 {
        handle.queue(Tick(n)).await.unwrap();
    }
    handle.flushed().await.unwrap();
    assert_eq!(read(&mut first, 3).await, [0, 1, 2]);
    drop(first);
    states.wait_for_kind(StateKind::Reconnecting).await;

    for n in 3..20 {
        handle.queue(Tick(n)).await.unwrap();
    }
    assert!(
        timeout(Duration::from_millis(500), handle.flushed())
            .await
            .is_err()
    );
    handle.flushed().await.unwrap();
    assert!(states.is_connected());
    let mut second = peers.recv().await.unwrap();
    assert_eq!(read(&mut second, 17).await, (3..20).collect::<Vec<u8>>());
    handle.close();
    drop(second);
    handle.closed().await;
    states.wait_for_kind(StateKind::Disconnected).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_with_a_connection_is_reported_and_the_rest_goes_on() {
    // Five frames fit; the rest stays in the write buffer and is lost with the connection.
    let (connect, mut peers) = pipes(55);
    let (mut handle, states) = stack(connect).await;
    let first = peers.recv().await.unwrap();
    let mut sent = Vec::new();
    for n in 0..10 {
        sent.push(handle.ready().await.unwrap().call(Tick(n)));
    }
    sleep(Duration::from_millis(1)).await;
    drop(first);
    states.wait_for_kind(StateKind::Reconnecting).await;
    let after = handle.ready().await.unwrap().call(Tick(10));
    for sent in sent {
        let error = sent.await.unwrap_err();
        assert!(error.may_have_been_sent(), "{error:?}");
    }
    timeout(Duration::from_secs(5), after)
        .await
        .unwrap()
        .unwrap();
    let mut second = peers.recv().await.unwrap();
    assert_eq!(read(&mut second, 1).await, [10]);
}
