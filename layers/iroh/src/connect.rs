//! Dials a key at an address.
//!
//! In: `Remote<SocketAddr>`. Out: a byte stream. May touch: the endpoint.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use iroh::{Endpoint, EndpointAddr, EndpointId};
use kyneta_uds_core::BoxError;
use kyneta_uds_machines::{MachineKey, Remote};
use tower_service::Service;

use crate::{engine::ALPN, stream::IrohStream};

/// A connector: a make service of byte streams, as [`IrohEngine::connector`](crate::IrohEngine::connector) gives it. A
/// stack of layers goes on top of it as on top of any other connector.
///
/// The other side does not see the stream before something is written to it.
#[derive(Debug, Clone)]
pub struct IrohConnector {
    endpoint: Endpoint,
}

impl IrohConnector {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl Service<Remote<SocketAddr>> for IrohConnector {
    type Response = IrohStream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<IrohStream, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, remote: Remote<SocketAddr>) -> Self::Future {
        let endpoint = self.endpoint.clone();
        Box::pin(async move {
            let Remote { key, address, .. } = remote;
            let id = EndpointId::from_bytes(key.as_bytes())
                .map_err(|_| ConnectError::NotAKey { key })?;
            let failed = |source: BoxError| ConnectError::Failed { address, source };
            let to = EndpointAddr::new(id).with_ip_addr(address);
            let connection = endpoint
                .connect(to, ALPN)
                .await
                .map_err(|error| failed(error.into()))?;
            let (send, recv) = connection
                .open_bi()
                .await
                .map_err(|error| failed(io::Error::from(error).into()))?;
            Ok(IrohStream::new(connection, send, recv))
        })
    }
}

/// Why a machine cannot be dialed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// These bytes are no key of Ed25519.
    #[error("{key} is no key of a machine: no secret key belongs to it")]
    NotAKey {
        /// What was given.
        key: MachineKey,
    },
    /// It does not answer there, or has another key.
    #[error("no machine with this key answers at {address}: {source}")]
    Failed {
        /// Where.
        address: SocketAddr,
        /// What iroh says.
        source: BoxError,
    },
}
