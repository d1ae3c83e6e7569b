//! Deadlines: what may take how long, with one timer for all; and the orderly end (half-closed, within
//! the drain timeout), which one of them bounds.
//!
//! In: how far writing came. Out: the reason of the end, if a deadline has passed. May touch: tokio's
//! clock, the channel.

use std::{
    ops::ControlFlow::{Break, Continue},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{BoxError, Channel, DisconnectReason, Message};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::{
    Drive,
    state::{Phase, Step, Wrote, write_error},
};
use crate::{
    config::Overflow,
    error::{DrainTimedOut, Stalled},
    send_queue::Contention,
};

/// How long unused permits may keep other senders waiting while no message waits.
const IDLE_PERMITS: Duration = Duration::from_millis(100);

/// The one timer, with the start of each active deadline. Boxed: most connections have none.
#[pin_project]
#[derive(Debug)]
pub(super) struct Timer {
    #[pin]
    sleep: Sleep,
    started: Started,
}

/// What is limited in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    /// Something is written, and the kernel takes nothing of it.
    WriteStall,
    /// Senders wait, and the kernel takes nothing.
    Overflow,
    /// Senders wait, and no message does: permits are held and not used.
    IdlePermits,
    /// The end has begun.
    Drain,
}

/// Start time of each active deadline, in the order of the table in `check_deadlines`.
type Started = [Option<Instant>; 4];

impl<C, H, M, R> Drive<C, H, M, R>
where
    C: Channel<M, In: Message>,
    H: Service<C::In, Response = (), Error: Into<BoxError>>,
    M: Message,
{
    /// Ends the connection once it is to close and everything is sent: closes our direction, then awaits
    /// the end of the peer's.
    pub(super) fn check_end(self: Pin<&mut Self>, cx: &mut Context<'_>, wrote: &Wrote) -> Step {
        let this = self.project();
        if wrote.closing && *this.phase == Phase::Open {
            *this.phase = Phase::Draining { peer: false };
        }
        let Phase::Draining { peer } = *this.phase else {
            return Continue(());
        };
        if peer {
            // No message that is let in now would be sent.
            this.shared.close(DisconnectReason::Closed);
        }
        if !wrote.done {
            return Continue(());
        }
        match this.channel.poll_close(cx) {
            Poll::Pending => {}
            Poll::Ready(_) if peer => return Break(DisconnectReason::Closed),
            Poll::Ready(Err(error)) => return Break(DisconnectReason::error(error)),
            Poll::Ready(Ok(())) => {
                *this.phase = Phase::AwaitingEof;
                // The stream may hold the end already.
                cx.waker().wake_by_ref();
            }
        }
        Continue(())
    }

    /// Starts and stops the deadlines, and acts on the first one that has passed.
    pub(super) fn check_deadlines(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        moved: bool,
        wrote: &Wrote,
    ) -> Step {
        let this = self.as_mut().project();
        let open = *this.phase == Phase::Open;
        if open && !wrote.unflushed && wrote.contention == Contention::None {
            // The clock is not read.
            *this.timer = None;
            return Continue(());
        }
        let config = &this.shared.config;
        let overflow = match config.overflow {
            Overflow::Disconnect { after } => after,
            _ => Duration::MAX,
        };
        // Senders that wait for the handler wait for the peer, too, while it takes nothing.
        let full = match wrote.contention {
            Contention::None => false,
            Contention::Messages => true,
            Contention::IdlePermits => wrote.unflushed && this.ahead.is_some(),
        };
        let idle = wrote.contention == Contention::IdlePermits;
        // Each deadline, whether it is active, and how long it is.
        let table = [
            (
                Deadline::WriteStall,
                open && wrote.unflushed,
                config.write_stall,
            ),
            (Deadline::Overflow, open && full, overflow),
            (Deadline::IdlePermits, open && idle, IDLE_PERMITS),
            (Deadline::Drain, !open, config.drain_timeout),
        ];
        let now = Instant::now();
        let mut started = this
            .timer
            .as_ref()
            .map(|timer| timer.started)
            .unwrap_or_default();
        let mut first: Option<(Instant, Duration, Deadline)> = None;
        for (started, (deadline, active, after)) in started.iter_mut().zip(table) {
            // A deadline starts anew when the kernel has taken something, unless the connection is closing.
            if !active || (moved && open) {
                *started = None;
            }
            if active
                && let Some(due) = started.get_or_insert(now).checked_add(after)
                && first.is_none_or(|(first, ..)| due < first)
            {
                first = Some((due, after, deadline));
            }
        }
        self.keep_time(cx, now, started, first)
    }

    /// Sets the one timer, or acts on a deadline that has passed.
    fn keep_time(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        now: Instant,
        started: Started,
        due: Option<(Instant, Duration, Deadline)>,
    ) -> Step {
        let this = self.project();
        let Some((due, after, deadline)) = due else {
            *this.timer = None;
            return Continue(());
        };
        // Compared as well as polled: a peer that never pauses uses up tokio's coop budget before the timer
        // is polled.
        if now < due {
            let timer = this.timer.get_or_insert_with(|| {
                Box::pin(Timer {
                    sleep: sleep_until(due),
                    started,
                })
            });
            let mut timer = timer.as_mut().project();
            *timer.started = started;
            // Too early is harmless: reset only when it fires, since a stall restarts with every write.
            if timer.sleep.deadline() > due || timer.sleep.deadline() <= now {
                timer.sleep.as_mut().reset(due);
            }
            if timer.sleep.poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            return Continue(());
        }
        let level = || {
            let send_queue = this.shared.lock();
            (send_queue.level(), send_queue.next() - *this.taken)
        };
        Break(match deadline {
            Deadline::IdlePermits => {
                if let Some(timer) = this.timer
                    && let Some(idle) = timer.as_mut().project().started.get_mut(deadline as usize)
                {
                    *idle = None;
                }
                let wakes = this.shared.lock().expire_permits();
                wakes.wake();
                // What the senders queue now is written in the next turn.
                cx.waker().wake_by_ref();
                return Continue(());
            }
            Deadline::WriteStall | Deadline::Overflow => {
                let (level, waiting) = level();
                let stalled = DisconnectReason::error(Stalled {
                    after,
                    messages: usize::try_from(waiting).unwrap_or(usize::MAX),
                    bytes: level.bytes.saturating_add(this.channel.buffered()),
                });
                if this.channel.interrupt(stalled.clone()) {
                    // Another connection may do better; it has as long.
                    *this.timer = None;
                    cx.waker().wake_by_ref();
                    return Continue(());
                }
                stalled
            }
            Deadline::Drain if *this.phase == Phase::WriteFailed => write_error(this.write_error),
            Deadline::Drain => match (level(), *this.phase) {
                ((_, messages @ 1..), _) => {
                    DisconnectReason::error(DrainTimedOut { after, messages })
                }
                (_, Phase::Draining { peer: true }) => DisconnectReason::Closed,
                _ => DisconnectReason::Intentional,
            },
        })
    }
}
