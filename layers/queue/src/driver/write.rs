//! Writing: what waits is encoded and flushed, and the send queue learns how far.
//!
//! In: the send queue, taken out whole. Out: bytes in the channel, completions. May touch: the channel; the lock of
//! the queue once a turn, never while a message is encoded.

use std::{
    ops::ControlFlow::{Break, Continue},
    pin::Pin,
    task::{Context, Poll},
};

use kyneta_uds_core::{BoxError, Channel, DisconnectReason, Message, SharedError};
use tower_service::Service;

use super::{
    Drive,
    halt::still_carried,
    in_place::InPlace,
    state::{Phase, Step, Wrote},
};
use crate::{config::QueueEvent, send_queue::Queued};

impl<C, H, M, R> Drive<C, H, M, R>
where
    C: Channel<M, In: Message>,
    H: Service<C::In, Response = (), Error: Into<BoxError>>,
    M: Message,
{
    /// Encodes what waits and flushes, until the channel is pending or nothing waits.
    /// `BEYOND` its room, too: then all is encoded that waits at first, until the channel holds `beyond` bytes. What others
    /// send meanwhile, as fast as it is encoded, stays in the queue.
    pub(super) fn write<const BEYOND: bool>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        beyond: usize,
    ) -> Step<Wrote> {
        let mut this = self.as_mut().project();
        if !this
            .waker
            .as_ref()
            .is_some_and(|own| own.will_wake(cx.waker()))
        {
            *this.waker = Some(cx.waker().clone());
        }
        if *this.phase == Phase::WriteFailed {
            this.shared.lock().register_driver(this.waker, false);
            return Continue(Wrote::default());
        }
        let (mut encoded, mut moved) = (false, false);
        let mut has_taken = false;
        let (held, taken) = (this.channel.buffered(), *this.taken);
        loop {
            let (mut messages, mut bytes) = (0, 0_usize);
            let pending = loop {
                if let Some(calling) = this.calling.as_mut().as_pin_mut() {
                    match calling.poll(cx) {
                        Poll::Pending => break true,
                        Poll::Ready(done) => {
                            this.calling.set(None);
                            if let Err(error) = done {
                                let error = SharedError::new(error);
                                this.shared.refuse(*this.encoded - 1, error);
                            }
                        }
                    }
                }
                if this.batch.is_empty() {
                    break false;
                }
                match this.channel.poll_ready(cx) {
                    Poll::Pending if BEYOND && this.channel.buffered() < beyond => {}
                    Poll::Pending => break true,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return self.write_failed(cx, error.into()),
                }
                if this.channel.buffered() == 0 {
                    *this.taken = *this.encoded;
                }
                // A single message is called with: a round trip has no use for a run, unless it waits by reference.
                if this.batch.len() > 1 || this.batch.begins_small() {
                    let mut run = InPlace::of(this.batch, this.encoded);
                    let called = this.channel.call_many(&mut run);
                    let (count, size) = run.done();
                    if count > 0 {
                        messages += count;
                        bytes = bytes.saturating_add(size);
                        if let Err(error) = called {
                            let error = SharedError::new(error);
                            this.shared.refuse(*this.encoded - 1, error);
                        }
                        continue;
                    }
                }
                let Some(Queued {
                    msg: Some(msg),
                    size,
                }) = this.batch.pop()
                else {
                    break false;
                };
                messages += 1;
                bytes = bytes.saturating_add(size);
                *this.encoded += 1;
                this.calling.set(Some(this.channel.call(msg)));
            };
            // While the handler runs, nothing polls the stream: then this poll drives a channel that
            // reconnects or accepts connections.
            let unread = this.handling.is_some() || !*this.handler_ready;
            let alone = unread && *this.phase == Phase::Open;
            // What stands before one that a layer of the user's holds back goes out all the same.
            let held_back = u64::from(this.calling.is_some());
            let given = *this.encoded - held_back;
            // A channel that goes on in another process may hold bytes of messages that were called there.
            if *this.taken < given || held > 0 || (!pending && alone) {
                let before = this.channel.buffered();
                match this.channel.poll_flush(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => *this.taken = given,
                    Poll::Ready(Err(error)) => return self.write_failed(cx, error.into()),
                }
                moved |= this.channel.buffered() < before;
            }
            encoded |= messages > 0;
            let lost = this.channel.lost();
            if lost.is_some() {
                // What the channel was at work on went with the rest.
                this.calling.set(None);
            }
            let carried = this.carries.then(|| {
                let (most, held) = (this.shared.config.max_bytes, this.channel.buffered());
                still_carried(*this.is_ahead, most, held)
            });

            let mut send_queue = this.shared.lock();
            let again = lost.is_some();
            let mut forgotten = None;
            if let Some(reason) = lost
                && *this.taken < *this.encoded
            {
                forgotten = send_queue.lose(*this.taken..*this.encoded, reason);
                *this.taken = *this.encoded;
            }
            if let Some(left) = carried {
                bytes = bytes.saturating_add(send_queue.carries_at_most(left));
                *this.carries = send_queue.carries();
            }
            let progressed = send_queue.progress(messages, bytes, *this.taken);
            if this.batch.is_empty() && !(BEYOND && has_taken) {
                send_queue.take(this.batch);
                has_taken = true;
            }
            let idle = !pending && this.batch.is_empty();
            if (pending || idle) && !again {
                send_queue.register_driver(this.waker, idle);
            }
            let (closing, contention) = (send_queue.is_closing(), send_queue.contention());
            let reclaim = idle && send_queue.can_reclaim(this.batch);
            drop(send_queue);
            drop(forgotten);
            // Events first, then the wake-ups that they caused.
            this.shared.tell_high_water(progressed.high_water);
            if progressed.drained {
                this.shared.tell(&QueueEvent::Drained);
            }
            progressed.wakes.wake();
            if (pending || idle) && !again {
                let done = idle && *this.taken == *this.encoded;
                let left = this.channel.buffered();
                return Continue(Wrote {
                    encoded,
                    // With nothing encoded, fewer bytes are some that the kernel has taken.
                    moved: moved || *this.taken > taken || (!encoded && left < held),
                    unflushed: left > 0,
                    done,
                    closing,
                    contention,
                    reclaim,
                });
            }
        }
    }

    /// Writing has failed. A peer that has ended its direction may be gone altogether: that is no
    /// error. One that has not may have said things before it left: they are still read, within the
    /// drain timeout, while senders learn at once.
    #[cold]
    fn write_failed(self: Pin<&mut Self>, cx: &mut Context<'_>, error: BoxError) -> Step<Wrote> {
        let mut this = self.project();
        if let Phase::Draining { peer: true } = this.phase {
            return Break(DisconnectReason::Closed);
        }
        let reason = DisconnectReason::error(error);
        *this.phase = Phase::WriteFailed;
        *this.write_error = Some(reason.clone());
        this.calling.set(None);
        this.batch.clear();
        this.shared.fail(*this.encoded, reason);
        this.shared.lock().register_driver(this.waker, false);
        // Readable bytes have woken no task.
        cx.waker().wake_by_ref();
        Continue(Wrote::default())
    }
}
