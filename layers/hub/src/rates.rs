//! How many interests, presents and messages that are refused a member may send: a token bucket for each.
//!
//! In: a message, or refusals of some, and the time. Out: for how long nothing more is to be read. Touches nothing.

use std::time::Duration;

use kyneta_uds_core::{ChannelMsg, Message, TokenBucket};
use tokio::time::Instant;

/// Shorter pauses are put off until so much is owed: a member at 1,000 messages a second would wake all others for each.
const MIN_PAUSE: Duration = Duration::from_millis(5);

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

    /// The same as several messages, in order, each of which shows `presents` documents at most; itself alone, as by default,
    /// where it cannot be divided. Asked of a message that shows more than 16.
    ///
    /// ```
    /// use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, ReplicaType, SchemaHash};
    /// use kyneta_uds_hub::Metered;
    ///
    /// let loro = ReplicaType::new("loro", 1.0, 0.0)?;
    /// let entry = DocEntry::new(DocId::new("settings")?, loro, SchemaHash::new("02ab")?);
    /// let parts = ChannelMsg::Present(vec![entry.clone(), entry.clone(), entry]).divided(2);
    /// assert_eq!(parts.iter().map(|part| part.load().presents).collect::<Vec<_>>(), [2, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn divided(self, presents: usize) -> Vec<Self>
    where
        Self: Sized,
    {
        let _ = presents;
        vec![self]
    }
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

    fn divided(self, presents: usize) -> Vec<Self> {
        let Self::Present(entries) = self else {
            return vec![self];
        };
        let most = presents.max(1);
        let mut parts = Vec::with_capacity(entries.len().div_ceil(most));
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            parts.push(Self::Present(entries.by_ref().take(most).collect()));
        }
        parts
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
        let presents = self.presents.overdraw(load.presents, now);
        unless_short(interests.max(presents))
    }

    /// Takes what was refused; for how long nothing is to be read then.
    pub(crate) fn take_refusals(&mut self, refusals: u32, now: Instant) -> Duration {
        unless_short(self.refusals.overdraw(refusals, now.into_std()))
    }
}

fn unless_short(pause: Duration) -> Duration {
    match pause < MIN_PAUSE {
        true => Duration::ZERO,
        false => pause,
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
            (0, 5, 120_000, 0),
            (0, 1, 120_000, 10),
            (0, 1, 120_018, 0), // what is owed is too little for a pause
            (0, 1, 120_018, 12),
        ] {
            assert_eq!(
                take(interests, presents, at),
                pause,
                "{interests} {presents} at {at}"
            );
        }
    }
}
