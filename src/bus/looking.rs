//! Handlers that look: they are shown messages by reference.
//!
//! In: a function of the user's, the bytes of messages. Out: calls of that function. Touches nothing else.

use std::{
    fmt,
    future::{Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use kyneta_uds_core::{BoxError, ByReference, SharedError};
use serde::Deserialize;
use tower_service::Service;

use super::{
    deliver::Of,
    hand_over::panicked,
    incoming::{BusIncoming, Responder},
    info::MemberInfo,
    trace::TraceParent,
    usual,
};

/// A message by reference, with its sender: what a handler that [looks](look()) is shown. The rest is as of
/// [`BusIncoming`].
#[derive(Debug)]
#[non_exhaustive]
pub struct BusIncomingRef<'a, M: ByReference + 'a> {
    /// Its sender, as the listener says.
    pub from: &'a Arc<MemberInfo>,
    /// Its number among the messages of its sender.
    pub seq: u64,
    /// It went to this member alone.
    pub to_me: bool,
    /// The message, borrowed from what has arrived.
    pub message: M::Ref<'a>,
    /// Which trace it belongs to, if its sender has [put that in](super::trace).
    pub trace: Option<TraceParent>,
    /// Of a request: answers it. Dropped without an answer, the asker is told so.
    pub request: Option<Responder>,
}

/// A handler of a bus that looks: `look` is shown each message as a view that borrows from what has arrived, so that no
/// text or byte string of it is copied or allocated.
///
/// `M::Ref` is that view, a type that serde reads from the same encoding as `M`. A message that cannot be borrowed, as in
/// CBOR whose texts come in chunks, is read by value, and shown by its [`reference`](ByReference::reference). So the
/// handler is shown what one of `M` is called with, in the same order, and it is acknowledged as there. An error or a
/// panic of it costs that message ([`BusEvent::HandlerFailed`](super::BusEvent::HandlerFailed)).
///
/// It cannot wait. A request it answers at once, or moves the [`Responder`] to a task.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
/// use kyneta_uds::{Bus, ByReference, bus::{BusIncomingRef, look}};
/// use serde::{Deserialize, Serialize};
/// use tower::{Service as _, ServiceExt as _};
///
/// #[derive(Serialize, Deserialize)]
/// enum Event {
///     Opened,
///     Sold { item: String, count: usize },
/// }
///
/// #[derive(Deserialize)]
/// enum EventRef<'a> {
///     Opened,
///     Sold { item: &'a str, count: usize },
/// }
///
/// impl ByReference for Event {
///     type Ref<'a> = EventRef<'a>;
///
///     fn reference(&self) -> EventRef<'_> {
///         match self {
///             Self::Opened => EventRef::Opened,
///             Self::Sold { item, count } => EventRef::Sold { item, count: *count },
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let pens = Arc::new(AtomicUsize::new(0));
/// let sum = pens.clone();
/// let stock = look(move |incoming: BusIncomingRef<'_, Event>| {
///     if let EventRef::Sold { item: "pen", count } = incoming.message {
///         sum.fetch_add(count, Ordering::Relaxed);
///     }
///     Ok::<_, std::convert::Infallible>(())
/// });
/// let stock = Bus::<Event>::builder(&path).join(stock).await?;
/// let ignore = look(|_: BusIncomingRef<'_, Event>| Ok::<_, std::convert::Infallible>(()));
/// let mut till = Bus::<Event>::builder(&path).join(ignore).await?;
/// till.ready().await?.call(Event::Opened).await?;
/// till.ready().await?.call(Event::Sold { item: "pen".into(), count: 2 }).await?;
/// stock.dispose().await;
/// till.dispose().await;
/// assert_eq!(pens.load(Ordering::Relaxed), 2);
/// # Ok(())
/// # }
/// ```
///
/// It is a tower service as any other handler. Inside another one (a tower layer around it) it is called with messages by
/// value: what it does is the same, without the gain.
pub fn look<M, E>(
    look: impl Fn(BusIncomingRef<'_, M>) -> Result<(), E> + Send + Sync + 'static,
) -> Looking<M>
where
    M: ByReference + 'static,
    for<'a> M::Ref<'a>: Deserialize<'a>,
    E: Into<BoxError>,
{
    let look = move |incoming: BusIncomingRef<'_, M>| look(incoming).map_err(SharedError::new);
    Looking(Arc::new(look))
}

/// A handler of a bus that looks. See [`look()`]. A clone has the same function.
pub struct Looking<M>(Arc<dyn Show<M>>);

/// The user's function, under a type that does not say how a message is borrowed.
trait Show<M>: Send + Sync {
    /// Shows what is encoded, after `hand_over`; or gives it back, if it cannot be borrowed.
    fn borrowed<'a>(&self, of: Of<'a>, hand_over: &mut dyn FnMut()) -> Shown<'a>;

    fn owned(&self, incoming: BusIncoming<M>) -> Result<(), SharedError>;
}

/// What has become of a message.
pub(super) enum Shown<'a> {
    Handled(Result<(), SharedError>),
    /// It cannot be borrowed.
    Not(Of<'a>),
}

impl<M, F> Show<M> for F
where
    M: ByReference + 'static,
    for<'a> M::Ref<'a>: Deserialize<'a>,
    F: Fn(BusIncomingRef<'_, M>) -> Result<(), SharedError> + Send + Sync,
{
    fn borrowed<'a>(&self, of: Of<'a>, hand_over: &mut dyn FnMut()) -> Shown<'a> {
        let Some(message) = usual::read(of.data) else {
            return Shown::Not(of);
        };
        hand_over();
        let incoming = BusIncomingRef {
            from: of.from,
            seq: of.seq.0,
            to_me: of.to_me,
            message,
            trace: of.trace.copied(),
            request: of.responder,
        };
        let handled = catch_unwind(AssertUnwindSafe(|| self(incoming)));
        Shown::Handled(handled.unwrap_or_else(|panic| Err(panicked("the handler", &*panic))))
    }

    fn owned(&self, incoming: BusIncoming<M>) -> Result<(), SharedError> {
        self(BusIncomingRef {
            from: &incoming.from,
            seq: incoming.seq,
            to_me: incoming.to_me,
            message: incoming.message.reference(),
            trace: incoming.trace,
            request: incoming.request,
        })
    }
}

impl<M> Looking<M> {
    #[inline]
    pub(super) fn show<'a>(&self, of: Of<'a>, hand_over: &mut dyn FnMut()) -> Shown<'a> {
        self.0.borrowed(of, hand_over)
    }
}

impl<M> Service<BusIncoming<M>> for Looking<M> {
    type Response = ();
    type Error = SharedError;
    type Future = Ready<Result<(), SharedError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SharedError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, incoming: BusIncoming<M>) -> Self::Future {
        ready(self.0.owned(incoming))
    }
}

impl<M> Clone for Looking<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> fmt::Debug for Looking<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looking").finish_non_exhaustive()
    }
}
