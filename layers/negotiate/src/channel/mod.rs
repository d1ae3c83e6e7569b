//! The channel that listens or connects, and changes role.
//!
//! In: messages for the others: for the one we are connected to, or for all who are connected to
//! us. Out: what comes in on the connection that we have made; what comes in on accepted ones goes
//! to the [`Host`]'s handlers. May touch: the maker below, the path, tokio's clock.
//!
//! The [machine](crate::machine) decides; here its effects are carried out, whichever side the
//! channel is polled from, so that a handler that waits to send does not stop the negotiation.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, BoxError, Chain, Channel, ConnectionInfo, DisconnectReason, Inbound, Message,
    SharedError, SocketPath, WireVersion,
};
use kyneta_uds_unix::{
    Allow, BindError, Listener, NotAllowed, ReplacementWatch, UnixTarget, replacement::Sighting,
};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::ServiceExt as _;
use tower_service::Service;

use crate::{
    accept_handler::Host,
    acceptor::{Event, Listening},
    classify,
    fan_out::Hub,
    layer::Settings,
    machine::{Bind, Effect, Effects, Input, Negotiation, Probe, Role, Why},
    role_wait::Waiting,
    role_watch::Roles,
};

/// How long a listener may take to say that it serves a connection.
const ADMISSION: Duration = Duration::from_secs(5);

/// The listener has lost the path, and what was called did not go out to it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the listener has lost the path to another one, and has not taken all within {PARTING:?}")]
struct Moved;

/// The listener accepts, and has not said that it serves the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the listener has not admitted the connection within {ADMISSION:?}: it is stopped, or a program of another kind"
)]
struct NotAdmitted;

/// How long the rest of a connection may take that is over: what was called, to go out to one who has
/// ended its own direction; or what was said, to come in from one who takes no more.
const PARTING: Duration = Duration::from_millis(500);

/// A connection that is over sooner was none: somebody accepts, and lets go at once.
const BRIEF: Duration = Duration::from_millis(100);

/// After so long without a word of a lost path it is ours: what was in the way has been moved aside.
const QUIET: Duration = Duration::from_secs(2);

/// Such a connection, after so many in a row to one process, is being turned away.
const PATIENT: u8 = 2;

/// A maker of channels of `M` over Unix streams: any stack up to there.
#[diagnostic::on_unimplemented(
    message = "this stack does not make channels that can listen or connect: `{Self}`",
    label = "not a maker of channels of `{M}` over Unix streams",
    note = "below a `NegotiateLayer`, from the top: `HandshakeLayer` if the peers are to introduce themselves, any layers of yours, `CborLayer`, `FramingLayer`, then a connector such as `UnixConnector`"
)]
pub trait Maker<M>:
    Service<
        UnixTarget,
        Response = Self::Channel,
        Error = Self::MakeError,
        Future: Future<Output = Result<Self::Channel, Self::MakeError>> + Send,
    > + Reusable
    + Send
    + 'static
{
    /// What it makes.
    type Channel: Channel<M, Future: Send, Error: Send> + Send + 'static;
    /// Why it could not.
    type MakeError: Into<BoxError> + Send;
}

impl<S, M> Maker<M> for S
where
    S: Service<UnixTarget, Error: Into<BoxError> + Send, Future: Send> + Reusable + Send + 'static,
    S::Response: Channel<M, Future: Send, Error: Send> + Send + 'static,
{
    type Channel = S::Response;
    type MakeError = S::Error;
}

/// `Clone`, and a sentence where it is missing: a peer connects time and again and accepts many at
/// once, and each takes a clone of the stack below it.
#[diagnostic::on_unimplemented(
    message = "this stack makes channels one at a time, and cannot be cloned for each connection: `{Self}`",
    label = "a layer below the `NegotiateLayer` is not `Clone`",
    note = "tower's `rate_limit` is one: put tower's `buffer` directly above it, whose clones share it"
)]
pub trait Reusable: Clone {}

#[diagnostic::do_not_recommend]
impl<S: Clone> Reusable for S {}

