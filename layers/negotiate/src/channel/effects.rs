//! What happens to the channel, fed to the machine, and the machine's effects.
//!
//! In: events of the acceptor, ends of connections, results of attempts. Out: the next link. May touch: the
//! path, tokio's clock, the user's accept handler.

use std::{
    mem,
    task::{Context, Poll},
};

use kyneta_uds_core::{
    BoxError, DisconnectReason, HalfClose, HalfClosedEnd, Message, SharedError, undisturbed,
};
use kyneta_uds_unix::PathLoss;
use tokio::time::{Instant, sleep};

use super::{Done, Link, MAX_SHORT_CONNECTIONS, MIN_LIFETIME, Moved, Negotiated};
use crate::{
    accept_handler::AcceptHandler,
    acceptor::AcceptorEvent,
    classify,
    fan_out::FanOut,
    machine::{Bind, Effect, Effects, Input, Role, WaitReason},
    make_channel::MakeChannel,
    probe::probe,
    role_wait::RoleWait,
};

/// What `poll_ready` and `poll_flush` answer.
type Written<E> = Poll<Result<(), E>>;

impl<S, A, M> Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    pub(super) fn on_acceptor_event(&mut self, event: AcceptorEvent<M>) {
        match event {
            AcceptorEvent::Accepted(handle) => {
                self.had_peers = true;
                if let Link::Listening(_, fan_out) = &mut self.link {
                    fan_out.add(handle);
                }
            }
            AcceptorEvent::PathLost(PathLoss::Taken) => self.feed(Input::PathLost),
            AcceptorEvent::PathLost(_) => self.feed(Input::PathFree),
            AcceptorEvent::Restored => {
                self.failure = None;
                self.settings.role_watch.restored();
                self.feed(Input::Restored(Bind::Done));
            }
            AcceptorEvent::RestoreFailed { error, waited } => {
                let bind = classify::of_bind(&error);
                self.feed_error(Input::Restored(bind), error);
                if self.role() == Role::Listener {
                    let now = Instant::now();
                    let since = now.checked_sub(waited).unwrap_or(now);
                    let failure = self.failure.clone();
                    let waiting = RoleWait::new(WaitReason::InTheWay, since, failure);
                    self.settings.role_watch.wait(waiting);
                }
            }
            AcceptorEvent::Closed => {}
        }
    }

    pub(super) fn feed(&mut self, input: Input) {
        let effects = self.machine.on(input, fastrand::f64());
        self.carry_out(effects);
    }

    /// As [`feed`](Self::feed), with the error that the input stands for.
    pub(super) fn feed_error(&mut self, input: Input, error: impl Into<BoxError>) {
        self.failure = Some(SharedError::new(error));
        let effects = self.machine.on(input, fastrand::f64());
        if let Some(why) = self.machine.why() {
            self.settings.role_watch.wait_on(self.role_wait(why));
        }
        self.carry_out(effects);
    }

    fn role_wait(&self, why: WaitReason) -> RoleWait {
        RoleWait::new(why, self.no_role_since, self.failure.clone())
    }

    fn carry_out(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Probe => {
                    let (make, path) = (self.make.clone(), self.path.clone());
                    let allow = self.settings.allowed_listener();
                    self.work = Some(Box::pin(async move {
                        Done::Probed(probe(make, path, allow).await)
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
                    if let Link::Listening(acceptor, _) = &mut self.link {
                        acceptor.restore();
                    }
                }
                Effect::StopListening => self.stop_listening(),
                // When this peer leaves for good, `poll_close` ends the connection.
                Effect::Disconnect if self.role() == Role::Disposed => {}
                Effect::Disconnect => self.link = Link::Idle,
                Effect::HalfClose => self.link.half_close(HalfClose::Closing),
                Effect::Report => {
                    if let Some(error) = self.failure.clone() {
                        self.settings.role_watch.obstructed(error.clone());
                        undisturbed(|| self.settings.accept_handler.in_the_way(&error));
                    }
                }
                Effect::Remind(pause) => self.remind = Some(Box::pin(sleep(pause))),
                Effect::Waiting(why) => {
                    let waiting = self.role_wait(why);
                    let waited = waiting.waited.as_millis() as u64;
                    tracing::warn!(path = %self.path, waited_ms = waited, "no role yet: {waiting}");
                    self.settings.role_watch.wait(waiting.clone());
                    undisturbed(|| self.settings.accept_handler.waiting(&waiting));
                }
                Effect::Announce(role) => self.announce(role),
            }
        }
        if self.role() == Role::Disposed {
            self.work = None;
        }
    }

    fn announce(&mut self, role: Role) {
        if role != Role::Negotiating {
            (self.remind, self.failure) = (None, None);
        }
        if role == Role::Listener {
            self.short = (0, None);
        }
        if role == Role::Negotiating && self.short.0 == 0 {
            self.no_role_since = Instant::now();
        }
        tracing::info!(path = %self.path, %role, "role");
        self.settings.role_watch.announce(role);
        // The drop of the channel announces, too: a second panic there would abort the process.
        undisturbed(|| self.settings.accept_handler.role_changed(role));
    }

    /// The path first: a process that connects from now on must not reach a socket that accepts no more.
    fn stop_listening(&mut self) {
        if let Link::Listening(acceptor, mut fan_out) = mem::replace(&mut self.link, Link::Idle) {
            for handle in acceptor.finish() {
                fan_out.add(handle);
            }
            if self.role() == Role::Disposed {
                fan_out.expect_no_members();
                self.link = Link::Draining(fan_out);
            } else {
                // The members get what is queued for them, and then negotiate as this peer does.
                fan_out.close();
            }
        }
    }

    /// The half-closed connection is finished.
    pub(super) fn half_closed<E>(&mut self, cx: &mut Context<'_>, end: HalfClosedEnd<E>)
    where
        E: Into<BoxError>,
    {
        let Link::HalfClosed(half) = &self.link else {
            return;
        };
        match (half.state(), end) {
            (HalfClose::ReadClosed, HalfClosedEnd::Complete) => self.vacate(None),
            (HalfClose::ReadClosed, _) => self.vacate(Some(DisconnectReason::Closed)),
            (_, HalfClosedEnd::Complete) => self.read_rest(cx, HalfClose::AwaitingEof, None),
            (_, HalfClosedEnd::Failed(error)) => self.write_failed(cx, error),
            (_, HalfClosedEnd::TimedOut) => self.write_failed(cx, Moved),
        }
    }

    /// Polls the connection by `one`, the members' queues by `all`. Without either, `idle` is ready at once.
    // Always: else `one` is called through a pointer.
    #[inline(always)]
    pub(super) fn poll_write<E: Into<BoxError>>(
        &mut self,
        cx: &mut Context<'_>,
        idle: bool,
        one: fn(&mut S::Channel, &mut Context<'_>) -> Written<E>,
        all: fn(&mut FanOut<M>, &mut Context<'_>) -> Poll<()>,
    ) -> Written<BoxError> {
        if !matches!(self.link, Link::Connected(_)) {
            self.advance(cx);
        }
        match &mut self.link {
            _ if self.loss.is_some() => Poll::Pending,
            Link::Connected(channel) => match one(channel, cx) {
                Poll::Ready(Err(error)) => {
                    self.write_failed(cx, error);
                    Poll::Pending
                }
                polled => polled.map_err(Into::into),
            },
            // What is called now would be lost with a member that another process goes on with.
            Link::Listening(..)
                if !idle && self.holding.as_ref().is_some_and(|of| of.is_paused) =>
            {
                Poll::Pending
            }
            Link::Listening(_, fan_out) | Link::Draining(fan_out) => all(fan_out, cx).map(Ok),
            Link::Idle if idle => Poll::Ready(Ok(())),
            Link::Idle if self.machine.role() == Role::Disposed => {
                Poll::Ready(Err(DisconnectReason::Intentional.into()))
            }
            Link::Idle | Link::HalfClosed(_) => Poll::Pending,
        }
    }

    /// Writing has failed; what the peer has sent is still read.
    pub(super) fn write_failed(&mut self, cx: &mut Context<'_>, error: impl Into<BoxError>) {
        let lost = DisconnectReason::error(error);
        self.read_rest(cx, HalfClose::WriteFailed, Some(lost));
    }

    /// Negotiates anew, while what the former peer has sent is read.
    fn read_rest(
        &mut self,
        cx: &mut Context<'_>,
        state: HalfClose,
        lost: Option<DisconnectReason>,
    ) {
        if let Some(former) = self.link.take(state) {
            self.former = Some(former);
            self.vacate(lost);
            cx.waker().wake_by_ref();
        }
    }

    /// The connection is gone; with a reason, what was called on it may be lost.
    pub(super) fn vacate(&mut self, lost: Option<DisconnectReason>) {
        self.link = Link::Idle;
        self.replacement = None;
        self.loss = lost.or(self.loss.take());
        if self.role() != Role::Connector {
            return;
        }
        self.short = match self.connected.take() {
            // A new process each time is one that takes over and dies.
            Some((since, pid)) if since.elapsed() < MIN_LIFETIME && pid == self.short.1 => {
                // Wraps by 64, because each round of 64 is reported once.
                (self.short.0.checked_add(1).unwrap_or(u8::MAX - 63), pid)
            }
            Some((_, pid)) => (0, pid),
            None => (0, None),
        };
        self.feed(match self.short.0 {
            times @ MAX_SHORT_CONNECTIONS.. => Input::Rejected { times: times - 1 },
            _ => Input::ConnectionLost,
        });
    }
}
