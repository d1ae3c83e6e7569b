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

use crate::{accept::IrohAcceptor, connect::IrohConnector, key::SecretKey, settings::IrohSettings};

/// The name of the protocol in the handshake of TLS.
pub(crate) const ALPN: &[u8] = b"kyneta-uds/1";

/// iroh, bound to an address with a key. Only one process may use a key at a time: open its file under the lock of the
/// path that the process listens at. Cloneable; the socket closes with the last clone, connector and acceptor.
#[derive(Debug, Clone)]
pub struct IrohEngine {
    endpoint: Endpoint,
    key: MachineKey,
    address: SocketAddr,
}

impl IrohEngine {
    /// Binds a UDP address. Port 0 is any free one.
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
            .alpns(vec![ALPN.to_vec()])
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
            key: key.public(),
            address,
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
        IrohConnector::new(self.endpoint.clone())
    }

    /// Accepts, in a task of its own until it is dropped. Of several, each gets a part of the connections.
    ///
    /// It must be called inside a tokio runtime.
    pub fn acceptor(&self) -> IrohAcceptor {
        IrohAcceptor::new(self.endpoint.clone())
    }

    /// Closes all connections, tells the other sides, and closes the socket.
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
