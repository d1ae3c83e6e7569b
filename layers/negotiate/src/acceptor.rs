//! The one acceptor: accepts, sees each connection through its handshake, hands it over, and looks after the
//! path.
//!
//! In: a listener, a make service, an accept handler. Out: a handle for each connection, and what becomes of
//! the path. May touch: the listener's socket and path, a task of tokio's for each handshake, tokio's clock.

use std::{
    fmt,
    future::{Future, poll_fn},
    io, mem,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{Either, select},
};
use kyneta_uds_core::{Admission, Channel, Message, undisturbed};
use kyneta_uds_queue::Handle;
use kyneta_uds_unix::{BindError, ConnectionPermit, Listener, ListenerEvent, PathLoss, UnixTarget};
use tokio::{
    net::UnixStream,
    task::JoinSet,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::{
    accept_handler::{AcceptHandler, AcceptPanicked},
    entrance::{Entered, Entrance},
    make_channel::MakeChannel,
};

/// How long a handshake goes on after [`Acceptor::close`]: what a peer has sent by then is read, because closing
/// a socket with unread bytes resets the other end.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(100);

/// A path that could not be restored counts as restored when it was not reported lost for this long: the
/// obstacle at the path has been removed. A lost path is reported at least once a second.
const RESTORED_AFTER: Duration = Duration::from_secs(2);

/// Accepts the connections of a [`Listener`], makes a channel of each, and hands it to an [`AcceptHandler`].
///
/// Each handshake is a task of its own. A panic of the make service or of the handler costs that connection.
/// Polled, or awaited by [`next`](Self::next), it goes on accepting; dropped, it gives up the path and aborts
/// the handshakes under way.
///
/// ```
/// use kyneta_uds_cbor::CborLayer;
/// use kyneta_uds_core::{ChannelMsg, DocId};
/// use kyneta_uds_framing::FramingLayer;
/// use kyneta_uds_negotiate::{Acceptor, AcceptorEvent, PerPeer};
/// use kyneta_uds_queue::QueueConfig;
/// use kyneta_uds_unix::{Listener, UnixConnector};
/// use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
/// let per_peer = PerPeer::new(ignore, QueueConfig::default());
/// let stack = ServiceBuilder::new()
///     .layer(CborLayer::new())
///     .layer(FramingLayer::new())
///     .service(UnixConnector::new());
/// let mut acceptor = Acceptor::new(Listener::bind(&path).await?, stack, per_peer);
///
/// let _peer = tokio::net::UnixStream::connect(&path).await?;
/// let mut handle = loop {
///     match acceptor.next().await {
///         AcceptorEvent::Accepted(handle) => break handle,
///         AcceptorEvent::PathLost(_) => acceptor.restore(),
///         _ => {}
///     }
/// };
/// handle.ready().await?.call(ChannelMsg::Dismiss(DocId::new("settings")?)).await?;
/// acceptor.close()?;
/// # Ok(())
/// # }
/// ```
pub struct Acceptor<S, A, M> {
    make: S,
    handler: A,
    work: Work,
    /// Begins the grace of each handshake.
    closing: CancellationToken,
    /// Makes [`Work::Busy`] give the listener back; cancelled with `closing`.
    holding: CancellationToken,
    handshakes: JoinSet<()>,
    entered: Entered<M>,
    /// Since when the path could not be restored, and when it counts as restored.
    missing: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// What the listener is at work on; it comes back with the result, without one when it is to close.
enum Work {
    Busy(Pin<Box<dyn Future<Output = WorkOutput> + Send>>),
    /// The path is lost, or the listener is closed.
    Idle(Option<Box<Listener>>),
}

type WorkOutput = (Box<Listener>, Option<Done>);

enum Done {
    Event(ListenerEvent),
    Restored(Result<(), BindError>),
}

/// What happens at an [`Acceptor`].
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptorEvent<M> {
    /// A connection was accepted, and its handler has [entered](Entrance::enter) it.
    Accepted(Handle<M>),
    /// The path is not the listener's any more. It accepts nothing until [`Acceptor::restore`].
    PathLost(PathLoss),
    /// The path could not be restored. It is reported lost again.
    RestoreFailed {
        /// Why.
        error: BindError,
        /// How long ago that failed first.
        waited: Duration,
    },
    /// The path is the listener's again: restored, or because what was in the way has been moved aside.
    Restored,
    /// It was closed, and no handshake is left.
    Closed,
}

impl<S, A, M> Acceptor<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message,
{
    /// Accepts what connects to `listener`. A risk of its directory is reported to `handler`.
    pub fn new(listener: impl Into<Box<Listener>>, make: S, handler: A) -> Self {
        let listener = listener.into();
        if let Some(risk) = listener.risk() {
            undisturbed(|| handler.directory_risk(risk));
        }
        let closing = CancellationToken::new();
        let mut this = Self {
            make,
            handler,
            work: Work::Idle(None),
            holding: closing.child_token(),
            closing,
            handshakes: JoinSet::new(),
            entered: Entered::new(),
            missing: None,
        };
        this.listen(listener);
        this
    }

    /// The next event.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> AcceptorEvent<M> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next event. See [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<AcceptorEvent<M>> {
        if !self.closing.is_cancelled()
            && let Poll::Ready(event) = self.poll_listener(cx)
        {
            return Poll::Ready(event);
        }
        if let Poll::Ready(handle) = self.entered.poll_next(cx) {
            return Poll::Ready(AcceptorEvent::Accepted(handle));
        }
        // After the listener: a handshake that it has started must be polled once to wake this task.
        while let Poll::Ready(Some(_)) = self.handshakes.poll_join_next(cx) {}
        if self.closing.is_cancelled() && self.handshakes.is_empty() {
            return Poll::Ready(AcceptorEvent::Closed);
        }
        Poll::Pending
    }

    fn poll_listener(&mut self, cx: &mut Context<'_>) -> Poll<AcceptorEvent<M>> {
        if let Some((_, restored)) = &mut self.missing
            && restored.as_mut().poll(cx).is_ready()
        {
            self.missing = None;
            return Poll::Ready(AcceptorEvent::Restored);
        }
        loop {
            let Work::Busy(work) = &mut self.work else {
                return Poll::Pending;
            };
            let (listener, done) = ready!(work.as_mut().poll(cx));
            if let Some(Done::Event(ListenerEvent::Lost(lost))) = done {
                self.work = Work::Idle(Some(listener));
                return Poll::Ready(AcceptorEvent::PathLost(lost));
            }
            self.listen(listener);
            match done {
                Some(Done::Event(ListenerEvent::Accepted(stream, permit))) => {
                    self.accept(stream, permit);
                }
                Some(Done::Event(ListenerEvent::Rejected(refusal))) => {
                    undisturbed(|| self.handler.rejected(&refusal));
                }
                Some(Done::Restored(Ok(()))) => {
                    self.missing = None;
                    return Poll::Ready(AcceptorEvent::Restored);
                }
                Some(Done::Restored(Err(error))) => {
                    let since = self.missing.take();
                    let since = since.map_or_else(Instant::now, |(since, _)| since);
                    self.missing = Some((since, Box::pin(sleep(RESTORED_AFTER))));
                    let waited = since.elapsed();
                    return Poll::Ready(AcceptorEvent::RestoreFailed { error, waited });
                }
                _ => {}
            }
        }
    }

    fn listen(&mut self, mut listener: Box<Listener>) {
        let holding = self.holding.clone();
        self.work = Work::Busy(Box::pin(async move {
            let event = unless(holding, listener.next()).await;
            (listener, event.map(Done::Event))
        }));
    }

    /// Puts the socket file back after [`AcceptorEvent::PathLost`]. Without such a loss nothing changes.
    pub fn restore(&mut self) {
        if let Work::Idle(listener) = &mut self.work
            && let Some(mut listener) = listener.take()
        {
            let holding = self.holding.clone();
            self.work = Work::Busy(Box::pin(async move {
                let restored = unless(holding, listener.restore()).await;
                (listener, restored.map(Done::Restored))
            }));
        }
    }

    /// Gives up the path and accepts no more. Handshakes under way go on for 100 ms, as long as this is
    /// polled for [`AcceptorEvent::Closed`].
    ///
    /// # Errors
    /// When the socket file could not be removed.
    pub fn close(&mut self) -> io::Result<()> {
        self.closing.cancel();
        let listener = self.listener_back();
        listener.map_or(Ok(()), |mut listener| listener.close())
    }

    /// Accepts nothing until [`release`](Self::release), for a handoff: those that connect wait at the socket.
    /// Handshakes under way go on. The listener, unless it is closed.
    pub fn hold(&mut self) -> Option<&Listener> {
        self.holding.cancel();
        self.work = Work::Idle(self.listener_back());
        match &self.work {
            Work::Idle(listener) => listener.as_deref(),
            Work::Busy(_) => None,
        }
    }

    /// How many handshakes are under way, or not yielded yet.
    pub fn handshakes(&self) -> usize {
        self.handshakes.len() + self.entered.len()
    }

    /// Accepts again, after [`hold`](Self::hold).
    pub fn release(&mut self) {
        self.holding = self.closing.child_token();
        if let Work::Idle(listener) = &mut self.work
            && let Some(listener) = listener.take()
        {
            self.listen(listener);
        }
    }

    /// The listener, for a process that has handed everything over: neither its path nor its lock is given up.
    pub fn into_listener(mut self) -> Option<Listener> {
        self.holding.cancel();
        self.listener_back().map(|listener| *listener)
    }

    fn listener_back(&mut self) -> Option<Box<Listener>> {
        match mem::replace(&mut self.work, Work::Idle(None)) {
            Work::Busy(work) => work.now_or_never().map(|(listener, _)| listener),
            Work::Idle(listener) => listener,
        }
    }

    /// Gives up the path and aborts the handshakes. Returns the connections that were not yielded yet.
    pub(crate) fn finish(mut self) -> Vec<Handle<M>> {
        self.work = Work::Idle(None);
        std::iter::from_fn(|| self.entered.try_next()).collect()
    }

    fn accept(&mut self, stream: UnixStream, permit: ConnectionPermit) {
        let (make, handler) = (self.make.clone(), self.handler.clone());
        let span = permit.span();
        let entrance = self.entered.entrance();
        let closing = self.closing.clone();
        let accepting = accept(make, handler.clone(), stream, permit, entrance, closing);
        // What a panic leaves behind is dropped, not used again.
        let accepting = AssertUnwindSafe(accepting);
        let accepting = accepting.catch_unwind().map(move |accepted| {
            if let Err(panic) = accepted {
                let error = AcceptPanicked::new(&*panic);
                tracing::warn!(%error, "an accepted connection did not become a peer");
                handler.panicked(error);
            }
        });
        self.handshakes.spawn(accepting.instrument(span));
    }
}

/// The output of `work`, unless the acceptor closes before.
async fn unless<T>(closing: CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(closing.cancelled()), pin!(work)).await {
        Either::Left(_) => None,
        Either::Right((done, _)) => Some(done),
    }
}

/// Sees one accepted stream through its handshake, and hands it over.
async fn accept<S, A, M>(
    make: S,
    handler: A,
    stream: UnixStream,
    permit: ConnectionPermit,
    entrance: Entrance<M>,
    closing: CancellationToken,
) where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
{
    let accepted = pin!(async {
        match make.oneshot(UnixTarget::Accepted(stream)).await {
            Ok(mut channel) => {
                // An error is the end of the connection, which its queue meets and reports.
                let _ = admit(&mut channel).await;
                handler.accept(channel, permit, entrance).await;
            }
            Err(error) => handler.accept_failed(error),
        }
    });
    let grace = pin!(async {
        closing.cancelled().await;
        sleep(HANDSHAKE_GRACE).await;
    });
    select(accepted, grace).await;
}

/// Where there is no handshake, the peer learns so that it is served.
async fn admit<C: Channel<M>, M>(channel: &mut C) -> Result<(), C::Error> {
    poll_fn(|cx| channel.poll_admission(cx, Admission::Grant)).await?;
    poll_fn(|cx| channel.poll_flush(cx)).await
}

impl<S, A, M> fmt::Debug for Acceptor<S, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("handshakes", &self.handshakes.len())
            .finish_non_exhaustive()
    }
}
