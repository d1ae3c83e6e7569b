//! What became of one message, as its sender knows it.

use std::{collections::BTreeSet, time::Instant};

/// What a `call` came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The kernel has taken it.
    Taken,
    /// It may have been sent.
    Maybe,
    /// It was not sent.
    Not(String),
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) number: usize,
    pub(super) called: Instant,
    pub(super) told: Instant,
    /// Whom the sender was connected to when it called, and when it was told.
    pub(super) to: [Option<String>; 2],
    pub(super) outcome: Outcome,
}

impl Call {
    /// Whom it went to, as far as that is certain.
    pub(super) fn receiver(&self) -> Option<&str> {
        let [before, after] = &self.to;
        before.as_deref().filter(|_| before == after)
    }

    /// These are not whom the sender was connected to when it called.
    pub(super) fn went_on(&self, to: &BTreeSet<&str>) -> bool {
        self.to[0]
            .as_deref()
            .is_some_and(|before| !to.contains(before))
    }
}
