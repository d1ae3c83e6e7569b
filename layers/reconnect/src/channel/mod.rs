//! The channel: connects, passes messages, and connects again.
//!
//! In: a make service of channels and a target that can be asked for again. Out: one channel. May touch:
//! the channels below, tokio's clock (once a connection, never per message).
//!
//! The polls below pass on what a standing connection yields; `slow_path` does the rest, and
//! `effects` what the machine decides.

mod effects;
mod slow_path;

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, BoxError, ByReference, Channel, ConnectionInfo, DisconnectReason, HalfClosed,
    Inbound, Look, Redial, Run, WireVersion,
};
use tokio::time::Sleep;
use tower_service::Service;

use crate::{
    call_future::CallFuture,
    lifecycle::Lifecycle,
    machine::Input,
    policy::{Recover, Until},
};

/// A connection is useful once it has lasted this long, or with the first message that comes in.
const USEFUL_AFTER: Duration = Duration::from_secs(5);

/// How long a half-closed connection may take: to flush what was called, or to read what the peer sent.
const HALF_CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A channel that reconnects. An accepted one passes untouched and never does.
///
/// It is made at once and connects while it is polled. Without a connection `poll_ready` is pending
/// and the stream silent; both fail, with the reason, when the policy has given up. Any of its
/// `poll_*` drives it, so one owner that always polls the stream reconnects it even when idle.
///
/// * The end of a connection is not the end of the stream. What was called and not flushed may be
///   lost with it, which [`lost`](Channel::lost) then reports; when the peer has ended in good order
///   and still took all, nothing is lost and nothing reported.
/// * With a policy that [is off](Recover::is_on) it ends with its first connection, as the channel
///   below does.
/// * `poll_close` is for good. While there is no connection, it is ready at once.
/// * After `interrupt` it must be polled again.
///
/// All `poll_*` are cancel safe.
pub struct Reconnecting<S: Service<T>, T, P, M> {
    phase: Phase<S::Response, S::Future>,
    /// Absent for an accepted channel.
    origin: Option<Origin<S, T, P>>,
    /// A loss that has not been reported.
    lost: Option<DisconnectReason>,
    /// The task that waits for the loss to be reported.
    waiting: Option<Waker>,
    /// Set until the connection has proved useful.
    proving: Option<Pin<Box<Sleep>>>,
    message: PhantomData<fn(M)>,
}

/// What `poll_ready` and `poll_flush` answer.
type Written<E> = Poll<Result<(), E>>;

/// What a channel reconnects with.
struct Origin<S, T, P> {
    make: S,
    target: T,
    lifecycle: Lifecycle<P>,
}

enum Phase<C, F> {
    Connected(C),
    /// One direction has ended; the other is finished before the connection is replaced. The reason is that
    /// of a failed write.
    HalfClosed(HalfClosed<C, Pin<Box<Sleep>>>, DisconnectReason),
    /// The connection is not replaced: its end is this channel's. `true`: the peer has ended its direction.
    Last(C, bool),
    /// The make service is asked whether it is ready.
    AwaitingReady,
    Connecting(Pin<Box<F>>),
    /// The policy's wait before the next attempt.
    Waiting(Until),
    /// The policy has given up. `true`: the stream has yielded the reason.
    GivenUp(DisconnectReason, bool),
    /// Closed on purpose.
    Closed,
}

/// Nothing is pinned in place: channels are `Unpin`, and all else is boxed.
impl<S: Service<T>, T, P, M> Unpin for Reconnecting<S, T, P, M> {}

impl<S: Service<T>, T, P, M> Reconnecting<S, T, P, M> {
    pub(crate) const fn passed(channel: S::Response) -> Self {
        Self::new(Phase::Last(channel, false), None)
    }

    const fn new(phase: Phase<S::Response, S::Future>, origin: Option<Origin<S, T, P>>) -> Self {
        Self {
            phase,
            origin,
            lost: None,
            waiting: None,
            proving: None,
            message: PhantomData,
        }
    }

    /// The channel below, while there is one: the established peer is asked for there.
    pub const fn get_ref(&self) -> Option<&S::Response> {
        match &self.phase {
            Phase::Connected(channel) | Phase::Last(channel, _) => Some(channel),
            Phase::HalfClosed(half, _) => Some(half.get_ref()),
            _ => None,
        }
    }

    const fn channel(&mut self) -> Option<&mut S::Response> {
        match &mut self.phase {
            Phase::Connected(channel) | Phase::Last(channel, _) => Some(channel),
            Phase::HalfClosed(half, _) => Some(half.get_mut()),
            _ => None,
        }
    }
}

impl<S, T, P, C, M> Reconnecting<S, T, P, M>
where
    S: Service<T, Response = C, Error: Into<BoxError>>,
    C: Channel<M>,
    P: Recover,
    T: Redial,
{
    /// `poll` of the connection, if there is one and no loss to report; else of the next one. Without a
    /// connection, `idle` is ready at once.
    // Always: else `poll` is called through a pointer, twice a message.
    #[inline(always)]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        idle: bool,
        poll: fn(&mut C, &mut Context<'_>) -> Written<C::Error>,
    ) -> Written<DisconnectReason> {
        let mut failed = None;
        if let Phase::Connected(channel) | Phase::Last(channel, _) = &mut self.phase
            && self.lost.is_none()
        {
            match poll(channel, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => failed = Some(error),
            }
        }
        self.poll_out(cx, failed, idle, poll)
    }
}