/// A channel to the others on a path, whoever of them listens. Made by
/// [`NegotiateLayer`](crate::NegotiateLayer); it never ends by itself.
pub struct Negotiated<S, A, M>
where
    S: Maker<M>,
    A: Host<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    path: SocketPath,
    maker: S,
    host: A,
    settings: Settings,
    roles: Roles,
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
enum Done<S: Maker<M>, M> {
    Probed(Result<(S::Channel, Sighting), BoxError>),
    Bound(Result<Box<Listener>, BindError>),
    Waited,
}

enum Seat<S: Maker<M>, A, M> {
    Vacant,
    Connected(S::Channel),
    /// The other side has ended its direction; ours is flushed.
    Parting(S::Channel, Pin<Box<Sleep>>),
    /// The path is another's; ours is flushed and ended.
    Moving(S::Channel, Pin<Box<Sleep>>),
    Listening(Box<Listening<S, A, M>>, Hub<M>),
    /// The path is given up; what waits for the members is sent.
    Leaving(Hub<M>),
}

// Nothing in it is pinned in place.
impl<S, A, M> Unpin for Negotiated<S, A, M>
where
    S: Maker<M>,
    A: Host<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
}

impl<S, A, M> Negotiated<S, A, M>
where
    S: Maker<M>,
    A: Host<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    pub(crate) fn new(
        path: SocketPath,
        maker: S,
        host: A,
        settings: Settings,
        roles: Roles,
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

    fn listened(&mut self, event: Event<M>) {
        match event {
            Event::Joined(member) => {
                self.in_company = true;
                if let Seat::Listening(_, hub) = &mut self.seat {
                    hub.add(member);
                }
            }
            Event::PathFree => self.tell(Input::PathFree),
            Event::PathLost => self.tell(Input::PathLost),
            Event::Restored(Ok(())) => {
                self.found();
                self.tell(Input::Restored(Bind::Done));
            }
            Event::Restored(Err(error)) => {
                let bind = classify::of_bind(&error);
                self.tell_with(Input::Restored(bind), error);
                if self.role() == Role::Listener {
                    self.not_found();
                }
            }
        }
    }

    /// The listener's path is not its own, which is tried again and again.
    fn not_found(&mut self) {
        let since = self.missing.take();
        let since = since.map_or_else(Instant::now, |(since, _)| since);
        self.missing = Some((since, Box::pin(sleep(QUIET))));
        let waiting = Waiting::new(Why::InTheWay, since, self.failure.clone());
        self.roles.wait(waiting);
    }

    /// The listener's path is its own again.
    fn found(&mut self) {
        if self.missing.take().is_some() {
            self.failure = None;
            self.roles.found();
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
                let listening = Listening::new(listener, self.maker.clone(), self.host.clone());
                let hub = Hub::new(self.settings.regroup, self.in_company);
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

    fn tell(&mut self, input: Input) {
        let effects = self.machine.on(input, fastrand::f64());
        self.carry_out(effects, None);
    }

    /// As [`tell`](Self::tell), with what there is to report.
    fn tell_with(&mut self, input: Input, error: impl Into<BoxError>) {
        let effects = self.machine.on(input, fastrand::f64());
        self.carry_out(effects, Some(error.into()));
    }

    fn carry_out(&mut self, effects: Effects, error: Option<BoxError>) {
        if let Some(error) = error {
            self.failure = Some(SharedError::new(error));
            if let Some(why) = self.machine.why() {
                let waiting = Waiting::new(why, self.vacant, self.failure.clone());
                self.roles.wait_on(waiting);
            }
        }
        for effect in effects {
            match effect {
                Effect::Probe => {
                    let (maker, path) = (self.maker.clone(), self.path.clone());
                    let allow = self.settings.allowed_listener();
                    self.work = Some(Box::pin(async move {
                        Done::Probed(probe(maker, path, allow).await)
                    }));
                }
                Effect::Bind => {
                    let (options, path) = (self.settings.listener.clone(), self.path.clone());
                    self.work = Some(Box::pin(async move {
                        Done::Bound(options.bind(path).await.map(Box::new))
                    }));
                }
                Effect::Wait(wait) => {
                    self.work = Some(Box::pin(async move {
                        sleep(wait).await;
                        Done::Waited
                    }));
                }
                Effect::Restore => {
                    if let Seat::Listening(listening, _) = &mut self.seat {
                        listening.restore();
                    }
                }
                Effect::StopListening => self.stop_listening(),
                // When we leave for good, the connection is ended by `poll_close`.
                Effect::Disconnect if self.role() == Role::Disposed => {}
                Effect::Disconnect => self.seat = Seat::Vacant,
                Effect::Part => {
                    if let Seat::Connected(channel) =
                        std::mem::replace(&mut self.seat, Seat::Vacant)
                    {
                        self.seat = Seat::Moving(channel, Box::pin(sleep(PARTING)));
                    }
                }
                Effect::Report => {
                    if let Some(error) = self.failure.clone() {
                        self.roles.refuse(error.clone());
                        self.host.refused(&error);
                    }
                }
                Effect::Remind(pause) => self.remind = Some(Box::pin(sleep(pause))),
                Effect::Waiting(why) => {
                    let waiting = Waiting::new(why, self.vacant, self.failure.clone());
                    let waited = waiting.waited.as_millis() as u64;
                    tracing::warn!(path = %self.path, waited_ms = waited, "no role yet: {waiting}");
                    self.roles.wait(waiting.clone());
                    self.host.waiting(&waiting);
                }
                Effect::Announce(role) => {
                    self.missing = None;
                    if role != Role::Negotiating {
                        (self.remind, self.failure) = (None, None);
                    }
                    if role == Role::Listener {
                        // What was brief before it is over.
                        self.brief = (0, None);
                    }
                    if role == Role::Negotiating && self.brief.0 == 0 {
                        self.vacant = Instant::now();
                    }
                    tracing::info!(path = %self.path, %role, "role");
                    self.roles.announce(role);
                    self.host.announced(role);
                }
            }
        }
        if self.role() == Role::Disposed {
            self.work = None;
        }
    }

    /// The path first: who comes now must not find a door behind which nobody opens.
    fn stop_listening(&mut self) {
        if let Seat::Listening(listening, mut hub) = std::mem::replace(&mut self.seat, Seat::Vacant)
        {
            listening
                .close()
                .into_iter()
                .for_each(|member| hub.add(member));
            if self.role() == Role::Disposed {
                hub.expect_nobody();
                self.seat = Seat::Leaving(hub);
            } else {
                // The members get what waits for them, and then negotiate as we do.
                hub.close();
            }
        }
    }

    /// Ready, once, when the path has another listener than ours.
    fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.watch {
            Some(watch) => ready!(watch.poll_replaced(cx)),
            None => return Poll::Pending,
        }
        self.watch = None;
        tracing::info!(path = %self.path, "another process listens at the path: moving to it");
        Poll::Ready(())
    }

    /// The connection is at its end; what was called on it is lost if there is a reason.
    fn vacate(&mut self, lost: Option<DisconnectReason>) {
        self.seat = Seat::Vacant;
        self.watch = None;
        self.loss = lost.or(self.loss.take());
        if self.role() == Role::Connector {
            self.brief = match self.since.take() {
                // Another process each time is one that takes over and dies.
                Some((since, pid)) if since.elapsed() < BRIEF && pid == self.brief.1 => {
                    // In place of no end, a round of 64: each round is told of once.
                    (self.brief.0.checked_add(1).unwrap_or(u8::MAX - 63), pid)
                }
                Some((_, pid)) => (0, pid),
                None => (0, None),
            };
            self.tell(match self.brief.0 {
                times @ PATIENT.. => Input::TurnedAway { times: times - 1 },
                _ => Input::ConnectionLost,
            });
        }
    }

    /// Writing has failed: nothing more goes out here, but what came in is still read.
    fn break_off(&mut self, cx: &mut Context<'_>, error: impl Into<BoxError>) {
        self.leave_behind(cx, Some(DisconnectReason::error(error)));
    }

    /// Nothing more goes out on the connection; what came in is still read.
    fn leave_behind(&mut self, cx: &mut Context<'_>, lost: Option<DisconnectReason>) {
        if let Seat::Connected(channel) | Seat::Moving(channel, _) =
            std::mem::replace(&mut self.seat, Seat::Vacant)
        {
            self.remnant = Some((channel, Box::pin(sleep(PARTING))));
            self.vacate(lost);
            cx.waker().wake_by_ref();
        }
    }
}

/// A drop without a close, with the driver, by a panic or with the runtime, is the end of the role, and
/// `Roles` outlive it.
impl<S, A, M> Drop for Negotiated<S, A, M>
where
    S: Maker<M>,
    A: Host<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    fn drop(&mut self) {
        if self.role() != Role::Disposed {
            self.tell(Input::Dispose);
        }
    }
}

