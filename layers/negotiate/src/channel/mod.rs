//! The channel that listens or connects, and changes role.
//!
//! In: messages to send: to the listener we are connected to, or to all peers that are connected to us.
//! Out: messages received on the connection that this side made; those received on accepted ones go to the
//! [`AcceptHandler`]. May touch: the make service below, the path, tokio's clock.
//!
//! The [machine](crate::machine) decides, and `effects` carries out its decisions. Each of the `polls` does so,
//! so that a handler that waits to send does not stop the negotiation.

mod effects;
mod hold;
mod polls;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use kyneta_uds_core::{
    BoxError, Chain, Channel, DisconnectReason, HalfClose, HalfClosed, Message, SharedError,
    SocketPath,
};
use kyneta_uds_unix::{BindError, Listener, ReplacementWatch, replacement::Sighting};
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    accept_handler::AcceptHandler,
    acceptor::Acceptor,
    classify,
    fan_out::FanOut,
    holding::Holding,
    machine::{Bind, Input, Negotiation, Probe, Role},
    make_channel::MakeChannel,
    settings::Settings,
};

/// The listener has lost the path, and what was called did not go out to it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the listener has lost the path to another one, and has not taken all within {HALF_CLOSE_TIMEOUT:?}"
)]
struct Moved;

/// How long a half-closed connection may take: to flush what was called, or to read what the peer sent.
const HALF_CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Connections shorter than this do not count as established: the listener accepted and closed at once.
const MIN_LIFETIME: Duration = Duration::from_millis(100);

/// After this many short connections in a row to one process, the next one counts as rejected.
const MAX_SHORT_CONNECTIONS: u8 = 2;

/// A channel to the other peers at a path, whichever of them listens. Made by
/// [`NegotiateLayer`](crate::NegotiateLayer); it never ends by itself.
pub struct Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    path: SocketPath,
    make: S,
    settings: Settings<A>,
    /// Ready when this peer is asked to leave.
    leave: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    machine: Negotiation,
    work: Option<Work<S, M>>,
    link: Link<S, A, M>,
    /// The former connection: nothing more is written to it; what its peer has sent is read.
    former: Option<Half<S::Channel>>,
    /// Of a listener that another process may take over from.
    holding: Option<Holding>,
    /// A loss that has not been reported.
    loss: Option<DisconnectReason>,
    /// There has been a connection, made or accepted.
    had_peers: bool,
    /// When the connection was made, and to which process.
    connected: Option<(Instant, Pid)>,
    /// Short connections in a row to one process, after the first.
    short: (u8, Pid),
    /// Ready when another socket has taken the place of our listener's.
    replacement: Option<ReplacementWatch>,
    /// Start of the time without a role. Short connections are part of it.
    no_role_since: Instant,
    /// When to report why there is none.
    remind: Option<Pin<Box<Sleep>>>,
    /// Error of the last attempt.
    failure: Option<SharedError>,
}

/// Of the process at the other end, where the kernel reports it.
type Pid = Option<i32>;

type Half<C> = HalfClosed<C, Pin<Box<Sleep>>>;

type Work<S, M> = Pin<Box<dyn Future<Output = Done<S, M>> + Send>>;

/// Result of the work under way.
enum Done<S: MakeChannel<M>, M> {
    Probed(Result<(S::Channel, Sighting), BoxError>),
    Bound(Result<Box<Listener>, BindError>),
    Waited,
}

/// What messages go to.
enum Link<S: MakeChannel<M>, A, M> {
    Idle,
    Connected(S::Channel),
    HalfClosed(Half<S::Channel>),
    Listening(Box<Acceptor<S, A, M>>, FanOut<M>),
    /// The path is given up; what is queued for the members is sent.
    Draining(FanOut<M>),
}

impl<S: MakeChannel<M>, A, M> Link<S, A, M> {
    const fn channel(&self) -> Option<&S::Channel> {
        match self {
            Self::Connected(channel) => Some(channel),
            Self::HalfClosed(half) => Some(half.get_ref()),
            _ => None,
        }
    }

    const fn channel_mut(&mut self) -> Option<&mut S::Channel> {
        match self {
            Self::Connected(channel) => Some(channel),
            Self::HalfClosed(half) => Some(half.get_mut()),
            _ => None,
        }
    }

    /// Takes the connection out, half-closed.
    fn take(&mut self, state: HalfClose) -> Option<Half<S::Channel>> {
        let channel = match mem::replace(self, Self::Idle) {
            Self::Connected(channel) => channel,
            Self::HalfClosed(half) => half.into_inner(),
            other => {
                *self = other;
                return None;
            }
        };
        let deadline = Box::pin(sleep(HALF_CLOSE_TIMEOUT));
        Some(HalfClosed::new(channel, state, deadline))
    }

