//! What is known about a peer after the handshake.

use std::sync::atomic::{AtomicBool, Ordering};

use kyneta_uds_core::{ConnectionInfo, Credentials, Establish, Identity, WireVersion};

/// The peer of an [`Established`](crate::Established) channel. Shared, so that it can outlive the channel.
#[derive(Debug)]
pub struct PeerInfo {
    establish: Establish,
    wire: WireVersion,
    credentials: Option<Credentials>,
    departing: AtomicBool,
}

impl PeerInfo {
    pub(crate) fn new(establish: Establish, connection: ConnectionInfo) -> Self {
        Self {
            establish,
            // A frame has been read, which determines the version.
            wire: connection.wire.unwrap_or(WireVersion::V3),
            credentials: connection.credentials,
            departing: AtomicBool::new(false),
        }
    }

    /// The identity that the peer has sent.
    pub fn identity(&self) -> &Identity {
        &self.establish.identity
    }

    /// The peer's whole `establish`.
    pub fn establish(&self) -> &Establish {
        &self.establish
    }

    /// The connection's wire version.
    pub fn wire(&self) -> WireVersion {
        self.wire
    }

    /// The peer's credentials, as reported by the kernel; absent if the connector does not expose the socket.
    pub fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    pub(crate) fn set_departing(&self) {
        self.departing.store(true, Ordering::Relaxed);
    }

    /// True once the peer has sent `depart`: it is about to leave on purpose.
    pub fn is_departing(&self) -> bool {
        self.departing.load(Ordering::Relaxed)
    }
}
