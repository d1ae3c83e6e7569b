//! Reading: what comes in goes to the handler, one message after the other.

use std::{
    ops::ControlFlow::{Break, Continue},
    pin::Pin,
    task::{Context, Poll},
};

use kyneta_uds_core::{
    BoxError, Channel, DisconnectReason, Inbound, Message, PerMinute, SharedError,
};
use tokio::time::Instant;
use tower_service::Service;

use super::{Drive, Phase, Step, broke};
use crate::{config::QueueEvent, error::TooManyErrors};

/// Inbound messages in a poll before what they led to is written, so that the peer works on the first
/// answers while this side works on the rest. Sixty-four calls in flight between two cores would take turns
/// otherwise: 0.7 M/s, and 1.6 M/s so. Each round has twice the budget of the one before, up to [`MOST`]:
/// with both ends on one core the system calls take a fifth of the speed, with 16 each time a third.
pub(super) const FIRST: usize = 16;
const MOST: usize = 128;

/// What anything that comes in counts at least, bytes.
const LEAST: usize = 64;

/// The size of one in so many is asked for, and stands for all of them: asking each would be 3 % of what
/// a message costs. Who has another size for each one in eight is bound by [`LEAST`], and by tokio's coop,
/// which ends a poll after 128 reads.
const SAMPLE: usize = 8;

/// What one round of reading came to.
pub(super) struct Read {
    pub(super) any: bool,
    /// There is more to do.
    pub(super) more: bool,
}

/// Out of the way of the seven others.
#[cold]
#[inline(never)]
fn sampled<M: Message>(msg: &M) -> usize {
    msg.size().saturating_mul(SAMPLE).max(LEAST)
}

impl<C, H, M> Drive<C, H, M>
where
    C: Channel<M>,
    H: Service<M, Response = (), Error: Into<BoxError>>,
    M: Message,
{
    /// Reads and hands over, until either end is pending, or as many messages have come in as `budget` has,
    /// or as many bytes as are `left` of this poll's.
    pub(super) fn read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
        left: &mut usize,
    ) -> Step<Read> {
        let mut this = self.project();
        let rest = |any| Continue(Read { any, more: false });
        for round in 0..=*budget {
            let any = round > 0;
            if let Some(handling) = this.handling.as_mut().as_pin_mut() {
                match handling.poll(cx) {
                    Poll::Pending => return rest(any),
                    Poll::Ready(done) => {
                        this.handling.set(None);
                        if let Err(error) = done {
                            this.shared
                                .config
                                .emit(QueueEvent::HandlerFailed(SharedError::new(error)));
                        }
                    }
                }
            }
            // Not before the last one's handler has run: its answer would be a write of its own.
            if round == *budget || *left == 0 {
                break;
            }
            if let Phase::Draining { peer: true } = this.phase {
                return rest(any);
            }
            if !*this.handler_ready {
                match this.handler.poll_ready(cx) {
                    Poll::Pending => return rest(any),
                    Poll::Ready(Ok(())) => *this.handler_ready = true,
                    Poll::Ready(Err(error)) => return Break(DisconnectReason::error(error)),
                }
            }
            match Pin::new(&mut *this.channel).poll_next(cx) {
                Poll::Pending => return rest(any),
                Poll::Ready(Some(Ok(Inbound::Message(msg)))) => {
                    *this.handler_ready = false;
                    let bytes = match round % SAMPLE {
                        0 => sampled(&msg),
                        _ => LEAST,
                    };
                    *left = left.saturating_sub(bytes);
                    this.handling.set(Some(this.handler.call(msg)));
                }
                Poll::Ready(Some(Ok(Inbound::Rejected(rejection)))) => {
                    *left = left.saturating_sub(LEAST);
                    let config = &this.shared.config;
                    config.emit(QueueEvent::Rejected(rejection));
                    let limit = config.max_errors;
                    let errors = this
                        .errors
                        .get_or_insert_with(|| Box::new(PerMinute::new(limit)));
                    if errors.take(Instant::now().into_std()).is_none() {
                        return Break(DisconnectReason::error(TooManyErrors { limit }));
                    }
                }
                Poll::Ready(Some(Ok(Inbound::Noticed(notice)))) => {
                    *left = left.saturating_sub(LEAST);
                    this.shared.config.emit(QueueEvent::Noticed(notice));
                }
                Poll::Ready(Some(Err(_))) if *this.phase == Phase::Deaf => {
                    return Break(broke(this.broke));
                }
                Poll::Ready(Some(Err(error))) => return Break(DisconnectReason::error(error)),
                Poll::Ready(None) => match this.phase {
                    Phase::Lingering => return Break(DisconnectReason::Intentional),
                    // It had left in good order, which is why writing failed.
                    Phase::Deaf => return Break(DisconnectReason::Closed),
                    _ => *this.phase = Phase::Draining { peer: true },
                },
            }
        }
        *budget = budget.saturating_mul(2).min(MOST);
        Continue(Read {
            any: true,
            more: true,
        })
    }
}
