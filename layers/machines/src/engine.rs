//! What an engine is: it dials a key at an address, accepts, and gives byte streams. It verifies the keys.
//!
//! In: nothing. Out: the traits. Touches nothing.

use std::{fmt, future::Future, io};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::name::MachineKey;

/// What a connector of an engine is called with: a tower service of `Remote<A>` whose response is a byte stream is one.
/// It must fail if the other side does not have the key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remote<A> {
    /// What the other side must have.
    pub key: MachineKey,
    /// Where it is.
    pub address: A,
}

impl<A> Remote<A> {
    /// From its parts.
    pub fn new(key: MachineKey, address: A) -> Self {
        Self { key, address }
    }
}

/// Accepts connections of other machines: the other half of an engine.
///
/// ```
/// use kyneta_uds_machines::{Accept, Accepted, MachineKey};
/// use tokio::{io::DuplexStream, sync::mpsc};
///
/// /// Streams that come from elsewhere in this process.
/// struct FromChannel(mpsc::Receiver<(MachineKey, DuplexStream)>);
///
/// impl Accept for FromChannel {
///     type Io = DuplexStream;
///
///     async fn accept(&mut self) -> Option<Accepted<DuplexStream>> {
///         let (key, io) = self.0.recv().await?;
///         Some(Accepted::new(key, async { Ok(io) }))
///     }
/// }
/// ```
pub trait Accept: Send + 'static {
    /// The byte streams. Dropping one must not lose what was written and shut down before. The kind of an error says why a
    /// link is down: `TimedOut`, the other side gave no sign of life for too long; `ConnectionReset` and
    /// `ConnectionAborted`, the other side has closed it; any other one, the stream has failed.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection; `None` when no more come: links that stand go on, and
    /// [an event](crate::LinkEvent::AcceptsNoMore) says so, as of one that panics. The future may be dropped before it is ready: no connection may
    /// be lost then.
    fn accept(&mut self) -> impl Future<Output = Option<Accepted<Self::Io>>> + Send;

    /// The links have ended, in good order: what their streams still hold is sent, the other machines are told, and the
    /// address is free. It is given [two seconds](crate::Links::close). By default there is nothing to do.
    fn close(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A connection whose key is verified and of which no byte was read.
pub struct Accepted<Io> {
    pub(crate) key: MachineKey,
    pub(crate) open: BoxFuture<'static, io::Result<Io>>,
}

impl<Io> Accepted<Io> {
    /// `open` gives the byte stream.
    pub fn new(
        key: MachineKey,
        open: impl Future<Output = io::Result<Io>> + Send + 'static,
    ) -> Self {
        let open = Box::pin(open);
        Self { key, open }
    }

    /// The verified key of the other side.
    pub fn key(&self) -> MachineKey {
        self.key
    }

    /// The byte stream.
    ///
    /// # Errors
    /// The engine's: the other side has closed the connection, or opens no stream.
    pub async fn open(self) -> io::Result<Io> {
        self.open.await
    }
}

impl<Io> fmt::Debug for Accepted<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
