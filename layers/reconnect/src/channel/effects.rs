//! What happens to the connection: made, proved useful, lost, ended.
//!
//! In: what the polls find. Out: the next phase. May touch: the maker below, tokio's clock.

use std::{
    mem,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{BoxError, DisconnectReason, Redial};
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::{Origin, PARTING, Parting, Phase, Reconnecting, USEFUL, Way};
use crate::{
    error::NotRedialable,
    lifecycle::Lifecycle,
    machine::{Effect, Input},
    policy::{Recover, Wait},
    state_watch::StateWatch,
};

impl<S, T, P> Reconnecting<S, T, P>
where
    S: Service<T, Error: Into<BoxError>>,
    P: Recover,
    T: Redial,
{
    pub(crate) fn connecting(maker: S, target: T, policy: P, states: StateWatch) -> Self {
        let life = Lifecycle::new(policy, states);
        let origin = Origin {
            maker,
            target,
            life,
        };
        let mut this = Self::new(Phase::Closed, Some(origin));
        this.feed(Input::Start, None);
        this
    }

    /// Whether a loss is followed by another connection, or by the policy's reason for none.
    pub(super) fn comes_back(&self) -> bool {
        self.origin.as_ref().is_some_and(|from| from.life.is_on())
    }

    /// Tells the machine and does what it says. `opened` comes with [`Input::Opened`].
    pub(super) fn feed(&mut self, input: Input, mut opened: Option<S::Response>) {
        let Some(origin) = &mut self.origin else {
            return;
        };
        let (effects, mut wait) = origin.life.handle(input);
        for effect in effects {
            match effect {
                Effect::Connect { .. } => self.phase = Phase::Readying,
                Effect::Adopt => {
                    if let Some(channel) = opened.take() {
                        self.phase = Phase::Up(channel);
                        self.proving = Some(Box::pin(sleep(USEFUL)));
                    }
                }
                Effect::Release => {
                    self.proving = None;
                    self.phase = Phase::Closed;
                }
                Effect::SetTimer(_) => {
                    if let Some(Wait { delay, until }) = wait.take() {
                        let until =
                            until.unwrap_or_else(|| Box::pin(sleep(delay.unwrap_or_default())));
                        self.phase = Phase::Waiting(until);
                    }
                }
                Effect::GiveUp => self.phase = Phase::Over(origin.life.reason(), false),
                Effect::CancelTimer => {
                    if !matches!(self.phase, Phase::Up(_) | Phase::Parting(..)) {
                        self.phase = Phase::Closed;
                    }
                }
                Effect::Close => {
                    self.proving = None;
                    self.phase = match mem::replace(&mut self.phase, Phase::Closed) {
                        Phase::Up(channel) => Phase::Last(channel, false),
                        Phase::Parting(channel, parting) => {
                            Phase::Last(channel, matches!(parting.way, Way::Flush))
                        }
                        phase => phase,
                    };
                }
            }
        }
    }

    /// The connection is gone, because of `reason`, and with it what had not been flushed.
    pub(super) fn lose(&mut self, reason: DisconnectReason) {
        self.lost.get_or_insert_with(|| reason.clone());
        self.release(reason);
    }

    /// The connection is gone, because of `reason`.
    pub(super) fn release(&mut self, reason: DisconnectReason) {
        // The timer is only polled while the stream is.
        if let Some(proving) = &self.proving
            && proving.deadline() <= Instant::now()
        {
            self.feed(Input::Proved, None);
        }
        let input = match reason {
            DisconnectReason::Closed => Input::Closed,
            reason => Input::Failed(reason),
        };
        self.feed(input, None);
    }

    /// The one connection there is has ended. What can be done on it still can.
    pub(super) fn end(&mut self, reason: DisconnectReason, eof: bool) {
        let phase = mem::replace(&mut self.phase, Phase::Closed);
        self.release(reason);
        if let Phase::Up(channel) = phase {
            self.phase = Phase::Last(channel, eof);
        }
    }

    pub(super) fn part(&mut self, way: Way) {
        self.phase = match mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Up(channel) => {
                let deadline = Box::pin(sleep(PARTING));
                Phase::Parting(channel, Parting { way, deadline })
            }
            phase => phase,
        };
    }

    /// Connects and waits, until there is a connection or it is given up. At most one attempt comes
    /// to nothing in one poll.
    pub(super) fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(origin) = &mut self.origin {
            let failed = match &mut self.phase {
                Phase::Readying => match ready!(origin.maker.poll_ready(cx)) {
                    Ok(()) => match origin.target.redial() {
                        Some(target) => {
                            let connecting = Box::pin(origin.maker.call(target));
                            self.phase = Phase::Connecting(connecting);
                            continue;
                        }
                        None => DisconnectReason::error(NotRedialable(())),
                    },
                    Err(error) => DisconnectReason::error(error),
                },
                Phase::Connecting(connecting) => match ready!(connecting.as_mut().poll(cx)) {
                    Ok(channel) => {
                        self.feed(Input::Opened, Some(channel));
                        break;
                    }
                    Err(error) => DisconnectReason::error(error),
                },
                Phase::Waiting(until) => {
                    ready!(until.as_mut().poll(cx));
                    self.feed(Input::TimerFired, None);
                    continue;
                }
                _ => return Poll::Ready(()),
            };
            self.feed(Input::Failed(failed), None);
            break;
        }
        // The other direction, or the wait, has to be looked at.
        cx.waker().wake_by_ref();
        match self.phase {
            Phase::Waiting(_) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Notes that the stream has rested or, `heard`, yielded a message.
    #[cold]
    pub(super) fn prove(&mut self, heard: bool, cx: &mut Context<'_>) {
        let Some(proving) = &mut self.proving else {
            return;
        };
        if heard || proving.as_mut().poll(cx).is_ready() {
            self.proving = None;
            self.feed(Input::Proved, None);
        }
    }
}
