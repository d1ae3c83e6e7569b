//! How many interests, presents and messages that are refused a member may send: a token bucket for each.
//!
//! In: a message, or refusals of some, and the time. Out: for how long nothing more is to be read. Touches nothing.

use std::time::Duration;

use kyneta_uds_core::{ChannelMsg, Message, TokenBucket};
use tokio::time::Instant;

/// What a message makes other members do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Answers that it asks for: each holder of a document exports it.
    pub interests: u32,
    /// Documents that it shows to all others.
    pub presents: u32,
}

/// A message that a hub can meter.
pub trait Metered: Message + Clone + AsRef<Self> {
    /// What it makes other members do.
    fn load(&self) -> Load;
}

impl Metered for ChannelMsg {
    #[inline]
    fn load(&self) -> Load {
        match self {
            Self::Interest(_) => Load {
                interests: 1,
                presents: 0,
            },
            Self::Present(entries) => Load {
                interests: 0,
                presents: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            },
            _ => Load::default(),
        }
    }
}

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A second.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// What one member may send. A member that sends more is read more slowly; nothing of it is dropped.
///
/// ```
/// use kyneta_uds_hub::{Rate, Rates};
/// let rates = Rates::default().interests(Rate { per_second: 100, burst: 1_000 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    interests: Rate,
    presents: Rate,
    refusals: Rate,
}

impl Default for Rates {
    /// At once, as much as a member does that comes with 4,096 documents, the most that a switch lets it present, even if
    /// each is refused. A member that does so without end must leave the others their share of a processor.
    fn default() -> Self {
        Self {
            interests: Rate {
                per_second: 1_000,
                burst: 8_192,
            },
            presents: Rate {
                per_second: 1_000,
                burst: 4_096,
            },
            refusals: Rate {
                per_second: 1_000,
                burst: 4_096,
            },
        }
    }
}

impl Rates {
    /// Interests: each makes all holders of a document export it. 1,000 a second by default, 8,192 at once.
    pub fn interests(mut self, rate: Rate) -> Self {
        self.interests = rate;
        self
    }

    /// Documents of `present` messages: each is shown to all members. 1,000 a second by default, 4,096 at once.
    pub fn presents(mut self, rate: Rate) -> Self {
        self.presents = rate;
        self
    }

    /// [Refusals](kyneta_uds_relay::Diagnostic::is_refusal) of what a member sends: each is an event and a count. 1,000 a
    /// second by default, 4,096 at once.
    pub fn refusals(mut self, rate: Rate) -> Self {
        self.refusals = rate;
        self
    }
}

/// The buckets of one member.
#[derive(Debug)]
pub(crate) struct Meter {
    interests: TokenBucket,
    presents: TokenBucket,
    refusals: TokenBucket,
}

impl Meter {
    pub(crate) fn new(rates: Rates) -> Self {
        let bucket = |rate: Rate| TokenBucket::new(rate.per_second, rate.burst);
        Self {
            interests: bucket(rates.interests),
            presents: bucket(rates.presents),
            refusals: bucket(rates.refusals),
        }
    }

    /// Takes what a message costs; for how long nothing is to be read then.
    pub(crate) fn take(&mut self, load: Load, now: Instant) -> Duration {
        let now = now.into_std();
        let interests = self.interests.overdraw(load.interests, now);
        interests.max(self.presents.overdraw(load.presents, now))
    }

    /// Takes what was refused; for how long nothing is to be read then.
    pub(crate) fn take_refusals(&mut self, refusals: u32, now: Instant) -> Duration {
        self.refusals.overdraw(refusals, now.into_std())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_rate_of_its_own_and_the_longer_pause_counts() {
        let rate = |per_second, burst| Rate { per_second, burst };
        let rates = Rates::default()
            .interests(rate(10, 2))
            .presents(rate(100, 5));
        let mut meter = Meter::new(rates);
        let start = Instant::now();
        let mut take = |interests, presents, millis| {
            let load = Load {
                interests,
                presents,
            };
            let at = start + Duration::from_millis(millis);
            meter.take(load, at).as_millis()
        };
        for (interests, presents, at, pause) in [
            (2, 0, 0, 0),
            (1, 0, 0, 100),   // one too many, at ten a second
            (1, 0, 100, 100), // the debt was paid by waiting
            (0, 5, 200, 0),
            (1, 50, 200, 500), // fifty too many, at a hundred a second
            (0, 0, 1_000, 0),
            (2, 5, 60_000, 0), // no more than the burst is saved
            (1, 0, 60_000, 100),
        ] {
            assert_eq!(
                take(interests, presents, at),
                pause,
                "{interests} {presents} at {at}"
            );
        }
    }
}
