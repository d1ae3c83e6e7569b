//! What waits to be written to one connection.
//!
//! In: frames, in their order. Out: the same, as the connection takes them. May touch: on the way down a lock of its own; the
//! waker of the connection's task. No code of a user runs under the lock.

use std::{
    cell::Cell,
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use futures_util::task::AtomicWaker;
use kyneta_uds_bus::{
    Copies, DownFrame, MemberId, MemberQueue, Message, Recipients, SlowPolicy, UpFrame,
};
use kyneta_uds_core::{Saved, SavedError, ignore_poison};

use super::{
    bundle::{self, Bundle},
    handoff::{body, save_body},
    wire::{Body, Kind, Wire},
};

/// How much may wait for a connection that looks on, in messages and bytes. Beyond it messages are missed.
const MAX_OBSERVED: usize = 1024;
const MAX_OBSERVED_BYTES: usize = 16 << 20;

/// An item of the way up.
#[derive(Debug)]
pub(crate) enum Up {
    /// A frame of the member.
    Frame(UpFrame<Body>),
    /// Messages to the same receivers.
    Bundle(Recipients, Bundle),
    /// Copies, to be drawn one by one.
    Copies(Copies),
}

impl Up {
    /// Takes in a message to the same receivers that follows this item. False if it may not: then nothing is changed.
    #[inline]
    fn takes(&mut self, to_next: &Recipients, next: &Message<Body>) -> bool {
        match self {
            Self::Bundle(to, bundle) => to == to_next && bundle.add(next),
            Self::Frame(UpFrame::Msg { to, message }) if to == to_next => {
                match Bundle::of(message, next) {
                    Some(bundle) => {
                        *self = Self::Bundle(to.clone(), bundle);
                        true
                    }
                    None => false,
                }
            }
            _ => false,
        }
    }
}

/// From a member to the hub that it is connected to. The lock of the bus guards it: all that adds to it has that anyway.
#[derive(Debug)]
pub(crate) struct UpBox {
    /// The connection's.
    pub(crate) number: u64,
    items: VecDeque<Up>,
    waker: Arc<AtomicWaker>,
}

impl UpBox {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            items: VecDeque::new(),
            waker: Arc::default(),
        }
    }

    /// True when nothing was there: the connection is to be woken. Else it has been.
    pub(crate) fn push(&mut self, item: Up) -> bool {
        let was_empty = self.items.is_empty();
        if let (Some(last), Up::Frame(UpFrame::Msg { to, message })) =
            (self.items.back_mut(), &item)
            && last.takes(to, message)
        {
            return false;
        }
        self.items.push_back(item);
        was_empty
    }

    /// Takes a message into the last item, which the connection has been woken for. False if that may not take it.
    #[inline]
    pub(crate) fn takes(&mut self, to: &Recipients, message: &Message<Body>) -> bool {
        let last = self.items.back_mut();
        last.is_some_and(|last| last.takes(to, message))
    }

    /// Moves all to an empty list, whose memory is used from now on.
    pub(crate) fn take(&mut self, into: &mut VecDeque<Up>) {
        std::mem::swap(&mut self.items, into);
    }

    /// Wakes the connection's task, once the lock is released.
    pub(crate) const fn waker(&self) -> &Arc<AtomicWaker> {
        &self.waker
    }
}

/// An item of the way down.
#[derive(Debug)]
pub(crate) enum Down {
    /// A frame of the hub.
    Frame(DownFrame<Body>),
    /// A payload of the shell's own.
    Wire(Box<Wire>),
}

/// From a hub to one of its connections.
#[derive(Debug)]
pub(crate) struct DownBox {
    state: Mutex<DownState>,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct DownState {
    /// Payloads of the shell's own go first: there is no frame yet, or there will be none.
    first: VecDeque<Wire>,
    /// Of these, the bytes of messages that are shown.
    shown: usize,
    slow: SlowPolicy,
    frames: MemberQueue<Body>,
    /// Messages of bundles, less one for each bundle.
    more: usize,
}

impl DownState {
    /// How many frames wait; of a bundle each message counts.
    fn len(&self) -> usize {
        self.first.len() + self.frames.len() + self.more
    }

