//! A token bucket: so many a second, so many at once.
//!
//! In: what is taken, and when. Out: whether there was enough, or how long to wait. Touches nothing.

use std::time::{Duration, Instant};

/// Holds tokens that come back at a rate.
///
/// ```
/// use std::time::{Duration, Instant};
/// use kyneta_uds_core::TokenBucket;
///
/// let start = Instant::now();
/// let mut bucket = TokenBucket::new(10, 2);
/// assert!(bucket.take(start) && bucket.take(start));
/// assert!(!bucket.take(start));
/// assert!(bucket.take(start + Duration::from_millis(100)));
/// ```
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: u32,
    burst: u32,
    /// Below zero after an overdraft.
    tokens: f64,
    /// When `tokens` was right. Absent before the first use.
    at: Option<Instant>,
}

impl TokenBucket {
    /// A full one: `burst` tokens at once, `per_second` from then on.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            tokens: f64::from(burst),
            at: None,
        }
    }

    /// Takes one token; false when there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    /// Takes `tokens`, there or not; how long to wait until none is owed. At most a day.
    pub fn overdraw(&mut self, tokens: u32, now: Instant) -> Duration {
        const DAY: f64 = 86_400.0;
        self.refill(now);
        self.tokens -= f64::from(tokens);
        let owed = -self.tokens;
        if owed <= 0.0 {
            return Duration::ZERO;
        }
        let seconds = (owed / f64::from(self.per_second)).min(DAY);
        Duration::from_secs_f64(seconds)
    }

    /// True when it holds as much as it can: it is as good as a new one.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= f64::from(self.burst)
    }

    fn refill(&mut self, now: Instant) {
        if let Some(at) = self.at {
            let flowed =
                now.saturating_duration_since(at).as_secs_f64() * f64::from(self.per_second);
            self.tokens = (self.tokens + flowed).min(f64::from(self.burst));
        }
        // The clock does not go back; if it did, nothing would be given.
        self.at = self.at.max(Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdraft_is_paid_back_at_the_rate_and_never_by_the_clock_alone() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut bucket = TokenBucket::new(10, 5);
        assert_eq!(bucket.overdraw(5, at(0)), Duration::ZERO);
        assert_eq!(bucket.overdraw(1, at(0)), Duration::from_millis(100));
        assert_eq!(bucket.overdraw(0, at(0)), Duration::from_millis(100));
        assert!(
            !bucket.take(at(100)),
            "the debt is paid, and nothing is left"
        );
        assert!(bucket.take(at(200)));
        assert!(!bucket.is_full(at(300)) && bucket.is_full(at(1_000)));

        let mut none = TokenBucket::new(0, 0);
        assert!(!none.take(at(0)));
        assert_eq!(none.overdraw(1, at(0)), Duration::from_secs(86_400));
    }
}
