//! Reading: what comes in goes to the handler, one message after the other.
//!
//! In: the channel, the messages that were read ahead, a budget of messages and bytes. Out: calls of the handler, and
//! whether there is more. May touch: the channel, the handler, the clock only for a message that is none.

use std::{
    ops::ControlFlow::{Break, Continue},
    pin::Pin,
    task::{Context, Poll},
};

use kyneta_uds_core::{
    BoxError, Channel, DisconnectReason, Inbound, Message, RateLimit, SharedError,
};
use tokio::time::Instant;
use tower_service::Service;

use super::{
    Drive,
    handler::Running,
    looking::{Reading, Round},
    read_ahead::ReadAhead,
    state::{Phase, Step, Turn, write_error},
};
use crate::{config::QueueEvent, error::TooManyErrors};

/// Inbound messages in a poll before what they led to is written, so that the peer works on the first
/// answers while this side works on the rest. Sixty-four calls in flight between two cores would take turns
/// otherwise: 0.7 M/s, and 1.6 M/s so. Each round has twice the budget of the one before, up to [`MOST`]:
/// with both ends on one core the system calls take a fifth of the speed, with 16 each time a third.
pub(super) const FIRST: usize = 16;
const MOST: usize = 128;

/// The least that anything inbound counts, in bytes.
const LEAST: u64 = 64;

/// What one round of reading came to.
pub(super) struct Read {
    /// There is more to do.
    pub(super) more: bool,
    /// It stopped because the handler waits.
    pub(super) held: bool,
}

