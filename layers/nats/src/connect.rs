//! Opens a session with a machine at the same server.
//!
//! In: `Remote<MachineName>`. Out: a byte stream. May touch: the server.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use async_nats::jetstream::message::PublishMessage;
use futures_util::future::{BoxFuture, Either};
use kyneta_uds_core::{BoxError, Target};
use kyneta_uds_machines::{MachineName, Remote};
use tower_service::Service;

use crate::{
    frame::{Frame, SessionId},
    hub::Hub,
    names::{Subjects, machine_key},
    stream::NatsStream,
};

/// A connector: a make service of byte streams, as [`NatsEngine::connector`](crate::NatsEngine::connector) gives it. A
/// stack of layers goes on top of it as on top of any other connector. It is ready when the server has stored that this
/// side has opened: whether the other machine is there shows its first byte.
#[derive(Debug, Clone)]
pub struct NatsConnector {
    hub: Arc<Hub>,
}

impl NatsConnector {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

impl Service<Remote<MachineName>> for NatsConnector {
    type Response = NatsStream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<NatsStream, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, remote: Remote<MachineName>) -> Self::Future {
        Box::pin(open(self.hub.clone(), remote))
    }
}

/// With both sides as targets, one stack serves both: an accepted stream is returned as it is.
impl Service<Target<NatsStream, Remote<MachineName>>> for NatsConnector {
    type Response = NatsStream;
    type Error = ConnectError;
    type Future = Either<
        BoxFuture<'static, Result<NatsStream, ConnectError>>,
        Ready<Result<NatsStream, ConnectError>>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target<NatsStream, Remote<MachineName>>) -> Self::Future {
        match target {
            Target::Connect(remote) => Either::Left(self.call(remote)),
            Target::Accepted(stream) => Either::Right(ready(Ok(stream))),
        }
    }
}

async fn open(hub: Arc<Hub>, remote: Remote<MachineName>) -> Result<NatsStream, ConnectError> {
    let Remote { key, address, .. } = remote;
    if key != machine_key(&address) {
        return Err(ConnectError::OtherKey { machine: address });
    }
    if hub.is_replaced() {
        let name = hub.me.clone();
        return Err(ConnectError::Replaced { name });
    }
    if !hub.is_connected() {
        return Err(ConnectError::NoServer);
    }
    let id = SessionId(fastrand::u64(..));
    let session = hub.begin(&address, id, true).ok_or(ConnectError::TooMany)?;
    // Dropped on an error: the session ends.
    let stream = NatsStream::new(session, address.clone());
    let message = PublishMessage::build().payload(Frame::Open.encode(id));
    let subject = Subjects::new(&hub.me, &address).data;
    let stored = async { hub.server.send_publish(subject, message).await?.await };
    stored
        .await
        .map_err(|error| ConnectError::NotStored(error.into()))?;
    Ok(stream)
}

/// Why no session can be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The key is not the one that is made of the name.
    #[error(
        "the key of machine {machine} is not made of its name, as keys of machines over NATS are"
    )]
    OtherKey {
        /// Its name.
        machine: MachineName,
    },
    /// Another process has this machine's name.
    #[error("another process uses the name {name} of this machine at the NATS server")]
    Replaced {
        /// The name.
        name: MachineName,
    },
    /// The server is gone.
    #[error("there is no connection to the NATS server")]
    NoServer,
    /// It does not take the first message.
    #[error("the NATS server has not stored the first message: {0}")]
    NotStored(BoxError),
    /// A bound of this side.
    #[error("this machine has too many sessions")]
    TooMany,
}
