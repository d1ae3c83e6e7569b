//! Events on their way to what takes them.
//!
//! In: events, from any thread, also under locks. Out: the same, one after the other, by whoever delivers first. May touch:
//! a lock of its own. What takes an event is code of the user (what logs, what is woken): it is called under no lock, may
//! call whatever adds an event, and a panic in it costs neither other events nor what happens to deliver.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard},
};

use kyneta_uds_core::{ignore_poison, undisturbed};

/// How many events may wait while what takes them does not return. Beyond it the oldest is missed.
const MAX_WAITING: usize = 4096;

/// Events in their order.
pub(crate) struct EventOutbox<E> {
    state: Mutex<State<E>>,
    /// The event that says how many are missed.
    missed: fn(u64) -> E,
}

struct State<E> {
    waiting: VecDeque<E>,
    missed: u64,
    /// A call delivers: also what is added meanwhile.
    is_delivering: bool,
}

impl<E> EventOutbox<E> {
    pub(crate) fn new(missed: fn(u64) -> E) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                missed: 0,
                is_delivering: false,
            }),
            missed,
        }
    }

    /// Adds an event, which waits for [`deliver`](Self::deliver).
    pub(crate) fn push(&self, event: E) {
        let too_old = self.state().push(event);
        drop(too_old);
    }

    /// Delivers what waits, unless another call is at it. To be called under no lock.
    pub(crate) fn deliver(&self, take: impl FnMut(E)) {
        let next = self.state().begin(self.missed);
        self.go_on(next, take);
    }

    /// Adds an event, and delivers.
    pub(crate) fn send(&self, event: E, take: impl FnMut(E)) {
        let mut state = self.state();
        let too_old = state.push(event);
        let next = state.begin(self.missed);
        drop(state);
        drop(too_old);
        self.go_on(next, take);
    }

    fn go_on(&self, mut next: Option<E>, mut take: impl FnMut(E)) {
        while let Some(event) = next {
            undisturbed(|| take(event));
            next = self.state().next(self.missed);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        ignore_poison(self.state.lock())
    }
}

impl<E> State<E> {
    /// The event that is missed, if one is.
    fn push(&mut self, event: E) -> Option<E> {
        let is_full = self.waiting.len() >= MAX_WAITING;
        let too_old = is_full.then(|| self.waiting.pop_front()).flatten();
        self.missed += u64::from(is_full);
        self.waiting.push_back(event);
        too_old
    }

    fn begin(&mut self, missed: fn(u64) -> E) -> Option<E> {
        if self.is_delivering {
            return None;
        }
        self.next(missed)
    }

    fn next(&mut self, missed: fn(u64) -> E) -> Option<E> {
        let next = match std::mem::take(&mut self.missed) {
            0 => self.waiting.pop_front(),
            count => Some(missed(count)),
        };
        self.is_delivering = next.is_some();
        next
    }
}

impl<E> fmt::Debug for EventOutbox<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventOutbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSED: fn(u64) -> u64 = |count| 1_000_000 + count;

    #[test]
    fn what_is_added_while_one_is_taken_comes_after_it() {
        let outbox = EventOutbox::new(MISSED);
        let mut taken = Vec::new();
        outbox.push(1);
        outbox.send(2, |event| {
            if event < 5 {
                // Not within this call: the order would be another one.
                outbox.send(event + 2, |_| panic!("it is at work"));
            }
            taken.push(event);
        });
        assert_eq!(taken, [1, 2, 3, 4, 5, 6]);
        outbox.deliver(|_| panic!("nothing waits"));
    }

    #[test]
    fn a_panic_costs_no_other_event() {
        let outbox = EventOutbox::new(MISSED);
        let mut taken = Vec::new();
        outbox.push(1);
        for event in 2..4 {
            outbox.send(event, |event| {
                assert_ne!(event, 1, "as the test wants it");
                taken.push(event);
            });
        }
        assert_eq!(taken, [2, 3]);
    }

    #[test]
    fn the_oldest_are_missed_where_too_many_wait() {
        let outbox = EventOutbox::new(MISSED);
        let most = MAX_WAITING as u64;
        (0..most + 3).for_each(|event| outbox.push(event));
        let mut taken = Vec::new();
        outbox.deliver(|event| taken.push(event));
        let expected = std::iter::once(MISSED(3)).chain(3..most + 3);
        assert!(taken.into_iter().eq(expected));
    }
}
