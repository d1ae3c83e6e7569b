//! Resting: both directions wait, for the next event, for the end, or for a deadline.

use std::{
    ops::ControlFlow::{Break, Continue},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{BoxError, Channel, DisconnectReason, Message};
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::{Drive, Phase, Step, broke, write::Wrote};
use crate::{
    config::Overflow,
    error::{Stalled, Undrained},
};

/// What the one timer is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadline {
    /// The queue has been full, or something written, with nothing going out.
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
        moved: bool,
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
        let config = &this.shared.config;
        let wanted = match *this.phase {
            Phase::Open => {
                let full = match config.overflow {
                    Overflow::Disconnect { after } if wrote.stuck => Some(after),
                    _ => None,
                };
                let unread = wrote.blocked.then_some(config.write_stall);
                let after = full.into_iter().chain(unread).min();
                after.map(|after| (Deadline::Stall, after))
            }
            _ => Some((Deadline::Drain, config.drain_timeout)),
        };
        self.keep_time(cx, moved, wanted)
    }

    /// Keeps the one timer, and ends the connection when it is due.
    fn keep_time(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        moved: bool,
        wanted: Option<(Deadline, Duration)>,
    ) -> Step {
        let this = self.project();
        let Some((deadline, after)) = wanted else {
            if this.waiting.take().is_some() {
                *this.timer = None;
            }
            return Continue(());
        };
        let now = Instant::now();
        let since = match *this.waiting {
            // A stall is over with every byte that goes out; a drain has one deadline.
            Some((Deadline::Drain, since)) if deadline == Deadline::Drain => since,
            Some((Deadline::Stall, since)) if deadline == Deadline::Stall && !moved => since,
            _ => now,
        };
        *this.waiting = Some((deadline, since));
        let Some(due) = since.checked_add(after) else {
            return Continue(()); // never
        };
        // Looked at as well as polled: a peer that never pauses uses up the task's budget (tokio's
        // coop) before the timer has its turn.
        if now < due {
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            // One that fires too early is set again only then: a stall's begins anew all the time.
            if timer.deadline() > due || timer.deadline() <= now {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            return Continue(());
        }
        let backlog = this.shared.lock();
        let (level, waiting) = (backlog.level(), backlog.next() - *this.taken);
        drop(backlog);
        Break(match deadline {
            Deadline::Stall => {
                let stalled = DisconnectReason::error(Stalled {
                    after,
                    messages: usize::try_from(waiting).unwrap_or(usize::MAX),
                    bytes: level.bytes.saturating_add(this.channel.buffered()),
                });
                if this.channel.interrupt(stalled.clone()) {
                    // Another connection may do better; it has as long.
                    *this.waiting = None;
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