impl<C, H, M, S> Drive<C, H, M, S>
where
    C: Channel<M, In: Message>,
    H: Service<C::In, Response = (), Error: Into<BoxError>>,
    M: Message,
    S: Reading<C, H, M>,
{
    /// Reads and calls the handler until either is pending or the budget of `turn` is used up.
    pub(super) fn read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Step<Read> {
        let before = self.channel.worked();
        let (messages, bytes, mut count) = (turn.messages, turn.bytes, 0);
        let read = self.as_mut().guarded(|mut this| {
            this.as_mut().round(S::begins);
            let read = this
                .as_mut()
                .hand_over::<false>(cx, messages, before, bytes, &mut count);
            this.round(S::over);
            read
        });
        // Lower than before on a new connection: that uses up the budget.
        let worked = self.channel.worked().wrapping_sub(before);
        turn.bytes = bytes.saturating_sub(worked.max(LEAST * count as u64));
        turn.messages = messages.saturating_mul(2).min(MOST);
        turn.read |= count > 0;
        read
    }

    /// Tells the handler of a round. Its panic there costs what it is at work on.
    #[inline(always)]
    fn round(self: Pin<&mut Self>, tell: impl FnOnce(&mut H)) {
        let this = self.project();
        *this.running = Running::Message;
        tell(this.handler);
    }

    /// Hands over `budget` messages at most, `count` of which have been. No more once `left` bytes were
    /// worked on since `before`. `KNOWN`: only what was read ahead.
    #[inline]
    pub(super) fn hand_over<const KNOWN: bool>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: usize,
        before: u64,
        left: u64,
        count: &mut usize,
    ) -> Step<Read> {
        let mut this = self.project();
        let stopped = |held| Continue(Read { more: false, held });
        'next: loop {
            if let Some(handling) = this.handling.as_mut().as_pin_mut() {
                *this.running = Running::Message;
                let Poll::Ready(done) = handling.poll(cx) else {
                    return stopped(true);
                };
                this.handling.set(None);
                if let Err(error) = done {
                    let error = SharedError::new(error);
                    this.shared.tell(&QueueEvent::HandlerFailed(error));
                }
            }
            // After the last handler has run: its answer goes out with the others.
            if *count >= budget || this.channel.worked().wrapping_sub(before) >= left {
                return Continue(Read {
                    more: true,
                    held: false,
                });
            }
            if let Phase::Draining { peer: true } = this.phase {
                return stopped(false);
            }
            if KNOWN && this.ahead.is_none() {
                return stopped(false);
            }
            if !*this.handler_ready {
                *this.running = Running::Readiness;
                match this.handler.poll_ready(cx) {
                    Poll::Pending => return stopped(true),
                    Poll::Ready(Ok(())) => *this.handler_ready = true,
                    Poll::Ready(Err(error)) => return Break(DisconnectReason::error(error)),
                }
            }
            *this.running = Running::Channel;
            let msg = 'message: {
                let item = match this.ahead {
                    None => {
                        let before = *count;
                        let looked = S::look(
                            this.channel,
                            this.handler,
                            Round {
                                count,
                                most: budget,
                                running: this.running,
                            },
                        );
                        if looked.is_none() && *count > before {
                            continue 'next;
                        }
                        let polled = match looked {
                            Some(inbound) => Poll::Ready(Some(Ok(inbound))),
                            None => Pin::new(&mut *this.channel).poll_next(cx),
                        };
                        match polled {
                            Poll::Pending => return stopped(false),
                            // A message is moved once, from the channel to the handler.
                            Poll::Ready(Some(Ok(Inbound::Message(msg)))) => break 'message msg,
                            Poll::Ready(item) => {
                                item.map(|item| item.map_err(DisconnectReason::error))
                            }
                        }
                    }
                    Some(ahead) => match ahead.pop() {
                        Some(item) => item,
                        None => {
                            // All of it is answered: other senders are admitted again.
                            *this.ahead = None;
                            let wakes = this.shared.lock().yield_to_handler(false);
                            wakes.wake();
                            continue 'next;
                        }
                    },
                };
                match item {
                    Some(Ok(Inbound::Message(msg))) => break 'message msg,
                    Some(Ok(Inbound::Rejected(rejection))) => {
                        this.shared.tell(&QueueEvent::Rejected(rejection));
                        let limit = this.shared.config.max_errors;
                        let errors = this
                            .errors
                            .get_or_insert_with(|| Box::new(RateLimit::new(limit)));
                        if errors.take(Instant::now().into_std()).is_none() {
                            return Break(DisconnectReason::error(TooManyErrors { limit }));
                        }
                    }
                    Some(Ok(Inbound::Noticed(notice))) => {
                        this.shared.tell(&QueueEvent::Noticed(notice));
                    }
                    // `Inbound` may get more variants.
                    Some(Ok(_)) => {}
                    Some(Err(_)) if *this.phase == Phase::WriteFailed => {
                        return Break(write_error(this.write_error));
                    }
                    Some(Err(reason)) => return Break(reason),
                    None => match this.phase {
                        Phase::AwaitingEof => return Break(DisconnectReason::Intentional),
                        // The peer had closed in good order, which is why writing failed.
                        Phase::WriteFailed => return Break(DisconnectReason::Closed),
                        _ => *this.phase = Phase::Draining { peer: true },
                    },
                }
                *count += 1;
                continue 'next;
            };
            *count += 1;
            *this.handler_ready = false;
            *this.running = Running::Message;
            this.handling.set(Some(this.handler.call(msg)));
        }
    }

    /// Reads ahead while the handler waits for the peer to read. Ends when the channel is pending, the bound
    /// is reached, or no bytes are `left` to this poll: then it is true.
    #[cold]
    pub(super) fn read_ahead(self: Pin<&mut Self>, cx: &mut Context<'_>, left: &mut u64) -> bool {
        let this = self.project();
        let config = &this.shared.config;
        let was_there = this.ahead.is_some();
        let mut worked = this.channel.worked();
        let ahead = this
            .ahead
            .get_or_insert_with(|| Box::new(ReadAhead::new(config, worked)));
        let mut more = false;
        while ahead.has_room(config) {
            more = *left == 0;
            if more {
                break;
            }
            let Poll::Ready(item) = Pin::new(&mut *this.channel).poll_next(cx) else {
                break;
            };
            let before = std::mem::replace(&mut worked, this.channel.worked());
            *left = left.saturating_sub(worked.saturating_sub(before).max(LEAST));
            ahead.push(
                item.map(|item| item.map_err(DisconnectReason::error)),
                worked,
            );
        }
        let is_there = !ahead.is_empty();
        if !is_there {
            *this.ahead = None;
        }
        if is_there != was_there {
            let wakes = this.shared.lock().yield_to_handler(is_there);
            wakes.wake();
        }
        more
    }

    /// Admits a sender that waits for the handler, when one is due. `progress`: this turn has read or
    /// written something; `held`: the handler is pending.
    #[cold]
    pub(super) fn admit(self: Pin<&mut Self>, cx: &mut Context<'_>, progress: bool, held: bool) {
        let this = self.project();
        let Some(ahead) = this.ahead else { return };
        if ahead.owes_a_sender(held && !progress) {
            let wakes = this.shared.lock().admit_one();
            wakes.wake();
        } else if held {
            // One more turn shows whether the handler waits for what was just written.
            cx.waker().wake_by_ref();
        }
    }
}
