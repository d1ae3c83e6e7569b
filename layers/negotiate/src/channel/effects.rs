//! What happens to the channel, told to the machine, and the machine's effects.
//!
//! In: events of the acceptor, ends of connections, inputs. Out: the next state. May touch: the path, tokio's
//! clock, the user's accept handler.

use std::task::Context;

use kyneta_uds_core::{BoxError, DisconnectReason, Message, SharedError};
use tokio::time::{Instant, sleep};

use super::{
    Done, HALF_CLOSE_TIMEOUT, MAX_SHORT_CONNECTIONS, MIN_LIFETIME, Negotiated, RESTORED_AFTER, Seat,
};
use crate::{
    accept_handler::AcceptHandler,
    acceptor::Event,
    classify,
    machine::{Bind, Effect, Effects, Input, Role, WaitReason},
    make_channel::MakeChannel,
    probe::probe,
    role_wait::RoleWait,
};

impl<S, A, M> Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    pub(super) fn listened(&mut self, event: Event<M>) {
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
    pub(super) fn not_found(&mut self) {
        let since = self.missing.take();
        let since = since.map_or_else(Instant::now, |(since, _)| since);
        self.missing = Some((since, Box::pin(sleep(RESTORED_AFTER))));
        let waiting = RoleWait::new(WaitReason::InTheWay, since, self.failure.clone());
        self.roles.wait(waiting);
    }

    /// The listener's path is its own again.
    pub(super) fn found(&mut self) {
        if self.missing.take().is_some() {
            self.failure = None;
            self.roles.found();
        }
    }

    pub(super) fn tell(&mut self, input: Input) {
        let effects = self.machine.on(input, fastrand::f64());
        self.carry_out(effects, None);
    }

    /// As [`tell`](Self::tell), with what there is to report.
    pub(super) fn tell_with(&mut self, input: Input, error: impl Into<BoxError>) {
        let effects = self.machine.on(input, fastrand::f64());
        self.carry_out(effects, Some(error.into()));
    }

    fn carry_out(&mut self, effects: Effects, error: Option<BoxError>) {
        if let Some(error) = error {
            self.failure = Some(SharedError::new(error));
            if let Some(why) = self.machine.why() {
                let waiting = RoleWait::new(why, self.vacant, self.failure.clone());
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
                        self.seat = Seat::Moving(channel, Box::pin(sleep(HALF_CLOSE_TIMEOUT)));
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
                    let waiting = RoleWait::new(why, self.vacant, self.failure.clone());
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

    /// The connection is at its end; what was called on it is lost if there is a reason.
    pub(super) fn vacate(&mut self, lost: Option<DisconnectReason>) {
        self.seat = Seat::Vacant;
        self.watch = None;
        self.loss = lost.or(self.loss.take());
        if self.role() == Role::Connector {
            self.brief = match self.since.take() {
                // Another process each time is one that takes over and dies.
                Some((since, pid)) if since.elapsed() < MIN_LIFETIME && pid == self.brief.1 => {
                    // In place of no end, a round of 64: each round is told of once.
                    (self.brief.0.checked_add(1).unwrap_or(u8::MAX - 63), pid)
                }
                Some((_, pid)) => (0, pid),
                None => (0, None),
            };
            self.tell(match self.brief.0 {
                times @ MAX_SHORT_CONNECTIONS.. => Input::TurnedAway { times: times - 1 },
                _ => Input::ConnectionLost,
            });
        }
    }

    /// Writing has failed: nothing more goes out here, but what came in is still read.
    pub(super) fn break_off(&mut self, cx: &mut Context<'_>, error: impl Into<BoxError>) {
        self.leave_behind(cx, Some(DisconnectReason::error(error)));
    }

    /// Nothing more goes out on the connection; what came in is still read.
    pub(super) fn leave_behind(&mut self, cx: &mut Context<'_>, lost: Option<DisconnectReason>) {
        if let Seat::Connected(channel) | Seat::Moving(channel, _) =
            std::mem::replace(&mut self.seat, Seat::Vacant)
        {
            self.remnant = Some((channel, Box::pin(sleep(HALF_CLOSE_TIMEOUT))));
            self.vacate(lost);
            cx.waker().wake_by_ref();
        }
    }
}
