//! The failures in many rounds of the same test: counted, printed, and judged at the end.

use std::fmt;

use crate::bus::{Bus, RoundFailure};

/// More failures would teach nothing new.
const MAX_FAILURES: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct RoundResults {
    rounds: usize,
    splits: usize,
    hangs: usize,
    /// Processes that listened beside another listener, for a moment or for good.
    second_listeners: usize,
}

impl RoundResults {
    /// Counts a good round, and the processes that became the listener in it.
    pub(crate) fn succeeded(&mut self, listeners: usize) {
        self.rounds += 1;
        self.second_listeners += listeners.saturating_sub(1);
    }

    /// Counts a failed round.
    pub(crate) fn failed(&mut self, bus: &Bus, failure: &RoundFailure) {
        self.rounds += 1;
        match failure {
            RoundFailure::Split(_) => self.splits += 1,
            RoundFailure::Hang => self.hangs += 1,
        }
        println!("round {}: {failure}\n{}", self.rounds, bus.transcript());
        // Each failure takes a whole timeout.
        assert!(self.splits + self.hangs < MAX_FAILURES, "{self}");
    }

    /// Fails the test if a round failed.
    pub(crate) fn check(&self) {
        let wrong = (self.splits, self.hangs, self.second_listeners);
        assert_eq!(wrong, (0, 0, 0), "{self}");
    }
}

impl fmt::Display for RoundResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, {} splits, {} hangs, {} second listeners",
            self.rounds, self.splits, self.hangs, self.second_listeners
        )
    }
}
