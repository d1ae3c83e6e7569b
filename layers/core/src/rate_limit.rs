//! Limits how often per minute a peer can cause something, such as a log line.
//!
//! In: times. Out: yes or no. Touches nothing.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Allows a number of events per minute and counts the others. A minute begins with the first event after the
/// last minute.
///
/// ```
/// use std::time::{Duration, Instant};
/// use kyneta_uds_core::RateLimit;
///
/// let mut lines = RateLimit::new(2);
/// let start = Instant::now();
/// let taken = [0, 1, 2, 3, 60].map(|s| lines.take(start + Duration::from_secs(s)));
/// assert_eq!(taken, [Some(0), Some(0), None, None, Some(2)]);
/// ```
#[derive(Debug, Clone)]
pub struct RateLimit {
    limit: u32,
    minute_start: Option<Instant>,
    taken: u32,
    suppressed: u64,
}

impl RateLimit {
    /// Allows `limit` events per minute; 0 allows none.
    pub const fn new(limit: u32) -> Self {
        Self {
            limit,
            minute_start: None,
            taken: 0,
            suppressed: 0,
        }
    }

    /// Asks for one more event. `Some(n)` allows it; `n` events were suppressed since the last allowed one.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let is_over = |start: Instant| now.saturating_duration_since(start) >= MINUTE;
        if self.minute_start.is_none_or(is_over) {
            self.minute_start = Some(now);
            self.taken = 0;
        }
        if self.taken >= self.limit {
            self.suppressed += 1;
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}
