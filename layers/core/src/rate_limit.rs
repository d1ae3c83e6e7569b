//! How often a minute a stranger may cause something: a log line, an error.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Lets so many through in each minute that begins with one; the rest is counted.
///
/// ```
/// use std::time::{Duration, Instant};
/// use kyneta_uds_core::PerMinute;
///
/// let mut lines = PerMinute::new(2);
/// let start = Instant::now();
/// let taken = [0, 1, 2, 3, 60].map(|s| lines.take(start + Duration::from_secs(s)));
/// assert_eq!(taken, [Some(0), Some(0), None, None, Some(2)]);
/// ```
#[derive(Debug, Clone)]
pub struct PerMinute {
    limit: u32,
    since: Option<Instant>,
    taken: u32,
    left_out: u64,
}

impl PerMinute {
    /// So many a minute; with 0 none ever.
    pub const fn new(limit: u32) -> Self {
        Self {
            limit,
            since: None,
            taken: 0,
            left_out: 0,
        }
    }

    /// Asks for one more. `Some` is how many have been left out since the one before.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= MINUTE;
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.taken = 0;
        }
        if self.taken >= self.limit {
            self.left_out += 1;
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}