/// Connects, and waits until the listener, if it is one to deal with, has said that it serves the
/// connection.
async fn probe<S: Maker<M>, M>(
    maker: S,
    path: SocketPath,
    allow: Allow,
) -> Result<(S::Channel, Sighting), BoxError> {
    let before = Sighting::of(&path);
    let mut channel = maker.oneshot(path.into()).await.map_err(Into::into)?;
    let credentials = channel.connection().credentials;
    if !allow.allows(credentials) {
        return Err(NotAllowed { credentials }.into());
    }
    let admission = poll_fn(|cx| channel.poll_admission(cx, Admission::Await));
    match timeout(ADMISSION, admission).await {
        Ok(admitted) => admitted.map_err(Into::into)?,
        Err(_) => return Err(NotAdmitted.into()),
    }
    Ok((channel, before))
}

impl<S, A, M> Service<M> for Negotiated<S, A, M>
where
    S: Maker<M>,
    A: Host<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    type Response = ();
    type Error = BoxError;
    type Future = Called<<S::Channel as Service<M>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !matches!(self.seat, Seat::Connected(_)) {
            self.advance(cx);
        }
        match &mut self.seat {
            _ if self.loss.is_some() => Poll::Pending,
            Seat::Connected(channel) => match channel.poll_ready(cx) {
                Poll::Ready(Err(error)) => {
                    self.break_off(cx, error);
                    Poll::Pending
                }
                ready => ready.map_err(Into::into),
            },
            Seat::Listening(_, hub) | Seat::Leaving(hub) => hub.poll_ready(cx).map(Ok),
            Seat::Vacant if self.machine.role() == Role::Disposed => {
                Poll::Ready(Err(DisconnectReason::Intentional.into()))
            }
            Seat::Vacant | Seat::Parting(..) | Seat::Moving(..) => Poll::Pending,
        }
    }

    fn call(&mut self, msg: M) -> Self::Future {
        match &mut self.seat {
            Seat::Connected(channel) => Called::Below(channel.call(msg)),
            Seat::Listening(_, hub) | Seat::Leaving(hub) => {
                hub.call(msg);
                Called::Done
            }
            Seat::Vacant | Seat::Parting(..) | Seat::Moving(..) => Called::Unready,
        }
    }
}

