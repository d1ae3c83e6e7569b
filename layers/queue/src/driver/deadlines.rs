//! Resting: both directions wait, for the next event, for the end, or for a deadline.

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

use super::{Drive, Phase, Step, write::Wrote, write_error};
use crate::{
    config::Overflow,
    error::{DrainTimedOut, Stalled},
    send_queue::Contention,
};

/// How long permits may be held and not used while other senders wait and no message does. Then they keep
/// the others waiting no longer.
const IDLE_PERMITS: Duration = Duration::from_millis(100);

/// The one timer, with the start of each active deadline. Boxed: most connections have none.
#[pin_project]
#[derive(Debug)]
pub(super) struct Timer {
    #[pin]
    sleep: Sleep,
    waiting: Waiting,
}

/// Start time of each active deadline.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    /// Something is written, and the kernel takes nothing of it.
    blocked: Option<Instant>,
    /// Senders stand in line, and the kernel takes nothing.
    stuck: Option<Instant>,
    /// Senders stand in line, and no message waits.
    idle: Option<Instant>,
    /// The end has begun.
    ending: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    /// The queue has been full, or something written, with nothing going out.
    Stall,
    /// Permits have been held, with senders in line and nothing going out.
    IdlePermits,
    /// The end takes too long.
    Drain,
}

/// One deadline: whether it is waited for, whether it begins anew, and how long it is.
struct Limit<'a> {
    since: &'a mut Option<Instant>,
    waits: bool,
    again: bool,
    after: Duration,
}

impl Limit<'_> {
    /// When it is due, and after how long; `None` when it is not waited for, or for ever.
    fn due(self, now: Instant) -> Option<(Instant, Duration)> {
        if !self.waits {
            *self.since = None;
            return None;
        }
        if self.again {
            *self.since = None;
        }
        let since = *self.since.get_or_insert(now);
        Some((since.checked_add(self.after)?, self.after))
    }
}

impl<C, H, M> Drive<C, H, M>
where
    C: Channel<M, In: Message>,
    H: Service<C::In, Response = (), Error: Into<BoxError>>,
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
                // No message that is let in now would be sent.
                this.shared.close(DisconnectReason::Closed);
            }
            if wrote.done {
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
            }
        }
        let config = &this.shared.config;
        let open = *this.phase == Phase::Open;
        let room = match config.overflow {
            Overflow::Disconnect { after } => after,
            _ => Duration::MAX,
        };
        // Senders that wait for the handler to answer what was read ahead wait for the peer, too, as long
        // as it takes nothing.
        let behind = match wrote.stuck {
            Contention::None => false,
            Contention::Messages => true,
            Contention::IdlePermits => wrote.blocked && this.ahead.is_some(),
        };
        if open && !wrote.blocked && wrote.stuck == Contention::None {
            // The clock is not asked.
            *this.timer = None;
            return Continue(());
        }
        let now = Instant::now();
        let mut waiting = this
            .timer
            .as_ref()
            .map(|timer| timer.waiting)
            .unwrap_or_default();
        let blocked = Limit {
            since: &mut waiting.blocked,
            waits: open && wrote.blocked,
            again: moved,
            after: config.write_stall,
        };
        let stuck = Limit {
            since: &mut waiting.stuck,
            waits: open && behind,
            again: moved,
            after: room,
        };
        let idle = Limit {
            since: &mut waiting.idle,
            waits: open && wrote.stuck == Contention::IdlePermits,
            again: moved,
            after: IDLE_PERMITS,
        };
        let ending = Limit {
            since: &mut waiting.ending,
            waits: !open,
            again: false,
            after: config.drain_timeout,
        };
        let [blocked, stuck] = [blocked, stuck].map(|limit| limit.due(now));
        let (idle, ending) = (idle.due(now), ending.due(now));
        let stall = blocked.into_iter().chain(stuck).min();
        let of = |deadline| move |(due, after)| (due, after, deadline);
        let due = [
            stall.map(of(Deadline::Stall)),
            idle.map(of(Deadline::IdlePermits)),
            ending.map(of(Deadline::Drain)),
        ];
        let first = due.into_iter().flatten().min_by_key(|(due, ..)| *due);
        self.keep_time(cx, now, waiting, first)
    }

    /// Keeps the one timer, and ends the connection when it is due.
    fn keep_time(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        now: Instant,
        waiting: Waiting,
        due: Option<(Instant, Duration, Deadline)>,
    ) -> Step {
        let this = self.project();
        let Some((due, after, deadline)) = due else {
            *this.timer = None;
            return Continue(());
        };
        // Looked at as well as polled: a peer that never pauses uses up the task's budget (tokio's
        // coop) before the timer has its turn.
        if now < due {
            let timer = this.timer.get_or_insert_with(|| {
                Box::pin(Timer {
                    sleep: sleep_until(due),
                    waiting,
                })
            });
            let mut timer = timer.as_mut().project();
            *timer.waiting = waiting;
            // One that fires too early is set again only then: a stall's begins anew all the time.
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
                if let Some(timer) = this.timer {
                    timer.as_mut().project().waiting.idle = None;
                }
                let wakes = this.shared.lock().expire_permits();
                wakes.wake();
                // What the senders queue now is written in the next turn.
                cx.waker().wake_by_ref();
                return Continue(());
            }
            Deadline::Stall => {
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
