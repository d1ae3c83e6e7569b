//! The channel that listens or connects, and changes role.
//!
//! In: messages to send: to the listener we are connected to, or to all peers that are connected to us.
//! Out: what comes in on the connection that this side made; what comes in on accepted ones goes to the
//! [`AcceptHandler`]. May touch: the make service below, the path, tokio's clock.
//!
//! The [machine](crate::machine) decides. `effects` carries out what it says, whichever of the `polls` the
//! channel is driven by, so that a handler that waits to send does not stop the negotiation.

mod effects;
mod polls;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{
    BoxError, Chain, Channel, DisconnectReason, Message, SharedError, SocketPath,
};
use kyneta_uds_unix::{BindError, Listener, ReplacementWatch, replacement::Sighting};
use tokio::time::{Instant, Sleep};

use crate::{
    accept_handler::AcceptHandler,
    acceptor::Acceptor,
    classify,
    fan_out::FanOut,
    machine::{Bind, Input, Negotiation, Probe, Role},
    make_channel::MakeChannel,
    role_watch::RoleWatch,
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

/// A path that could not be restored counts as restored when it was not reported lost for this long.
const RESTORED_AFTER: Duration = Duration::from_secs(2);

/// After this many short connections in a row to one process, the next one counts as rejected.
const MAX_SHORT_CONNECTIONS: u8 = 2;

/// A channel to the others on a path, whoever of them listens. Made by
/// [`NegotiateLayer`](crate::NegotiateLayer); it never ends by itself.
pub struct Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    path: SocketPath,
    maker: S,
    host: A,
    settings: Settings,
    roles: RoleWatch,
    /// Ready when we are asked to leave.
    leaving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    machine: Negotiation,
    work: Option<Work<S, M>>,
    seat: Seat<S, A, M>,
    /// Writing to it has failed; what it said before is still read, for a while.
    remnant: Option<(S::Channel, Pin<Box<Sleep>>)>,
    loss: Option<DisconnectReason>,
    /// Somebody has been connected to us, or we to somebody.
    in_company: bool,
    /// When the connection was made, and to which process.
    since: Option<(Instant, Pid)>,
    /// Brief connections in a row to one process, after the first.
    brief: (u8, Pid),
    /// Tells when another socket has taken the place of our listener's.
    watch: Option<ReplacementWatch>,
    /// Since when there is no role; a brief connection is none.
    vacant: Instant,
    /// When it is to be said why there is none.
    remind: Option<Pin<Box<Sleep>>>,
    /// What the last attempt failed with.
    failure: Option<SharedError>,
    /// As the listener: since when the path could not be restored, and when it is taken to be ours again
    /// unless that fails once more.
    missing: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// Of the process at the other end, where the kernel tells.
type Pid = Option<i32>;

type Work<S, M> = Pin<Box<dyn Future<Output = Done<S, M>> + Send>>;

/// What the one thing under way came to.
enum Done<S: MakeChannel<M>, M> {
    Probed(Result<(S::Channel, Sighting), BoxError>),
    Bound(Result<Box<Listener>, BindError>),
    Waited,
}

enum Seat<S: MakeChannel<M>, A, M> {
    Vacant,
    Connected(S::Channel),
    /// The other side has ended its direction; ours is flushed.
    Parting(S::Channel, Pin<Box<Sleep>>),
    /// The path is another's; ours is flushed and ended.
    Moving(S::Channel, Pin<Box<Sleep>>),
    Listening(Box<Acceptor<S, A, M>>, FanOut<M>),
    /// The path is given up; what waits for the members is sent.
    Leaving(FanOut<M>),
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
    pub(crate) fn new(
        path: SocketPath,
        maker: S,
        host: A,
        settings: Settings,
        roles: RoleWatch,
    ) -> Self {
        let leaving = Box::pin(roles.leaving().clone().cancelled_owned());
        let mut this = Self {
            path,
            maker,
            host,
            settings,
            roles,
            leaving: Some(leaving),
            machine: Negotiation::new(),
            work: None,
            seat: Seat::Vacant,
            remnant: None,
            loss: None,
            in_company: false,
            since: None,
            brief: (0, None),
            watch: None,
            vacant: Instant::now(),
            remind: None,
            failure: None,
            missing: None,
        };
        this.tell(Input::Start);
        this
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.machine.role()
    }

    /// Carries on with whatever is under way.
    fn advance(&mut self, cx: &mut Context<'_>) {
        loop {
            self.heed(cx);
            match &mut self.seat {
                Seat::Listening(listening, hub) => {
                    hub.reap(cx);
                    if let Poll::Ready(event) = listening.poll(cx) {
                        self.listened(event);
                        continue;
                    }
                }
                Seat::Parting(channel, deadline) => {
                    let lost = match channel.poll_flush(cx) {
                        Poll::Ready(flushed) => flushed.is_err(),
                        Poll::Pending if deadline.as_mut().poll(cx).is_ready() => true,
                        Poll::Pending => return,
                    };
                    self.vacate(lost.then_some(DisconnectReason::Closed));
                    continue;
                }
                Seat::Moving(channel, deadline) => {
                    let ended = match channel.poll_close(cx) {
                        Poll::Ready(ended) => ended.map_err(DisconnectReason::error),
                        Poll::Pending if deadline.as_mut().poll(cx).is_ready() => {
                            Err(DisconnectReason::error(Moved))
                        }
                        Poll::Pending => return,
                    };
                    self.leave_behind(cx, ended.err());
                    continue;
                }
                _ => {}
            }
            if let Some((_, quiet)) = &mut self.missing
                && quiet.as_mut().poll(cx).is_ready()
            {
                self.found();
                self.tell(Input::Restored(Bind::Done));
                continue;
            }
            if let Some(remind) = &mut self.remind
                && remind.as_mut().poll(cx).is_ready()
            {
                self.remind = None;
                self.tell(Input::Overdue);
                continue;
            }
            let Some(work) = &mut self.work else { return };
            let Poll::Ready(done) = work.as_mut().poll(cx) else {
                return;
            };
            self.work = None;
            self.done(done);
        }
    }

    /// Leaves if asked to; who negotiates still gets out what waits.
    fn heed(&mut self, cx: &mut Context<'_>) {
        if let Some(leaving) = &mut self.leaving
            && leaving.as_mut().poll(cx).is_ready()
        {
            self.leaving = None;
        }
        if self.leaving.is_none() && matches!(self.role(), Role::Listener | Role::Connector) {
            self.tell(Input::Dispose);
        }
    }

    fn done(&mut self, done: Done<S, M>) {
        match done {
            Done::Waited => self.tell(Input::TimerFired),
            Done::Probed(Ok((channel, before))) => {
                self.in_company = true;
                let credentials = channel.connection().credentials;
                let pid = credentials.and_then(|credentials| credentials.pid);
                self.since = Some((Instant::now(), pid));
                let watch = ReplacementWatch::new(&self.path, before, pid);
                self.watch = Some(watch.allow(self.settings.allowed_listener()));
                self.seat = Seat::Connected(channel);
                self.tell(Input::Probed(Probe::Joined));
            }
            Done::Probed(Err(error)) => {
                let probe = classify::of_probe(&*error);
                tracing::debug!(error = %Chain(&*error), ?probe, "probed");
                self.tell_with(Input::Probed(probe), error);
            }
            Done::Bound(Ok(listener)) => {
                if let Some(risk) = listener.risk() {
                    self.host.at_risk(risk);
                }
                let listening = Acceptor::new(listener, self.maker.clone(), self.host.clone());
                let hub = FanOut::new(self.settings.regroup, self.in_company);
                self.seat = Seat::Listening(Box::new(listening), hub);
                self.tell(Input::Bound(Bind::Done));
            }
            Done::Bound(Err(error)) => {
                let bind = classify::of_bind(&error);
                tracing::debug!(error = %Chain(&error), ?bind, "bound");
                self.tell_with(Input::Bound(bind), error);
            }
        }
    }
}

/// A drop without a close, with the driver, by a panic or with the runtime, is the end of the role, and
/// `RoleWatch` outlive it.
impl<S, A, M> Drop for Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    fn drop(&mut self) {
        if self.role() != Role::Disposed {
            self.tell(Input::Dispose);
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