impl<S, T, P, C, M> Service<M> for Reconnecting<S, T, P, M>
where
    S: Service<T, Response = C, Error: Into<BoxError>>,
    C: Channel<M>,
    P: Recover,
    T: Redial,
{
    type Response = ();
    type Error = DisconnectReason;
    type Future = CallFuture<C::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DisconnectReason>> {
        self.poll_write(cx, false, C::poll_ready)
    }

    #[inline]
    fn call(&mut self, msg: M) -> CallFuture<C::Future> {
        CallFuture::new(self.channel().map(|channel| channel.call(msg)))
    }
}

impl<S, T, P, C, M> Stream for Reconnecting<S, T, P, M>
where
    S: Service<T, Response = C, Error: Into<BoxError>>,
    C: Channel<M>,
    P: Recover,
    T: Redial,
{
    type Item = Result<Inbound<C::In>, DisconnectReason>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut ended = None;
        if let Phase::Connected(channel) | Phase::Last(channel, false) = &mut this.phase {
            match Pin::new(channel).poll_next(cx) {
                Poll::Ready(Some(Ok(inbound))) => {
                    if this.proving.is_some() {
                        this.prove(matches!(inbound, Inbound::Message(_)), cx);
                    }
                    return Poll::Ready(Some(Ok(inbound)));
                }
                Poll::Pending => {
                    if this.proving.is_some() {
                        this.prove(false, cx);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(error))) => ended = Some(Some(error)),
                Poll::Ready(None) => ended = Some(None),
            }
        }
        this.poll_in(cx, ended)
    }
}

impl<S, T, P, C, M> Channel<M> for Reconnecting<S, T, P, M>
where
    S: Service<T, Response = C, Error: Into<BoxError>>,
    C: Channel<M>,
    P: Recover,
    T: Redial,
{
    type In = C::In;

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DisconnectReason>> {
        self.poll_write(cx, true, C::poll_flush)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DisconnectReason>> {
        self.feed(Input::Stop, None);
        match &mut self.phase {
            Phase::Last(channel, _) => channel.poll_close(cx).map_err(DisconnectReason::error),
            phase => {
                *phase = Phase::Closed;
                Poll::Ready(Ok(()))
            }
        }
    }

    #[inline]
    fn buffered(&self) -> usize {
        let buffered = self.get_ref().map_or(0, C::buffered);
        // Whether the kernel took what is lost is unknown.
        buffered.max(usize::from(self.lost.is_some()))
    }

    /// For the first connection. Later ones are used without an admission.
    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), DisconnectReason>> {
        self.poll_out(
            cx,
            None,
            false,
            match admission {
                Admission::Grant => |channel, cx| channel.poll_admission(cx, Admission::Grant),
                Admission::Await => |channel, cx| channel.poll_admission(cx, Admission::Await),
            },
        )
    }

    #[inline]
    fn worked(&self) -> u64 {
        self.get_ref().map_or(0, C::worked)
    }

    fn connection(&self) -> ConnectionInfo {
        self.get_ref().map(C::connection).unwrap_or_default()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.channel()
            .is_some_and(|channel| channel.begin_with(wire))
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        let Some(reason) = self.lost.take() else {
            return self.channel().and_then(C::lost);
        };
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Some(reason)
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        let comes_back = self.comes_back();
        let interrupted = self
            .channel()
            .map(|channel| channel.interrupt(reason.clone()));
        match (&self.phase, interrupted) {
            (Phase::Connected(_) | Phase::HalfClosed(..), _) if comes_back => {
                self.lose(reason);
                true
            }
            (_, Some(interrupted)) => interrupted,
            (Phase::AwaitingReady | Phase::Connecting(_) | Phase::Waiting(_), None) => comes_back,
            (_, None) => false,
        }
    }

    #[inline]
    fn keep(&mut self) -> bool {
        self.channel().is_some_and(C::keep)
    }

    fn free_kept(&mut self) {
        if let Some(channel) = self.channel() {
            channel.free_kept();
        }
    }

    #[inline]
    fn call_many<R: Run<M>>(&mut self, run: &mut R) -> Result<(), DisconnectReason> {
        match &mut self.phase {
            Phase::Connected(channel) | Phase::Last(channel, _) if self.lost.is_none() => {
                channel.call_many(run).map_err(DisconnectReason::error)
            }
            _ => Ok(()),
        }
    }

    /// Nothing until the connection has proved useful: the first message comes from the stream.
    #[inline]
    fn look<L: Look<C::In>>(&mut self, look: &mut L) -> Option<Inbound<C::In>>
    where
        C::In: ByReference,
    {
        match &mut self.phase {
            Phase::Connected(channel) | Phase::Last(channel, false) if self.proving.is_none() => {
                channel.look(look)
            }
            _ => None,
        }
    }
}

impl<S: Service<T>, T, P, M> fmt::Debug for Reconnecting<S, T, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.origin.as_ref().map(|origin| origin.lifecycle.state());
        f.debug_struct("Reconnecting")
            .field("state", &state)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}