    /// A bundle of which the member may keep the newest messages is taken apart.
    const fn keeps_newest(&self, message: &Message<Body>) -> bool {
        self.slow.keeps_newest()
            && !message.addressed
            && matches!(message.body.kind, Kind::Bundle(_))
    }
}

impl DownBox {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(DownState {
                first: VecDeque::new(),
                shown: 0,
                slow: SlowPolicy::Wait,
                frames: MemberQueue::new(SlowPolicy::Wait),
                more: 0,
            }),
            waker: AtomicWaker::new(),
        }
    }

    /// The member has said what is to happen when it is slow. Nothing waits yet.
    pub(crate) fn slow(&self, slow: SlowPolicy) {
        let mut state = self.lock();
        state.slow = slow;
        state.frames = MemberQueue::new(slow);
    }

    /// How many wait now.
    pub(crate) fn push(&self, frame: DownFrame<Body>) -> usize {
        let mut state = self.lock();
        match frame {
            DownFrame::Msg { sender, message } if state.keeps_newest(&message) => {
                for message in bundle::each(&message) {
                    let sender = sender.clone();
                    state.frames.push(DownFrame::Msg { sender, message });
                }
            }
            frame => {
                if let DownFrame::Msg { message, .. } = &frame {
                    state.more += bundle::count(message) - 1;
                }
                state.frames.push(frame);
            }
        }
        state.len()
    }

    /// Messages of one sender; how many frames wait now.
    pub(crate) fn push_run(&self, sender: &MemberId, run: &Arc<[Message<Body>]>) -> usize {
        let mut state = self.lock();
        if run.iter().any(|message| state.keeps_newest(message)) {
            let each: Vec<_> = run.iter().flat_map(bundle::each).collect();
            state.frames.push_run(sender, &each.into());
        } else {
            state.more += run.iter().map(bundle::count).sum::<usize>() - run.len();
            state.frames.push_run(sender, run);
        }
        state.len()
    }

    pub(crate) fn push_wire(&self, wire: Wire) {
        self.lock().first.push_back(wire);
    }

    /// Shows a message of so many bytes to a connection that looks on. False if too much waits for it.
    pub(crate) fn show(&self, size: usize, passed: impl FnOnce() -> Wire) -> bool {
        let mut state = self.lock();
        let has_room = state.first.is_empty()
            || state.first.len() < MAX_OBSERVED
                && state.shown.saturating_add(size) <= MAX_OBSERVED_BYTES;
        if has_room {
            state.shown += size;
            state.first.push_back(passed());
        }
        has_room
    }

    /// Moves the first ones: so many, or one where what waits may still give way to newer messages.
    pub(crate) fn take(&self, most: usize, into: &mut VecDeque<Down>) {
        let mut state = self.lock();
        while let Some(wire) = state.first.pop_front() {
            into.push_back(Down::Wire(Box::new(wire)));
        }
        state.shown = 0;
        let most = match state.slow.keeps_newest() {
            true => 1,
            false => most,
        };
        while into.len() < most
            && let Some(frame) = state.frames.pop()
        {
            if let DownFrame::Msg { message, .. } = &frame {
                state.more -= bundle::count(message) - 1;
            }
            into.push_back(Down::Frame(frame));
        }
    }

    /// Takes the payloads of the shell's own.
    pub(crate) fn take_own(&self) -> VecDeque<Wire> {
        let mut state = self.lock();
        state.shown = 0;
        std::mem::take(&mut state.first)
    }

    /// The frames.
    pub(crate) fn save(&self) -> Saved {
        self.lock().frames.save(save_body)
    }

    /// With the frames that waited in another process.
    pub(crate) fn resume(slow: SlowPolicy, saved: &Saved) -> Result<Self, SavedError> {
        let more = Cell::new(0);
        let frames = MemberQueue::resume(slow, saved, |value| {
            let body = body(value)?;
            if let Kind::Bundle(of) = body.kind {
                more.set(more.get() + of as usize);
            }
            Ok(body)
        })?;
        let this = Self::new();
        *this.lock() = DownState {
            first: VecDeque::new(),
            shown: 0,
            slow,
            frames,
            more: more.get(),
        };
        Ok(this)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    fn lock(&self) -> MutexGuard<'_, DownState> {
        ignore_poison(self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_bus::SeqNo;

    use super::*;

    fn message(n: u64) -> Message<Body> {
        Message {
            n: SeqNo(n),
            addressed: false,
            body: Body {
                kind: Kind::Plain,
                at_once: false,
                data: vec![n as u8; 8].into(),
                trace: None,
            },
        }
    }

    fn frame(n: u64) -> Up {
        let (to, message) = (Recipients::All, message(n));
        Up::Frame(UpFrame::Msg { to, message })
    }

    #[test]
    fn a_connection_is_woken_for_the_first_item_and_finds_all() {
        let mut outbox = UpBox::new(1);
        // Nothing is there, so there is nothing to take it into.
        assert!(!outbox.takes(&Recipients::All, &message(1)));
        assert!(outbox.push(frame(1)));
        assert!(!outbox.push(frame(2)));
        assert!(outbox.takes(&Recipients::All, &message(3)));
        assert!(!outbox.takes(&Recipients::Listed(Vec::new()), &message(4)));
        assert!(!outbox.push(Up::Frame(UpFrame::Bye)));
        assert!(!outbox.takes(&Recipients::All, &message(4)));
        let mut taken = VecDeque::new();
        outbox.take(&mut taken);
        assert!(outbox.push(frame(4)));
        let Some(Up::Bundle(Recipients::All, bundle)) = taken.pop_front() else {
            panic!("{taken:?}");
        };
        let numbers = bundle::each(&bundle.into_message())
            .map(|of| of.n.0)
            .collect::<Vec<_>>();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(matches!(taken.make_contiguous(), [Up::Frame(UpFrame::Bye)]));
    }
}