    fn half_close(&mut self, state: HalfClose) {
        if let Some(half) = self.take(state) {
            *self = Self::HalfClosed(half);
        }
    }
}

// Nothing in it is pinned in place.
impl<S, A, M> Unpin for Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
}

impl<S, A, M> Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    pub(crate) fn new(path: SocketPath, make: S, settings: Settings<A>) -> Self {
        let mut this = Self::idle(path, make, settings);
        this.feed(Input::Start);
        this
    }

    fn idle(path: SocketPath, make: S, settings: Settings<A>) -> Self {
        let leave = Box::pin(settings.role_watch.leaving().clone().cancelled_owned());
        let machine = Negotiation::new();
        let machine = match settings.only {
            Some(only) => machine.only(only),
            None => machine,
        };
        Self {
            path,
            make,
            settings,
            leave: Some(leave),
            machine,
            work: None,
            link: Link::Idle,
            former: None,
            holding: None,
            loss: None,
            had_peers: false,
            connected: None,
            short: (0, None),
            replacement: None,
            no_role_since: Instant::now(),
            remind: None,
            failure: None,
        }
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.machine.role()
    }

    /// Drives all that is under way, but reading.
    fn advance(&mut self, cx: &mut Context<'_>) {
        loop {
            self.check_leave(cx);
            match &mut self.link {
                Link::Listening(acceptor, fan_out) => {
                    fan_out.reap(cx);
                    if let Poll::Ready(order) = self.settings.role_watch.orders().poll(cx) {
                        self.on_order(order);
                        continue;
                    }
                    if let Poll::Ready(event) = acceptor.poll_next(cx) {
                        self.on_acceptor_event(event);
                        continue;
                    }
                    if let Some(holding) = &mut self.holding {
                        holding.poll_settled(cx, acceptor.handshakes());
                    }
                }
                Link::HalfClosed(half) => {
                    let Poll::Ready(end) = half.poll_write(cx) else {
                        return;
                    };
                    self.half_closed(cx, end);
                    continue;
                }
                _ => {}
            }
            if let Some(remind) = &mut self.remind
                && remind.as_mut().poll(cx).is_ready()
            {
                self.remind = None;
                self.feed(Input::Overdue);
                continue;
            }
            let Some(work) = &mut self.work else { return };
            let Poll::Ready(done) = work.as_mut().poll(cx) else {
                return;
            };
            self.work = None;
            self.on_done(done);
        }
    }

    /// Leaves when asked to. While negotiating it waits for a role: what is queued is to go out.
    fn check_leave(&mut self, cx: &mut Context<'_>) {
        if self.holding.is_some() {
            return;
        }
        if let Some(leave) = &mut self.leave
            && leave.as_mut().poll(cx).is_ready()
        {
            self.leave = None;
        }
        if self.leave.is_none() && matches!(self.role(), Role::Listener | Role::Connector) {
            self.feed(Input::Dispose);
        }
    }

    /// Ready, once, when another socket has taken the place of our listener's.
    fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.replacement {
            Some(watch) => ready!(watch.poll_replaced(cx)),
            None => return Poll::Pending,
        }
        self.replacement = None;
        tracing::info!(path = %self.path, "another process listens at the path: moving to it");
        Poll::Ready(())
    }

    fn on_done(&mut self, done: Done<S, M>) {
        match done {
            Done::Waited => self.feed(Input::TimerFired),
            Done::Probed(Ok((channel, before))) => {
                self.had_peers = true;
                let credentials = channel.connection().credentials;
                let pid = credentials.and_then(|credentials| credentials.pid);
                self.connected = Some((Instant::now(), pid));
                let replacement = ReplacementWatch::new(&self.path, before, pid);
                self.replacement = Some(replacement.allow(self.settings.allowed_listener()));
                self.link = Link::Connected(channel);
                self.feed(Input::Probed(Probe::Joined));
            }
            Done::Probed(Err(error)) => {
                let probe = classify::of_probe(&*error);
                tracing::debug!(error = %Chain(&*error), ?probe, "probed");
                self.feed_error(Input::Probed(probe), error);
            }
            Done::Bound(Ok(listener)) => {
                self.listen(listener);
                self.feed(Input::Bound(Bind::Done));
            }
            Done::Bound(Err(error)) => {
                let bind = classify::of_bind(&error);
                tracing::debug!(error = %Chain(&error), ?bind, "bound");
                self.feed_error(Input::Bound(bind), error);
            }
        }
    }
}

/// Dropped without `poll_close`, with its driver, by a panic or with the runtime: the role ends, and a
/// [`RoleWatch`](crate::RoleWatch) reports it.
impl<S, A, M> Drop for Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    fn drop(&mut self) {
        self.leave_if_held();
        if self.role() != Role::Disposed {
            self.feed(Input::Dispose);
        }
    }
}

impl<S, A, M> fmt::Debug for Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiated")
            .field("path", &self.path)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}
