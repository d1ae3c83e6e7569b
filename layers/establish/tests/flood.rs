//! Who says much that concerns nobody does not keep the others waiting.

use futures_util::StreamExt as _;
use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{ChannelMsg, Establish, Identity, Redial};
use kyneta_uds_establish::EstablishLayer;
use kyneta_uds_framing::FramingLayer;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio_test::{assert_pending, task};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

/// An accepted end of a pipe.
struct Accepted(DuplexStream);

impl Redial for Accepted {
    fn redial(&self) -> Option<Self> {
        None
    }
}

/// `{t: 2}`, a depart, on wire version 2.
const DEPART: [u8; 10] = [2, 0, 0, 0, 0, 4, 0xa1, 0x61, b't', 2];

#[tokio::test]
async fn ten_thousand_departs_are_not_passed_over_in_one_go() {
    let (ours, mut theirs) = duplex(1 << 20);
    let stack = |identity| {
        ServiceBuilder::new()
            .layer(EstablishLayer::new(identity))
            .layer(CborLayer::new())
            .layer(FramingLayer::new())
            .service(service_fn(async |end: Accepted| {
                Ok::<_, std::io::Error>(end.0)
            }))
    };
    let identity = |name| Identity::service(name).unwrap();
    // What the other side says first, by the same layers.
    let (far, mut near) = duplex(1 << 10);
    let mut speaker = ServiceBuilder::new()
        .layer(CborLayer::new())
        .layer(
            FramingLayer::new().wire(kyneta_uds_framing::WireMode::Fixed(
                kyneta_uds_core::WireVersion::V2,
            )),
        )
        .service(service_fn(async |io: DuplexStream| {
            Ok::<_, std::io::Error>(io)
        }))
        .oneshot(far)
        .await
        .unwrap();
    let hello: ChannelMsg = Establish::new(identity("them")).into();
    speaker.ready().await.unwrap().call(hello).await.unwrap();
    std::future::poll_fn(|cx| kyneta_uds_core::Channel::poll_flush(&mut speaker, cx))
        .await
        .unwrap();
    drop(speaker);
    tokio::io::copy(&mut near, &mut theirs).await.unwrap();

    let mut channel = stack(identity("us")).oneshot(Accepted(ours)).await.unwrap();
    theirs.write_all(&DEPART.repeat(10_000)).await.unwrap();
    let mut next = task::spawn(channel.next());
    for _ in 0..10 {
        assert_pending!(next.poll());
        // Not because there is nothing: it is to be asked again, once others have been.
        tokio::task::yield_now().await;
        assert!(next.is_woken());
    }
}
