//! What waits to be written to one link.
//!
//! In: frames of the hub, in their order. Out: the same, with acknowledgements that stand side by side joined. May touch: a
//! lock of its own, the waker of the link's task.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use kyneta_uds_bus::{LinkFrame, MemberId, SeqNo, Session};
use kyneta_uds_core::ignore_poison;

use crate::bus::wire::Body;

/// How many frames, and bytes of messages, may wait for a link. What waits is kept by its senders too, so a link that
/// is ended for it loses nothing.
pub(super) const MAX_FRAMES: usize = 1 << 18;
pub(super) const MAX_BYTES: usize = 256 << 20;

/// How many acknowledgements at the end of the queue are looked at for one to join with.
const JOINED: usize = 32;

/// From this machine's hub to that of another one.
#[derive(Debug, Default)]
pub(crate) struct LinkBox {
    state: Mutex<State>,
    waker: AtomicWaker,
    /// The last round trip, in microseconds and one more; 0 for none yet.
    round_trip: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<LinkFrame<Body>>,
    bytes: usize,
    is_closed: bool,
    is_overfull: bool,
    is_finished: bool,
    /// Nothing goes out.
    is_held: bool,
}

fn bytes(frame: &LinkFrame<Body>) -> usize {
    match frame {
        LinkFrame::Msg { message, .. } => message.body.data.len(),
        _ => 0,
    }
}

impl LinkBox {
    /// Adds a frame. A link for which too much waits is closed.
    pub(crate) fn push(&self, frame: LinkFrame<Body>) {
        let mut state = self.lock();
        if state.is_closed || state.joins(&frame) {
            return;
        }
        state.bytes += bytes(&frame);
        state.frames.push_back(frame);
        if state.frames.len() > MAX_FRAMES || state.bytes > MAX_BYTES {
            state.is_overfull = true;
            state.close();
            drop(state);
            self.waker.wake();
        }
    }

    /// The first frame; `None` when nothing waits, and while it is held.
    pub(super) fn pop(&self) -> Option<LinkFrame<Body>> {
        let mut state = self.lock();
        if state.is_held {
            return None;
        }
        let frame = state.frames.pop_front()?;
        state.bytes -= bytes(&frame);
        Some(frame)
    }

    /// How many frames wait, and the bytes of messages among them.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let state = self.lock();
        (state.frames.len(), state.bytes)
    }

    /// What is added from now on goes out when it is [released](Self::release), if it ever is.
    pub(crate) fn hold(&self) {
        self.lock().is_held = true;
    }

    pub(crate) fn release(&self) {
        self.lock().is_held = false;
        self.waker.wake();
    }

    /// The link is to end.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.waker.wake();
    }

    /// The link is to end when what waits is written.
    pub(crate) fn finish(&self) {
        self.lock().is_finished = true;
        self.waker.wake();
    }

    pub(super) fn is_finished(&self) -> bool {
        self.lock().is_finished
    }

    /// It is closed because too much waited.
    pub(super) fn is_overfull(&self) -> bool {
        self.lock().is_overfull
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The last round trip over the link.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_micros(micros))
    }

    pub(super) fn answered_in(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX - 1);
        self.round_trip.store(micros + 1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

impl State {
    fn close(&mut self) {
        self.is_closed = true;
        self.frames.clear();
        self.bytes = 0;
    }

    /// An acknowledgement takes the place of an earlier one of the same pair, if nothing but acknowledgements is between.
    fn joins(&mut self, frame: &LinkFrame<Body>) -> bool {
        let Some((pair, k)) = ack(frame) else {
            return false;
        };
        for earlier in self.frames.iter_mut().rev().take(JOINED) {
            let Some((other, _)) = ack(earlier) else {
                return false;
            };
            let is_same = other == pair;
            if is_same && let LinkFrame::Acked { k: last, .. } = earlier {
                *last = k.max(*last);
                return true;
            }
        }
        false
    }
}

/// What an acknowledgement is about, and its number.
fn ack(frame: &LinkFrame<Body>) -> Option<((&MemberId, Session, &MemberId), SeqNo)> {
    match frame {
        LinkFrame::Acked {
            sender,
            sender_session,
            receiver,
            k,
        } => Some(((sender, *sender_session, receiver), *k)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_bus::Incarnation;
    use kyneta_uds_core::PeerId;

    use super::*;

    #[test]
    fn acknowledgements_of_a_pair_are_joined_until_something_else_comes() {
        let id = |id: &str| MemberId::new(PeerId::new(id).unwrap(), Incarnation(1));
        let ack = |receiver: &str, k| LinkFrame::Acked {
            sender: id("a"),
            sender_session: Session(1),
            receiver: id(receiver),
            k: SeqNo(k),
        };
        let outbox = LinkBox::default();
        for frame in [ack("b", 1), ack("c", 1), ack("b", 3), ack("b", 2)] {
            outbox.push(frame);
        }
        outbox.push(LinkFrame::Gone(id("d")));
        outbox.push(ack("b", 4));
        let all: Vec<_> = std::iter::from_fn(|| outbox.pop()).collect();
        let gone = LinkFrame::Gone(id("d"));
        assert_eq!(all, [ack("b", 3), ack("c", 1), gone, ack("b", 4)]);
    }

    #[test]
    fn a_link_for_which_too_much_waits_is_closed_and_holds_nothing() {
        let outbox = LinkBox::default();
        let gone = MemberId::new(PeerId::new("a").unwrap(), Incarnation(1));
        for _ in 0..=MAX_FRAMES {
            outbox.push(LinkFrame::Gone(gone.clone()));
        }
        assert!(outbox.is_closed() && outbox.is_overfull());
        assert_eq!(outbox.queued(), (0, 0));
    }
}