impl<S, A, M> Stream for Negotiated<S, A, M>
where
    S: Maker<M>,
    A: Host<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    type Item = Result<Inbound<M>, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some((remnant, deadline)) = &mut this.remnant {
            match Pin::new(remnant).poll_next(cx) {
                Poll::Ready(Some(Ok(inbound))) => return Poll::Ready(Some(Ok(inbound))),
                Poll::Pending if deadline.as_mut().poll(cx).is_pending() => {}
                _ => this.remnant = None,
            }
        }
        loop {
            this.heed(cx);
            match &mut this.seat {
                Seat::Connected(channel) => match Pin::new(channel).poll_next(cx) {
                    Poll::Ready(Some(Ok(inbound))) => return Poll::Ready(Some(Ok(inbound))),
                    Poll::Ready(Some(Err(error))) => {
                        this.vacate(Some(DisconnectReason::error(error)));
                    }
                    Poll::Ready(None) => {
                        let seat = std::mem::replace(&mut this.seat, Seat::Vacant);
                        if let Seat::Connected(channel) = seat {
                            this.seat = Seat::Parting(channel, Box::pin(sleep(PARTING)));
                        }
                    }
                    // Looked at when there is nothing to read: not once a message.
                    Poll::Pending => {
                        ready!(this.poll_replaced(cx));
                        this.tell(Input::PathMoved);
                    }
                },
                Seat::Vacant if this.machine.role() == Role::Disposed => return Poll::Ready(None),
                _ => {
                    if let Seat::Moving(channel, _) = &mut this.seat
                        && let Poll::Ready(Some(Ok(inbound))) = Pin::new(channel).poll_next(cx)
                    {
                        return Poll::Ready(Some(Ok(inbound)));
                    }
                    this.advance(cx);
                    if !matches!(this.seat, Seat::Connected(_)) && this.role() != Role::Disposed {
                        return Poll::Pending;
                    }
                    if let Seat::Leaving(_) | Seat::Parting(..) | Seat::Moving(..) = this.seat {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl<S, A, M> Channel<M> for Negotiated<S, A, M>
where
    S: Maker<M>,
    A: Host<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !matches!(self.seat, Seat::Connected(_)) {
            self.advance(cx);
        }
        match &mut self.seat {
            _ if self.loss.is_some() => Poll::Pending,
            Seat::Connected(channel) => match channel.poll_flush(cx) {
                Poll::Ready(Err(error)) => {
                    self.break_off(cx, error);
                    Poll::Pending
                }
                flushed => flushed.map_err(Into::into),
            },
            Seat::Listening(_, hub) | Seat::Leaving(hub) => hub.poll_flush(cx).map(Ok),
            Seat::Parting(..) | Seat::Moving(..) => Poll::Pending,
            Seat::Vacant => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.role() != Role::Disposed {
            self.tell(Input::Dispose);
        }
        match &mut self.seat {
            Seat::Connected(channel) | Seat::Moving(channel, _) => {
                channel.poll_close(cx).map_err(Into::into)
            }
            Seat::Leaving(hub) => {
                hub.close();
                ready!(hub.poll_closed(cx));
                self.seat = Seat::Vacant;
                Poll::Ready(Ok(()))
            }
            _ => {
                self.seat = Seat::Vacant;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn buffered(&self) -> usize {
        match &self.seat {
            Seat::Connected(channel) | Seat::Parting(channel, _) | Seat::Moving(channel, _) => {
                channel.buffered()
            }
            Seat::Listening(_, hub) | Seat::Leaving(hub) => usize::from(!hub.is_flushed()),
            Seat::Vacant => 0,
        }
    }

    /// Each connection below is admitted before it is used.
    fn poll_admission(&mut self, _: &mut Context<'_>, _: Admission) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn worked(&self) -> u64 {
        match &self.seat {
            Seat::Connected(channel) | Seat::Parting(channel, _) | Seat::Moving(channel, _) => {
                channel.worked()
            }
            _ => 0,
        }
    }

    fn connection(&self) -> ConnectionInfo {
        match &self.seat {
            Seat::Connected(channel) | Seat::Parting(channel, _) | Seat::Moving(channel, _) => {
                channel.connection()
            }
            _ => ConnectionInfo::default(),
        }
    }

    /// Which wire version an attempt begins with is the maker's to say.
    fn begin_with(&mut self, _wire: WireVersion) -> bool {
        false
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.loss.take()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        if let Seat::Connected(channel) | Seat::Moving(channel, _) = &mut self.seat {
            channel.interrupt(reason.clone());
            self.vacate(Some(reason));
        }
        true
    }
}

/// What becomes of a call on a [`Negotiated`] channel.
#[pin_project(project = CalledState)]
#[derive(Debug)]
pub enum Called<F> {
    /// The connection's own.
    Below(#[pin] F),
    /// It is in the queues of all who were there.
    Done,
    /// There was no `poll_ready`.
    Unready,
}

impl<F, E> Future for Called<F>
where
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            CalledState::Below(below) => below.poll(cx).map_err(Into::into),
            CalledState::Done => Poll::Ready(Ok(())),
            CalledState::Unready => Poll::Ready(Err("called while nobody is connected".into())),
        }
    }
}

impl<S, A, M> fmt::Debug for Negotiated<S, A, M>
where
    S: Maker<M>,
    A: Host<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiated")
            .field("path", &self.path)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}
