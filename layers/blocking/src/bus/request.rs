//! Requests of others, until they are answered.
//!
//! In: requests that the user drops. Out: those without an answer, with the reason. Touches nothing.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use kyneta_uds_bus::{MemberId, SeqNo};
use kyneta_uds_core::ignore_poison;

/// Which request an answer is for. When it is dropped without one, the next call of its [`BusMember`](crate::BusMember)
/// tells the asker that there is none.
#[must_use = "the asker waits for an answer"]
pub struct BusRequest {
    pub(super) from: MemberId,
    pub(super) seq: SeqNo,
    unanswered: Unanswered,
    is_answered: bool,
}

impl BusRequest {
    pub(super) const fn new(from: MemberId, seq: SeqNo, unanswered: Unanswered) -> Self {
        Self {
            from,
            seq,
            unanswered,
            is_answered: false,
        }
    }

    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for BusRequest {
    fn drop(&mut self) {
        if !self.is_answered {
            let why = Bytes::from_static(b"the request was not answered");
            self.unanswered.add(self.from.clone(), self.seq, why);
        }
    }
}

impl fmt::Debug for BusRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusRequest")
            .field("from", &self.from)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

/// Requests whose askers are to be told why there is no answer. There are at most as many as members wait for.
#[derive(Clone, Default)]
pub(super) struct Unanswered(Arc<Mutex<VecDeque<Failed>>>);

/// A request without an answer: who asked, which one, and why.
pub(super) type Failed = (MemberId, SeqNo, Bytes);

impl Unanswered {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Failed>> {
        ignore_poison(self.0.lock())
    }

    pub(super) fn add(&self, from: MemberId, seq: SeqNo, why: Bytes) {
        self.lock().push_back((from, seq, why));
    }

    /// The asker does not wait any more.
    pub(super) fn taken_back(&self, from: &MemberId, seq: SeqNo) {
        self.lock().retain(|(of, n, _)| (of, *n) != (from, seq));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes the first one, if its reason is of a size that `fits`.
    pub(super) fn next(&self, fits: impl FnOnce(usize) -> bool) -> Option<Failed> {
        let mut all = self.lock();
        let (.., why) = all.front()?;
        fits(why.len()).then(|| all.pop_front()).flatten()
    }
}
