//! A peer that sends many messages that the layer does not deliver does not starve other tasks.
//!
//! A failure says how many bytes one poll has worked on.

// Tests and their helpers panic when they fail.
#![allow(clippy::unwrap_used)]

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::StreamExt as _;
use kyneta_uds_cbor::{CborChannel, CborLayer, ChannelCodec};
use kyneta_uds_core::{Channel as _, ChannelMsg, Establish, Identity, Redial, WireVersion};
use kyneta_uds_framing::{FrameTransport, FramingLayer, WireMode};
use kyneta_uds_handshake::{Established, HandshakeError, HandshakeLayer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio_test::{assert_pending, task};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

/// An accepted end of a pipe that counts the bytes read from it.
#[derive(Debug)]
struct Accepted {
    end: DuplexStream,
    read: Arc<AtomicUsize>,
}

impl Redial for Accepted {
    fn redial(&self) -> Option<Self> {
        None
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.end).poll_read(cx, buf);
        self.read
            .fetch_add(buf.filled().len() - before, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.end).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_shutdown(cx)
    }
}

type Channel = Established<CborChannel<FrameTransport<Accepted>, ChannelCodec>>;

/// The accepting side, over an end that counts the bytes read.
async fn accept(end: DuplexStream, read: Arc<AtomicUsize>) -> Result<Channel, HandshakeError> {
    ServiceBuilder::new()
        .layer(HandshakeLayer::new(identity("us")))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(service_fn(async |end: Accepted| Ok::<_, io::Error>(end)))
        .oneshot(Accepted { end, read })
        .await
}

fn identity(name: &str) -> Identity {
    Identity::service(name).unwrap()
}

/// Writes the `establish` of the other side.
async fn write_establish(theirs: &mut DuplexStream) {
    let (far, mut near) = duplex(1 << 10);
    let mut sender = ServiceBuilder::new()
        .layer(CborLayer::new())
        .layer(FramingLayer::new().wire(WireMode::Fixed(WireVersion::V2)))
        .service(service_fn(async |io: DuplexStream| Ok::<_, io::Error>(io)))
        .oneshot(far)
        .await
        .unwrap();
    let hello: ChannelMsg = Establish::new(identity("them")).into();
    sender.ready().await.unwrap().call(hello).await.unwrap();
    poll_fn(|cx| sender.poll_flush(cx)).await.unwrap();
    drop(sender);
    tokio::io::copy(&mut near, theirs).await.unwrap();
}

/// `{t: 2}`, a depart, on wire version 2.
const DEPART: [u8; 10] = [2, 0, 0, 0, 0, 4, 0xa1, 0x61, b't', 2];

/// The same with 20,000 bytes under an unknown key.
fn padded_depart() -> Vec<u8> {
    let payload = [&b"\xa2\x61t\x02\x61x\x59\x4e\x20"[..], &[0; 20_000]].concat();
    [&[2, 0], &(payload.len() as u32).to_be_bytes()[..], &payload].concat()
}

#[tokio::test]
async fn ten_thousand_departs_take_more_than_one_poll() {
    let (ours, mut theirs) = duplex(1 << 20);
    write_establish(&mut theirs).await;
    let mut channel = accept(ours, Arc::default()).await.unwrap();
    theirs.write_all(&DEPART.repeat(10_000)).await.unwrap();
    let mut next = task::spawn(channel.next());
    for _ in 0..10 {
        assert_pending!(next.poll());
        // It is pending because it yields to other tasks, not because nothing has arrived.
        tokio::task::yield_now().await;
        assert!(next.is_woken());
    }
}

#[tokio::test]
async fn large_departs_are_limited_per_poll_by_their_bytes() {
    let (ours, mut theirs) = duplex(4 << 20);
    write_establish(&mut theirs).await;
    let mut channel = accept(ours, Arc::default()).await.unwrap();
    theirs
        .write_all(&padded_depart().repeat(100))
        .await
        .unwrap();
    for _ in 0..10 {
        let before = channel.worked();
        assert_pending!(task::spawn(channel.next()).poll());
        let worked = channel.worked() - before;
        assert!(
            (1..=128 << 10).contains(&worked),
            "{worked} bytes in one poll"
        );
    }
}

#[tokio::test]
async fn large_messages_before_establish_are_limited_per_poll_by_their_bytes() {
    let (ours, mut theirs) = duplex(4 << 20);
    let read = Arc::new(AtomicUsize::new(0));
    theirs
        .write_all(&padded_depart().repeat(100))
        .await
        .unwrap();
    write_establish(&mut theirs).await;
    let mut accepted = task::spawn(accept(ours, read.clone()));
    for _ in 0..5 {
        let before = read.load(Ordering::Relaxed);
        assert_pending!(accepted.poll());
        let read = read.load(Ordering::Relaxed) - before;
        assert!((1..=256 << 10).contains(&read), "{read} bytes in one poll");
        tokio::task::yield_now().await;
        assert!(accepted.is_woken());
    }
    let channel = accepted.await.unwrap();
    assert_eq!(channel.peer().identity().peer_id.as_str(), "them");
}
