//! Moves the frames of one link in both directions until it ends.
//!
//! In: payloads of the link, what waits in its outbox. Out: frames for the hub, payloads. May touch: the channel, the
//! state of the bus, the clock.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use kyneta_uds_bus::MachineId;
use kyneta_uds_core::{Channel, Inbound, SharedError};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{
    names::Names,
    outbox::{LinkBox, MAX_BYTES, MAX_FRAMES},
    wire::LinkWire,
};
use crate::bus::shared::Shared;

/// How many payloads are read under one lock of the state, and before what waits is written.
const READS: usize = 64;

/// How many times as much may be read before another task has its turn.
const TURNS: usize = 8;

/// How often the other side is asked for an answer, and looked at whether it reads.
const TICK: Duration = Duration::from_secs(1);

/// A link as the hub has it.
pub(super) struct Pump<C> {
    pub(super) channel: C,
    pub(super) names: Names,
    pub(super) outbox: Arc<LinkBox>,
    pub(super) shared: Arc<Shared>,
    pub(super) machine: MachineId,
    /// Which of the links to the machine this is.
    pub(super) number: u64,
}

/// Why a link has ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkEnd {
    /// It was replaced, or this process does not listen any more.
    #[error("this process does not listen any more, or the bus has another link")]
    Ours,
    #[error("more waits to be sent on it than {MAX_FRAMES} frames or {MAX_BYTES} bytes")]
    TooMuch,
    #[error("the other machine has ended it")]
    Theirs,
    #[error("it is broken: {0}")]
    Broken(SharedError),
    #[error("the other machine has taken no byte for {0:?}")]
    Stalled(Duration),
    #[error("what the other machine says is no frame of a link: {0}")]
    Protocol(SharedError),
}

impl<C: Channel<LinkWire, In = LinkWire>> Pump<C> {
    pub(super) async fn run(mut self) -> LinkEnd {
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = Beat::default();
        let end = poll_fn(|cx| self.poll(&mut clock, &mut beat, cx)).await;
        self.shared.link_ended(self.machine, self.number);
        end
    }

