//! What has gone wrong in many rounds of the same thing: counted, told, and judged at the end.

use std::fmt;

use crate::bus::{Bus, Trouble};

/// After so much trouble nothing is learnt from more.
const ENOUGH: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct Toll {
    rounds: usize,
    splits: usize,
    hangs: usize,
    /// They said that they listen beside somebody who does, and thought better of it or not.
    second_listeners: usize,
}

impl Toll {
    /// A round that went well, in which so many have said that they listen.
    pub(crate) fn went_well(&mut self, listeners: usize) {
        self.rounds += 1;
        self.second_listeners += listeners.saturating_sub(1);
    }

    /// A round that did not.
    pub(crate) fn went_wrong(&mut self, bus: &Bus, trouble: &Trouble) {
        self.rounds += 1;
        match trouble {
            Trouble::Split(_) => self.splits += 1,
            Trouble::Hang => self.hangs += 1,
        }
        println!("round {}: {trouble}\n{}", self.rounds, bus.story());
        // Each has taken its time.
        assert!(self.splits + self.hangs < ENOUGH, "{self}");
    }

    /// Nothing may have gone wrong.
    pub(crate) fn judge(&self) {
        let wrong = (self.splits, self.hangs, self.second_listeners);
        assert_eq!(wrong, (0, 0, 0), "{self}");
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, {} splits, {} hangs, {} second listeners",
            self.rounds, self.splits, self.hangs, self.second_listeners
        )
    }
}
