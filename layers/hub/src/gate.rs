//! What holds a member back: its messages that are not routed yet, the queues that they have filled, and what was
//! refused of them.
//!
//! In: messages that are handed in and routed. Out: whether more may be read. May touch: the lock of one member;
//! no code of a user runs under it.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use kyneta_uds_core::ignore_poison;
use kyneta_uds_queue::Handle;
use kyneta_uds_relay::MemberKey;

/// How many messages of one member may wait while another task routes; the last [round](crate::round) may exceed it.
const MAX_MESSAGES: usize = 32;

/// How many bytes they may hold; the last round may exceed it.
const MAX_BYTES: usize = 256 << 10;

/// What waits in the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Waiting {
    /// Nothing may be handed in meanwhile.
    pub(crate) const SHUT: Self = Self {
        messages: MAX_MESSAGES,
        bytes: 0,
    };
}

/// What its last messages have led to.
#[derive(Debug)]
pub(crate) struct After<M> {
    /// The queues that have no room since.
    pub(crate) full: Vec<(MemberKey, Handle<M>)>,
    /// How often the router has refused something of them.
    pub(crate) refusals: u32,
    /// How many documents the router has shown for few of them, each counted once a member, and what each message counts.
    pub(crate) shown: usize,
}

impl<M> After<M> {
    pub(crate) const NOTHING: Self = Self {
        full: Vec::new(),
        refusals: 0,
        shown: 0,
    };

    pub(crate) const fn is_nothing(&self) -> bool {
        self.full.is_empty() && self.refusals == 0 && self.shown == 0
    }
}

/// One member's.
#[derive(Debug)]
pub(crate) struct Gate<M> {
    /// Something is held in `state`; else its lock need not be taken.
    is_busy: AtomicBool,
    state: Mutex<State<M>>,
}

#[derive(Debug)]
struct State<M> {
    messages: usize,
    bytes: usize,
    after: After<M>,
    waker: Option<Waker>,
}

impl<M> Gate<M> {
    pub(crate) fn new() -> Self {
        Self {
            is_busy: AtomicBool::new(false),
            state: Mutex::new(State {
                messages: 0,
                bytes: 0,
                after: After::NOTHING,
                waker: None,
            }),
        }
    }

    /// Messages wait in the line.
    pub(crate) fn handed_in(&self, waiting: Waiting) {
        let mut state = self.lock();
        self.is_busy.store(true, Ordering::Release);
        state.messages += waiting.messages;
        state.bytes = state.bytes.saturating_add(waiting.bytes);
    }

    /// Messages are routed, after they have `waited` or have not. What they have led to is taken out of `after`.
    pub(crate) fn routed(&self, waited: Option<Waiting>, after: &mut After<M>) {
        let mut state = self.lock();
        if let Some(Waiting { messages, bytes }) = waited {
            state.messages = state.messages.saturating_sub(messages);
            state.bytes = state.bytes.saturating_sub(bytes);
        }
        for (key, handle) in after.full.drain(..) {
            if !state.after.full.iter().any(|(known, _)| *known == key) {
                state.after.full.push((key, handle));
            }
        }
        let refusals = std::mem::take(&mut after.refusals);
        state.after.refusals = state.after.refusals.saturating_add(refusals);
        state.after.shown += std::mem::take(&mut after.shown);
        self.note(&state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What waited is over and has led to nothing that its member is to wait for.
    pub(crate) fn over(&self, waited: Option<Waiting>) {
        if waited.is_some() {
            let mut nothing = After::NOTHING;
            self.routed(waited, &mut nothing);
        }
    }

    /// Ready when another message may be handed in, once the member has waited for what the last ones have led to.
    #[inline]
    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<After<M>> {
        match self.is_busy.load(Ordering::Acquire) {
            true => self.poll_busy(cx),
            false => Poll::Ready(After::NOTHING),
        }
    }

    #[cold]
    fn poll_busy(&self, cx: &mut Context<'_>) -> Poll<After<M>> {
        // Cloned, and the former one dropped, without the lock.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.messages < MAX_MESSAGES && state.bytes < MAX_BYTES {
            let after = std::mem::replace(&mut state.after, After::NOTHING);
            self.note(&state);
            return Poll::Ready(after);
        }
        let former = state.waker.replace(waker);
        drop(state);
        drop(former);
        Poll::Pending
    }

    fn note(&self, state: &State<M>) {
        let is_busy = state.messages > 0 || !state.after.is_nothing();
        self.is_busy.store(is_busy, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        ignore_poison(self.state.lock())
    }
}
