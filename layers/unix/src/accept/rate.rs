//! How often each user may connect, as a pure machine: a token bucket per uid.
//!
//! In: a uid, and the time. Out: whether it may connect now. Touches nothing.
//!
//! A full bucket means the same as none and is dropped, so that only the users of the last two seconds take
//! memory.

use std::{collections::HashMap, time::Instant};

use kyneta_uds_core::TokenBucket;

/// A bucket holds the tokens of this many seconds.
const BURST_SECONDS: u32 = 2;

/// Full buckets are dropped when there are this many in all, and then at each doubling.
const MIN_SWEEP: usize = 64;

#[derive(Debug)]
pub(super) struct AcceptRate {
    per_second: u32,
    /// `None` for processes without known credentials.
    buckets: HashMap<Option<u32>, TokenBucket>,
    /// Full buckets are dropped when there are this many.
    sweep_at: usize,
}

impl AcceptRate {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: HashMap::new(),
            sweep_at: MIN_SWEEP,
        }
    }

    /// True when a process of this user may connect now.
    pub(super) fn take(&mut self, uid: Option<u32>, now: Instant) -> bool {
        if self.buckets.len() >= self.sweep_at {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            self.sweep_at = MIN_SWEEP.max(2 * self.buckets.len());
        }
        let full = || {
            let burst = self.per_second.saturating_mul(BURST_SECONDS);
            TokenBucket::new(self.per_second, burst)
        };
        self.buckets.entry(uid).or_insert_with(full).take(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_user_may_connect_twice_the_rate_at_once_and_the_rate_from_then_on() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut rate = AcceptRate::new(10);
        let mut taken = |uid, millis| (0..100).filter(|_| rate.take(uid, at(millis))).count();
        assert_eq!(taken(Some(1), 0), 20);
        assert_eq!(taken(Some(2), 0), 20, "each user has its own");
        assert_eq!(taken(None, 0), 20);
        assert_eq!(taken(Some(1), 50), 0);
        assert_eq!(taken(Some(1), 100), 1);
        assert_eq!(taken(Some(1), 1_100), 10);
        assert_eq!(taken(Some(1), 60_000), 20, "not more than a bucket holds");
        // The clock does not go back; if it did, nothing would be given.
        assert_eq!(taken(Some(1), 0), 0);
    }

    #[test]
    fn a_rate_of_zero_rejects_all_and_the_highest_admits_all() {
        let now = Instant::now();
        assert!(!AcceptRate::new(0).take(Some(1), now));
        let mut unlimited = AcceptRate::new(u32::MAX);
        assert!((0..100_000).all(|_| unlimited.take(Some(1), now)));
    }

    #[test]
    fn only_users_of_the_last_seconds_take_memory() {
        let start = Instant::now();
        let mut rate = AcceptRate::new(1_000);
        for uid in 0..100_000 {
            assert!(rate.take(Some(uid), start + Duration::from_millis(uid.into())));
        }
        assert!(
            rate.buckets.len() <= 2 * MIN_SWEEP,
            "{}",
            rate.buckets.len()
        );
    }
}
