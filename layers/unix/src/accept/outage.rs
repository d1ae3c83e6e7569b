//! An outage: the time in which no connection can be accepted. It is logged when it begins and when it ends,
//! not at each try in between.
//!
//! In: the result of each try, and its time. Out: whether to log it. Touches nothing.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Instant>,
}

impl Outage {
    /// A try has failed. True when it begins an outage.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        let first = self.since.is_none();
        self.since.get_or_insert(now);
        first
    }

    /// A try has succeeded. The length of the outage that this ends, if there was one; otherwise the clock is
    /// not read.
    pub(crate) fn worked(&mut self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let since = self.since.take()?;
        Some(now().duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_reported_when_it_begins_and_when_it_ends() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut outage = Outage::default();
        for begin in [0, 5_000] {
            assert_eq!(outage.worked(|| unreachable!()), None);
            assert!(outage.failed(at(begin)));
            for again in 1..20 {
                assert!(!outage.failed(at(begin + 100 * again)));
            }
            let lasted = outage.worked(|| at(begin + 2_000));
            assert_eq!(lasted, Some(Duration::from_secs(2)));
        }
    }
}
