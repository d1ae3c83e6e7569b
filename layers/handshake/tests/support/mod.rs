//! One end of a pipe, and how its handshake fails.

#![allow(clippy::unwrap_used)] // Helpers of tests.

use std::io;

use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{Identity, Redial};
use kyneta_uds_framing::{FramingLayer, WireMode};
use kyneta_uds_handshake::{HandshakeError, HandshakeLayer};
use tokio::io::{DuplexStream, duplex};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

struct End {
    stream: DuplexStream,
    connects: bool,
}

impl Redial for End {
    fn redial(&self) -> Option<Self> {
        let (stream, connects) = (duplex(1).0, true);
        self.connects.then_some(Self { stream, connects })
    }
}

pub(crate) fn us() -> HandshakeLayer {
    HandshakeLayer::new(Identity::service("us").unwrap())
}

/// How the handshake of one end fails.
pub(crate) async fn failed(
    handshake: HandshakeLayer,
    wire: WireMode,
    stream: DuplexStream,
    connects: bool,
) -> HandshakeError {
    ServiceBuilder::new()
        .layer(handshake)
        .layer(CborLayer::new())
        .layer(FramingLayer::new().wire(wire))
        .service(service_fn(async |end: End| Ok::<_, io::Error>(end.stream)))
        .oneshot(End { stream, connects })
        .await
        .unwrap_err()
}
