//! An endpoint of iroh's with a key, at an address.
//!
//! In: a key, an address. Out: a connector and an acceptor. May touch: a UDP socket.

use std::net::SocketAddr;

use iroh::{
    Endpoint, RelayMode,
    endpoint::{PortmapperConfig, presets},
};
use kyneta_uds_core::BoxError;
use kyneta_uds_machines::MachineKey;
use tokio_util::task::TaskTracker;

use crate::{accept::IrohAcceptor, connect::IrohConnector, key::SecretKey, settings::IrohSettings};

/// iroh, bound to an address with a key. Only one process may use a key at a time: open its file under the lock of the
/// path that the process listens at. Cloneable; the socket closes with the last clone, connector and acceptor.
#[derive(Debug, Clone)]
pub struct IrohEngine {
    endpoint: Endpoint,
    protocol: &'static str,
    key: MachineKey,
    address: SocketAddr,
    /// Those that are not closed.
    streams: TaskTracker,
}

impl IrohEngine {
    /// Binds a UDP address. Port 0 is any free one.
    ///
    /// Cancel safe: a dropped attempt leaves nothing bound.
    ///
    /// # Errors
    /// [`BindError`], with the address.
    pub async fn bind(
        key: &SecretKey,
        address: SocketAddr,
        settings: IrohSettings,
    ) -> Result<Self, BindError> {
        let bind_error = |source: BoxError| BindError { address, source };
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(key.0.clone())
            .alpns(vec![settings.protocol.into()])
            .relay_mode(RelayMode::Disabled)
            .clear_address_lookup()
            .portmapper_config(PortmapperConfig::Disabled)
            .transport_config(settings.transport())
            .clear_ip_transports()
            .bind_addr(address)
            .map_err(|error| bind_error(error.into()))?
            .bind()
            .await
            .map_err(|error| bind_error(error.into()))?;
        let address = endpoint.bound_sockets().first().copied().unwrap_or(address);
        Ok(Self {
            endpoint,
            protocol: settings.protocol,
            key: key.public(),
            address,
            streams: TaskTracker::new(),
        })
    }

    /// The public key.
    pub fn key(&self) -> MachineKey {
        self.key
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Dials: a tower service.
    pub fn connector(&self) -> IrohConnector {
        IrohConnector::new(self.endpoint.clone(), self.protocol, self.streams.clone())
    }

    /// Accepts, in a task of its own until it is dropped. Of several, each gets a part of the connections. When one is
    /// [closed](kyneta_uds_machines::Accept::close), as [`Links`](kyneta_uds_machines::Links) do when they are, what was
    /// written to dropped streams arrives, for a second at most, and then all of the engine is closed.
    ///
    /// It must be called inside a tokio runtime.
    pub fn acceptor(&self) -> IrohAcceptor {
        IrohAcceptor::new(self.endpoint.clone(), self.streams.clone())
    }

    /// Closes all connections at once, tells the other sides, and closes the socket.
    pub async fn close(&self) {
        self.endpoint.close().await;
    }
}

/// An address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("the UDP address {address} cannot be bound")]
pub struct BindError {
    /// Which.
    pub address: SocketAddr,
    /// Why not.
    pub source: BoxError,
}
