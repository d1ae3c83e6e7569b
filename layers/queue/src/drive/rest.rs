//! Resting: both directions wait, for the next event, for the end, or for a deadline.

use std::{
    ops::ControlFlow::{Break, Continue},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{BoxError, Channel, DisconnectReason, Message};
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::{Drive, Phase, Step, broke, write::Wrote};
use crate::{
    config::Overflow,
    error::{Stalled, Undrained},
};

/// What the one timer is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadline {
    /// The queue has been full, with nothing going out.
    Stall,
    /// The end takes too long.
    Drain,
}

impl<C, H, M> Drive<C, H, M>
where
    C: Channel<M>,
    H: Service<M, Response = (), Error: Into<BoxError>>,
    M: Message,
{
    /// Both sides wait: for the end, for a deadline, or just for the next event.
    pub(super) fn rest(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        written: bool,
        wrote: Wrote,
    ) -> Step {
        let this = self.as_mut().project();
        if wrote.closing && *this.phase == Phase::Open {
            *this.phase = Phase::Draining { peer: false };
        }
        if let Phase::Draining { peer } = *this.phase {
            if peer {
                // Nobody can be let in whose message would be sent.
                let wakes = this.shared.lock().close();
                wakes.wake();
            }
            if wrote.done {
                match this.channel.poll_close(cx) {
                    Poll::Pending => {}
                    Poll::Ready(_) if peer => return Break(DisconnectReason::Closed),
                    Poll::Ready(Err(error)) => return Break(DisconnectReason::error(error)),
                    Poll::Ready(Ok(())) => {
                        *this.phase = Phase::Lingering;
                        // The stream may hold the end already.
                        cx.waker().wake_by_ref();
                    }
                }
            }
        }
        let wanted = match (*this.phase, this.shared.config.overflow) {
            (Phase::Draining { .. } | Phase::Lingering | Phase::Deaf, _) => {
                Some((Deadline::Drain, this.shared.config.drain_timeout))
            }
            (Phase::Open, Overflow::Disconnect { after }) if wrote.stuck => {
                Some((Deadline::Stall, after))
            }
            _ => None,
        };
        self.keep_time(cx, written, wanted)
    }

    /// Keeps the one timer: set when a deadline begins, unset when its cause is gone.
    fn keep_time(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        written: bool,
        wanted: Option<(Deadline, Duration)>,
    ) -> Step {
        let this = self.project();
        let Some((deadline, after)) = wanted else {
            if this.timer_for.take().is_some() {
                *this.timer = None;
            }
            return Continue(());
        };
        // A stall is over with every message that goes out; a drain has one deadline.
        let fresh = *this.timer_for != Some(deadline) || (deadline == Deadline::Stall && written);
        if fresh {
            *this.timer_for = Some(deadline);
            *this.timer = Some(Box::pin(sleep(after)));
        }
        let Some(timer) = this.timer else {
            return Continue(());
        };
        // Looked at as well as polled: a peer that never pauses uses up the task's budget (tokio's
        // coop) before the timer has its turn.
        let due = timer.deadline() <= Instant::now();
        if !due && timer.as_mut().poll(cx).is_pending() {
            return Continue(());
        }
        let backlog = this.shared.lock();
        let (level, waiting) = (backlog.level(), backlog.next() - *this.taken);
        drop(backlog);
        Break(match deadline {
            Deadline::Stall => {
                let stalled = DisconnectReason::error(Stalled {
                    after,
                    messages: level.messages,
                    bytes: level.bytes,
                });
                if this.channel.interrupt(stalled.clone()) {
                    // Another connection may do better; it has as long.
                    *this.timer_for = None;
                    *this.timer = None;
                    cx.waker().wake_by_ref();
                    return Continue(());
                }
                stalled
            }
            Deadline::Drain if *this.phase == Phase::Deaf => broke(this.broke),
            Deadline::Drain if waiting > 0 => DisconnectReason::error(Undrained {
                after,
                messages: waiting,
            }),
            Deadline::Drain => match *this.phase {
                Phase::Draining { peer: true } => DisconnectReason::Closed,
                _ => DisconnectReason::Intentional,
            },
        })
    }
}
