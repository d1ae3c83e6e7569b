//! What happens to the connection: made, proved useful, lost, ended.
//!
//! In: what the polls find. Out: the next phase. May touch: the make service below, tokio's clock.

use std::{
    mem,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{BoxError, DisconnectReason, HalfClose, HalfClosed, Redial};
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::{HALF_CLOSE_TIMEOUT, Origin, Phase, Reconnecting, USEFUL_AFTER};
use crate::{
    error::NotRedialable,
    lifecycle::Lifecycle,
    machine::{Effect, Input},
    policy::{Recover, Wait},
    state_watch::StateWatch,
};

impl<S, T, P, M> Reconnecting<S, T, P, M>
where
    S: Service<T, Error: Into<BoxError>>,
    P: Recover,
    T: Redial,
{
    pub(crate) fn connecting(make: S, target: T, policy: P, state_watch: StateWatch) -> Self {
        let lifecycle = Lifecycle::new(policy, state_watch);
        let origin = Origin {
            make,
            target,
            lifecycle,
        };
        let mut this = Self::new(Phase::Closed, Some(origin));
        this.feed(Input::Start, None);
        this
    }

    /// Whether a loss is followed by another connection, or by the policy's reason for none.
    pub(super) fn comes_back(&self) -> bool {
        self.origin
            .as_ref()
            .is_some_and(|from| from.lifecycle.is_on())
    }

    /// Feeds the machine and carries out its effects. `opened` comes with [`Input::Opened`].
    pub(super) fn feed(&mut self, input: Input, mut opened: Option<S::Response>) {
        let Some(origin) = &mut self.origin else {
            return;
        };
        let (effects, mut wait) = origin.lifecycle.handle(input);
        for effect in effects {
            match effect {
                Effect::Connect { .. } => self.phase = Phase::AwaitingReady,
                Effect::Adopt => {
                    if let Some(channel) = opened.take() {
                        self.phase = Phase::Connected(channel);
                        self.proving = Some(Box::pin(sleep(USEFUL_AFTER)));
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
                Effect::GiveUp => self.phase = Phase::GivenUp(origin.lifecycle.reason(), false),
                Effect::CancelTimer => {
                    if !matches!(self.phase, Phase::Connected(_) | Phase::HalfClosed(..)) {
                        self.phase = Phase::Closed;
                    }
                }
                Effect::Close => {
                    self.proving = None;
                    self.phase = match mem::replace(&mut self.phase, Phase::Closed) {
                        Phase::Connected(channel) => Phase::Last(channel, false),
                        Phase::HalfClosed(half, _) => {
                            let read_closed = half.state() == HalfClose::ReadClosed;
                            Phase::Last(half.into_inner(), read_closed)
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

    /// The last connection has ended. What is left to write or read still can be.
    pub(super) fn end(&mut self, reason: DisconnectReason, eof: bool) {
        let phase = mem::replace(&mut self.phase, Phase::Closed);
        self.release(reason);
        if let Phase::Connected(channel) = phase {
            self.phase = Phase::Last(channel, eof);
        }
    }

    /// One direction has ended, because of `reason`; the other one is finished.
    pub(super) fn half_close(&mut self, state: HalfClose, reason: DisconnectReason) {
        self.phase = match mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Connected(channel) => {
                let deadline = Box::pin(sleep(HALF_CLOSE_TIMEOUT));
                Phase::HalfClosed(HalfClosed::new(channel, state, deadline), reason)
            }
            phase => phase,
        };
    }

    /// Connects and waits, until there is a connection or it is given up. At most one attempt fails
    /// in one poll.
    pub(super) fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(origin) = &mut self.origin {
            let failed = match &mut self.phase {
                Phase::AwaitingReady => match ready!(origin.make.poll_ready(cx)) {
                    Ok(()) => match origin.target.redial() {
                        Some(target) => {
                            let connecting = Box::pin(origin.make.call(target));
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
        // The other direction, or the wait, is to be polled.
        cx.waker().wake_by_ref();
        match self.phase {
            Phase::Waiting(_) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Notes that the stream is pending or, `heard`, has yielded a message.
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
