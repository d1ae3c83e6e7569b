//! What a run took.

use std::cmp::Ordering;

/// What a run took, from the last event until all was quiet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) messages: usize,
    pub(crate) rounds: usize,
    pub(crate) hub_kills: usize,
    pub(crate) members: usize,
    pub(crate) documents: usize,
}

impl Ord for Outcome {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.messages, self.rounds).cmp(&(other.messages, other.rounds))
    }
}

impl PartialOrd for Outcome {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