    fn poll(
        &mut self,
        clock: &mut Interval,
        beat: &mut Beat,
        cx: &mut Context<'_>,
    ) -> Poll<LinkEnd> {
        self.outbox.register(cx.waker());
        while clock.poll_tick(cx).is_ready() {
            let limit = self.shared.settings().stall;
            if beat.tick(&self.outbox) >= limit {
                return Poll::Ready(LinkEnd::Stalled(limit));
            }
        }
        for _ in 0..TURNS {
            if self.outbox.is_closed() {
                return Poll::Ready(match self.outbox.is_overfull() {
                    true => LinkEnd::TooMuch,
                    false => LinkEnd::Ours,
                });
            }
            match self.poll_write(beat, cx) {
                Poll::Ready(Ok(())) if self.outbox.is_finished() => {
                    let closed = ready!(self.channel.poll_close(cx));
                    return Poll::Ready(closed.map_or_else(broken, |()| LinkEnd::Ours));
                }
                Poll::Ready(Err(end)) => return Poll::Ready(self.read_rest(end, beat, cx)),
                _ => {}
            }
            match self.poll_read(beat, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what waits, as far as there is room. Ready when all of it is written.
    fn poll_write(&mut self, beat: &mut Beat, cx: &mut Context<'_>) -> Poll<Result<(), LinkEnd>> {
        loop {
            let room = self.channel.poll_ready(cx).map_err(broken)?;
            beat.written(room.is_ready());
            ready!(room);
            let wire = match beat.next() {
                Some(wire) => wire,
                None => match self.outbox.pop() {
                    Some(frame) => {
                        let shared = &self.shared;
                        let wire = self.names.wire(frame, |member| shared.introduction(member));
                        match wire {
                            Some(wire) => wire,
                            None => continue,
                        }
                    }
                    None => break,
                },
            };
            // A message that cannot be encoded would be too large: its sender was told.
            drop(self.channel.call(wire));
        }
        let flushed = self.channel.poll_flush(cx).map_err(broken)?;
        beat.written(flushed.is_ready());
        flushed.map(Ok)
    }

    /// Writing has failed. The other machine may have ended in good order, after its last words: then it takes no more.
    fn read_rest(&mut self, end: LinkEnd, beat: &mut Beat, cx: &mut Context<'_>) -> LinkEnd {
        for _ in 0..TURNS {
            match self.poll_read(beat, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(LinkEnd::Theirs)) => return LinkEnd::Theirs,
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        end
    }

    /// Reads for one turn of the lock. Ready when there may be more.
    fn poll_read(&mut self, beat: &mut Beat, cx: &mut Context<'_>) -> Poll<Result<(), LinkEnd>> {
        let mut inputs = Vec::new();
        let mut more = Poll::Ready(Ok(()));
        for _ in 0..READS {
            let wire = match Pin::new(&mut self.channel).poll_next(cx) {
                Poll::Ready(Some(Ok(Inbound::Message(wire)))) => wire,
                Poll::Ready(Some(Ok(Inbound::Rejected(rejection)))) => {
                    more = Poll::Ready(Err(LinkEnd::Protocol(SharedError::new(rejection))));
                    break;
                }
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(Some(Err(error))) => {
                    more = Poll::Ready(Err(broken(error)));
                    break;
                }
                Poll::Ready(None) => {
                    more = Poll::Ready(Err(LinkEnd::Theirs));
                    break;
                }
                Poll::Pending => {
                    more = Poll::Pending;
                    break;
                }
            };
            match wire {
                LinkWire::Ping(number) => beat.answer = Some(number),
                LinkWire::Pong(number) => beat.answered(number, &self.outbox),
                wire => match self.names.input(wire) {
                    Ok(input) => inputs.push(input),
                    Err(rejection) => {
                        more = Poll::Ready(Err(LinkEnd::Protocol(SharedError::new(rejection))));
                        break;
                    }
                },
            }
        }
        if !inputs.is_empty() {
            self.shared.link_inputs(self.machine, self.number, inputs);
        } else if beat.answer.is_some() && more.is_pending() {
            more = Poll::Ready(Ok(()));
        }
        more
    }
}

/// A link whose task is dropped has ended, too.
impl<C> Drop for Pump<C> {
    fn drop(&mut self) {
        self.shared.link_ended(self.machine, self.number);
    }
}

fn broken(error: impl Into<kyneta_uds_core::BoxError>) -> LinkEnd {
    LinkEnd::Broken(SharedError::new(error))
}

/// Whether the other side answers, and takes what is written.
#[derive(Default)]
struct Beat {
    /// The last question, and when it was asked, until it is answered.
    asked: u64,
    since: Option<Instant>,
    /// To be written.
    ask: bool,
    answer: Option<u64>,
    /// Since when there is no room.
    full: Option<Instant>,
}

impl Beat {
    /// A tick of the clock. For how long there has been no room.
    fn tick(&mut self, outbox: &LinkBox) -> Duration {
        match self.since {
            // The answer takes at least as long.
            Some(since) => outbox.answered_in(since.elapsed()),
            None => self.ask = true,
        }
        self.full.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn next(&mut self) -> Option<LinkWire> {
        if let Some(number) = self.answer.take() {
            return Some(LinkWire::Pong(number));
        }
        if !std::mem::take(&mut self.ask) {
            return None;
        }
        self.asked += 1;
        self.since = Some(Instant::now());
        Some(LinkWire::Ping(self.asked))
    }

    fn answered(&mut self, number: u64, outbox: &LinkBox) {
        if number == self.asked
            && let Some(since) = self.since.take()
        {
            outbox.answered_in(since.elapsed());
        }
    }

    fn written(&mut self, has_room: bool) {
        match has_room {
            true => self.full = None,
            false => {
                self.full.get_or_insert_with(Instant::now);
            }
        }
    }
}
