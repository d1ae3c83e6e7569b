//! Dials a key at an address.
//!
//! In: `Remote<SocketAddr>`. Out: a byte stream. May touch: the endpoint.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use futures_util::future::{BoxFuture, ready};
use iroh::{Endpoint, EndpointAddr, EndpointId};
use kyneta_uds_core::{BoxError, Target};
use kyneta_uds_machines::{MachineKey, Remote};
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::stream::IrohStream;

/// A connector: a make service of byte streams, as [`IrohEngine::connector`](crate::IrohEngine::connector) gives it. A
/// stack of layers goes on top of it as on top of any other connector:
///
/// ```
/// use kyneta_uds_cbor::CborLayer;
/// use kyneta_uds_core::{BoxError, ChannelMsg, DocId, Identity, Target};
/// use kyneta_uds_framing::FramingLayer;
/// use kyneta_uds_handshake::HandshakeLayer;
/// use kyneta_uds_iroh::{IrohConnector, IrohEngine, IrohSettings, SecretKey};
/// use kyneta_uds_machines::{Accept as _, Remote};
/// use kyneta_uds_queue::QueueLayer;
/// use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let at = "127.0.0.1:0".parse()?;
/// # let (oslo, rome) = (SecretKey::from_bytes(&[1; 32]), SecretKey::from_bytes(&[2; 32]));
/// # let oslo = IrohEngine::bind(&oslo, at, IrohSettings::default()).await?;
/// # let rome = IrohEngine::bind(&rome, at, IrohSettings::default()).await?;
/// let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
/// let stack = |name: &'static str, connector: IrohConnector| {
///     let seen = seen.clone();
///     let handler = service_fn(move |msg: ChannelMsg| {
///         let seen = seen.clone();
///         async move { seen.send(msg).await }
///     });
///     Ok::<_, BoxError>(ServiceBuilder::new()
///         .layer(QueueLayer::new(handler))
///         .layer(HandshakeLayer::new(Identity::service(name)?))
///         .layer(CborLayer::new())
///         .layer(FramingLayer::new())
///         .service(connector))
/// };
/// let (in_oslo, in_rome) = (stack("oslo", oslo.connector())?, stack("rome", rome.connector())?);
///
/// let mut acceptor = rome.acceptor();
/// tokio::spawn(async move {
///     let accepted = acceptor.accept().await.ok_or("closed")?; // its key is verified
///     let handle = in_rome.oneshot(Target::Accepted(accepted.open().await?)).await?;
///     Ok::<_, BoxError>(handle.closed().await)
/// });
/// let remote = Remote::new(rome.key(), rome.address());
/// let mut handle = in_oslo.oneshot(Target::Connect(remote)).await?;
/// let msg = ChannelMsg::Dismiss(DocId::new("settings")?);
/// handle.ready().await?.call(msg.clone()).await?;
/// assert_eq!(inbox.recv().await, Some(msg));
/// # Ok(())
/// # }
/// ```
///
/// The other side does not see the stream before something is written to it.
#[derive(Debug, Clone)]
pub struct IrohConnector {
    endpoint: Endpoint,
    protocol: &'static str,
    streams: TaskTracker,
}

impl IrohConnector {
    pub(crate) fn new(endpoint: Endpoint, protocol: &'static str, streams: TaskTracker) -> Self {
        Self {
            endpoint,
            protocol,
            streams,
        }
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
        let (endpoint, protocol) = (self.endpoint.clone(), self.protocol.as_bytes());
        let open = self.streams.token();
        Box::pin(async move {
            let Remote { key, address, .. } = remote;
            let id = EndpointId::from_bytes(key.as_bytes())
                .map_err(|_| ConnectError::NotAKey { key })?;
            let failed = |source: BoxError| ConnectError::Failed { address, source };
            let to = EndpointAddr::new(id).with_ip_addr(address);
            let connection = endpoint
                .connect(to, protocol)
                .await
                .map_err(|error| failed(error.into()))?;
            let stream = connection
                .open_bi()
                .await
                .map_err(|error| failed(io::Error::from(error).into()))?;
            Ok(IrohStream::new(connection, stream, open))
        })
    }
}

/// With both sides as targets, one stack serves both: an accepted stream is returned as it is.
impl Service<Target<IrohStream, Remote<SocketAddr>>> for IrohConnector {
    type Response = IrohStream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<IrohStream, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target<IrohStream, Remote<SocketAddr>>) -> Self::Future {
        match target {
            Target::Connect(remote) => self.call(remote),
            Target::Accepted(stream) => Box::pin(ready(Ok(stream))),
        }
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
    #[error("no machine with this key answers at {address}")]
    Failed {
        /// Where.
        address: SocketAddr,
        /// What iroh says.
        source: BoxError,
    },
}
