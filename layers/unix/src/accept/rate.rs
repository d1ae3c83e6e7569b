//! How often each user may connect, as a pure machine: a token bucket per uid.
//!
//! In: a uid, and the time. Out: whether it may now. Touches nothing.
//!
//! A bucket that is full says what no bucket says, and is forgotten, so that the users of the last two
//! seconds alone are held.

use std::{collections::HashMap, time::Instant};

/// A bucket holds what flows in within so many seconds.
const BURST: u32 = 2;

/// Full buckets are looked for when there are so many in all, and then at each doubling.
const FEW: usize = 64;

#[derive(Debug)]
pub(crate) struct Rate {
    per_second: u32,
    /// `None` for those that the kernel tells nothing of.
    buckets: HashMap<Option<u32>, Bucket>,
    /// Full buckets are forgotten when there are so many.
    many: usize,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: HashMap::new(),
            many: FEW,
        }
    }

    /// True when a process of this user may connect now.
    pub(crate) fn take(&mut self, uid: Option<u32>, now: Instant) -> bool {
        let (rate, burst) = (f64::from(self.per_second), self.burst());
        if self.buckets.len() >= self.many {
            self.buckets
                .retain(|_, bucket| bucket.refilled(rate, burst, now) < burst);
            self.many = FEW.max(2 * self.buckets.len());
        }
        let full = Bucket {
            tokens: burst,
            at: now,
        };
        let bucket = self.buckets.entry(uid).or_insert(full);
        bucket.tokens = bucket.refilled(rate, burst, now);
        bucket.at = bucket.at.max(now);
        let may = bucket.tokens >= 1.0;
        if may {
            bucket.tokens -= 1.0;
        }
        may
    }

    fn burst(&self) -> f64 {
        f64::from(self.per_second.saturating_mul(BURST))
    }
}

impl Bucket {
    fn refilled(&self, rate: f64, burst: f64, now: Instant) -> f64 {
        let flowed = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        (self.tokens + flowed).min(burst)
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
        let mut rate = Rate::new(10);
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
    fn a_rate_of_none_lets_none_in_and_the_highest_lets_all_in() {
        let now = Instant::now();
        assert!(!Rate::new(0).take(Some(1), now));
        let mut all = Rate::new(u32::MAX);
        assert!((0..100_000).all(|_| all.take(Some(1), now)));
    }

    #[test]
    fn users_of_the_last_seconds_alone_are_held() {
        let start = Instant::now();
        let mut rate = Rate::new(1_000);
        for uid in 0..100_000 {
            assert!(rate.take(Some(uid), start + Duration::from_millis(uid.into())));
        }
        assert!(rate.buckets.len() <= 2 * FEW, "{}", rate.buckets.len());
    }
}
