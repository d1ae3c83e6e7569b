//! Many connections halt at once.
//!
//! In: how each is told to halt. Out: which of them have. Touches nothing but tokio's clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use kyneta_uds_queue::Handle;
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

/// After how long a handler that is still at work may be waiting for room in the queue of another connection.
const ROOM_AFTER: Duration = Duration::from_millis(5);

const WAITED_FOR: u8 = 0;
const HALTED: u8 = 1;
const ENDED: u8 = 2;

/// One round over all connections. It is the last answer that wakes, not each: all of them wait for it.
pub(crate) struct Halts(Arc<Round>);

struct Round {
    answers: Box<[AtomicU8]>,
    missing: AtomicUsize,
    all_are_in: Notify,
}

/// How one of them answers. Dropped, it has ended.
pub(crate) struct Answer {
    round: Arc<Round>,
    number: usize,
}

impl Halts {
    /// Tells each of them to halt.
    pub(crate) fn of<T>(all: &[T], halt: impl Fn(&T, Answer)) -> Self {
        let round = Arc::new(Round {
            answers: all.iter().map(|_| AtomicU8::new(WAITED_FOR)).collect(),
            missing: AtomicUsize::new(all.len()),
            all_are_in: Notify::new(),
        });
        for (number, one) in all.iter().enumerate() {
            let round = round.clone();
            halt(one, Answer { round, number });
        }
        Self(round)
    }

    /// Waits until all have answered.
    ///
    /// Cancel safe.
    pub(crate) async fn all(&self) {
        // A permit is kept where the last answer comes first.
        if self.0.missing.load(Ordering::Acquire) > 0 {
            self.0.all_are_in.notified().await;
        }
    }

    /// Waits until all are quiet, at most until `deadline`; after 5 ms, room is made in the queues. Whether all have answered.
    pub(crate) async fn all_quiet<'a, M: 'a>(
        &self,
        handles: impl Iterator<Item = &'a Handle<M>>,
        deadline: Instant,
    ) -> bool {
        if timeout(ROOM_AFTER, self.all()).await.is_ok() {
            return true;
        }
        handles.for_each(Handle::make_room);
        timeout_at(deadline, self.all()).await.is_ok()
    }

    /// Whether each of them has halted, in order; `None` where it has not answered.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Option<bool>> {
        let answers = self.0.answers.iter();
        answers.map(|answer| match answer.load(Ordering::Acquire) {
            WAITED_FOR => None,
            answer => Some(answer == HALTED),
        })
    }
}

impl Answer {
    /// It has halted, or it is ending.
    pub(crate) fn is(self, has_halted: bool) {
        if has_halted {
            self.set(HALTED);
        }
    }

    fn set(&self, answer: u8) {
        let Some(place) = self.round.answers.get(self.number) else {
            return;
        };
        let first = place.compare_exchange(WAITED_FOR, answer, Ordering::AcqRel, Ordering::Relaxed);
        if first.is_ok() && self.round.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.round.all_are_in.notify_one();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.set(ENDED);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn it_is_over_with_the_last_answer_and_a_dropped_one_has_ended() {
        let held = RefCell::new(Vec::new());
        let halts = Halts::of(&[7, 8, 9], |_, answer| held.borrow_mut().push(answer));
        let mut answers = held.into_inner();
        drop(answers.remove(1));
        answers.remove(0).is(true);
        assert!(halts.all().now_or_never().is_none());
        let so_far: Vec<_> = halts.answers().collect();
        assert_eq!(so_far, [Some(true), Some(false), None]);
        answers.remove(0).is(false);
        assert!(halts.all().now_or_never().is_some());
        assert_eq!(halts.answers().last(), Some(Some(false)));
        assert!(
            Halts::of::<u8>(&[], |_, _| {})
                .all()
                .now_or_never()
                .is_some()
        );
    }
}
