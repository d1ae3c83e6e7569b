//! Handlers that look: they are shown messages by reference.
//!
//! In: a function of the user's. Out: a handler that a role shows what has arrived where it is, and calls with the
//! rest. Touches nothing.

use std::{
    any::Any,
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use kyneta_uds_core::{ByReference, Look, MessageRef};
use kyneta_uds_handshake::PeerInfo;
use tower_service::Service;

use crate::connection::{Connection, Incoming};

/// A message by reference, and its sender: what a handler that [looks](look()) is shown.
#[derive(Clone, Copy)]
pub struct IncomingRef<'a> {
    /// The message; never an `establish` or a `depart`.
    pub message: MessageRef<'a>,
    from: &'a Arc<Connection>,
}

impl<'a> IncomingRef<'a> {
    /// Of a message that has come in just now.
    #[inline]
    pub(crate) fn new(message: MessageRef<'a>, from: &'a Arc<Connection>) -> Self {
        #[cfg(feature = "status")]
        from.traffic().count_received();
        Self { message, from }
    }

    /// The sender.
    pub fn peer(&self) -> &'a PeerInfo {
        self.from.peer()
    }

    #[inline]
    pub(crate) fn shared_peer(&self) -> &'a Arc<PeerInfo> {
        self.from.shared_peer()
    }

    /// The connection to answer on, as of [`Incoming::from`]: by [`try_queue`](Connection::try_queue), or in a task.
    pub fn from(&self) -> Connection {
        Connection::of(self.from)
    }
}

impl fmt::Debug for IncomingRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingRef")
            .field("peer", self.from.peer_id())
            .field("message", &self.message)
            .finish()
    }
}

impl ByReference for Incoming {
    type Ref<'a> = IncomingRef<'a>;

    fn reference(&self) -> IncomingRef<'_> {
        IncomingRef {
            message: self.message.reference(),
            from: self.shared_connection(),
        }
    }
}

/// A [`Handler`](crate::Handler) that looks: `look` is shown each message where it is, in the read buffer. For a stream
/// of small messages this takes half the instructions at the receiver.
///
/// It sees the same messages in the same order as any handler. It cannot wait: while it runs, nothing else of that
/// connection does, and there is no backpressure. What it is to keep it copies
/// ([`to_message`](MessageRef::to_message)). A panic costs that message.
///
/// Inside another service (a tower layer around it), and at a listener that [relays](crate::Builder::relay), it is
/// called with messages by value: what it does is the same, without the gain.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
/// use kyneta_uds::{Client, DocId, IncomingRef, Interest, MessageRef, Offer, Server, Version, look};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let bytes = Arc::new(AtomicUsize::new(0));
/// let sum = bytes.clone();
/// let server = Server::builder(&path)
///     .relay(false)
///     .listen(look(move |incoming: IncomingRef<'_>| {
///         if let MessageRef::Offer(offer) = incoming.message {
///             sum.fetch_add(offer.data.as_slice().len(), Ordering::Relaxed);
///         }
///     }))
///     .await?;
/// let mut client = Client::builder(&path).connect(look(|_| {})).await?;
/// for version in ["1", "2"] {
///     let offer = Offer::binary(DocId::new("d")?, Version::new(version)?, &b"state"[..]);
///     client.queue(offer.into()).await?;
/// }
/// client.dispose().await;
/// server.dispose().await;
/// assert_eq!(bytes.load(Ordering::Relaxed), 10);
/// # Ok(())
/// # }
/// ```
pub fn look(look: impl Fn(IncomingRef<'_>) + Send + Sync + 'static) -> Looking {
    Looking(Arc::new(look))
}

/// A handler that looks. See [`look()`]. A clone has the same function.
#[derive(Clone)]
pub struct Looking(Arc<dyn Fn(IncomingRef<'_>) + Send + Sync>);

impl Service<Incoming> for Looking {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, incoming: Incoming) -> Self::Future {
        (self.0)(incoming.reference());
        ready(Ok(()))
    }
}

impl fmt::Debug for Looking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looking").finish_non_exhaustive()
    }
}

/// A user's handler, which is shown messages if it is a [`Looking`]: the compiler knows which one it is.
#[derive(Debug, Clone)]
pub(crate) struct MayLook<H>(pub(crate) H);

impl<H: 'static> MayLook<H> {
    #[inline(always)]
    fn looking(&self) -> Option<&Looking> {
        (&self.0 as &dyn Any).downcast_ref()
    }
}

impl<H: Service<Incoming>> Service<Incoming> for MayLook<H> {
    type Response = H::Response;
    type Error = H::Error;
    type Future = H::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        self.0.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, incoming: Incoming) -> H::Future {
        self.0.call(incoming)
    }
}

impl<H: 'static> Look<Incoming> for MayLook<H> {
    #[inline(always)]
    fn more(&self) -> bool {
        self.looking().is_some()
    }

    #[inline(always)]
    fn look(&mut self, msg: IncomingRef<'_>) {
        if let Some(Looking(look)) = self.looking() {
            look(msg);
        }
    }
}
