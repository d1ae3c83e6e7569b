//! One sent message, and its result as its sender knows it.

use std::{collections::BTreeSet, time::Instant};

/// The result of a `call`.
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
    pub(super) completed: Instant,
    /// The listener that the sender was connected to at the call, and at its completion.
    pub(super) to: [Option<String>; 2],
    pub(super) outcome: Outcome,
}

impl Call {
    /// The receiver, if it is certain.
    pub(super) fn receiver(&self) -> Option<&str> {
        let [before, after] = &self.to;
        before.as_deref().filter(|_| before == after)
    }

    /// True if the listener at the call is not among these receivers.
    pub(super) fn was_redirected(&self, to: &BTreeSet<&str>) -> bool {
        self.to[0]
            .as_deref()
            .is_some_and(|before| !to.contains(before))
    }
}
