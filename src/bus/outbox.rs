//! What waits to be written to one connection.
//!
//! In: frames, in their order. Out: the same, as the connection takes them. May touch: a lock of its own, the waker of
//! the connection's task. No code of a user runs under the lock.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    task::Waker,
};

use futures_util::task::AtomicWaker;
use kyneta_uds_bus::{Copies, DownFrame, MemberQueue, SlowPolicy, UpFrame};
use kyneta_uds_core::ignore_poison;

use super::wire::{Body, Wire};

/// An item of the way up.
#[derive(Debug)]
pub(crate) enum Up {
    /// A frame of the member.
    Frame(UpFrame<Body>),
    /// Copies, to be drawn one by one.
    Copies(Copies),
}

/// From a member to the hub that it is connected to.
#[derive(Debug, Default)]
pub(crate) struct UpBox {
    items: Mutex<VecDeque<Up>>,
    waker: AtomicWaker,
}

impl UpBox {
    pub(crate) fn push(&self, item: Up) {
        ignore_poison(self.items.lock()).push_back(item);
    }

    pub(crate) fn pop(&self) -> Option<Up> {
        ignore_poison(self.items.lock()).pop_front()
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
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
    frames: MemberQueue<Body>,
}

impl DownBox {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(DownState {
                first: VecDeque::new(),
                frames: MemberQueue::new(SlowPolicy::Wait),
            }),
            waker: AtomicWaker::new(),
        }
    }

    /// The member has said what is to happen when it is slow. Nothing waits yet.
    pub(crate) fn slow(&self, slow: SlowPolicy) {
        self.lock().frames = MemberQueue::new(slow);
    }

    /// How many wait now.
    pub(crate) fn push(&self, frame: DownFrame<Body>) -> usize {
        let mut state = self.lock();
        state.frames.push(frame);
        state.frames.len()
    }

    pub(crate) fn push_wire(&self, wire: Wire) {
        self.lock().first.push_back(wire);
    }

    pub(crate) fn pop(&self) -> Option<Down> {
        let mut state = self.lock();
        match state.first.pop_front() {
            Some(wire) => Some(Down::Wire(Box::new(wire))),
            None => state.frames.pop().map(Down::Frame),
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        let state = self.lock();
        state.first.len() + state.frames.len()
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
