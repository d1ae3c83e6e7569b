//! The times of a link. Touches nothing.

use std::time::Duration;

/// How long a link waits before it tries again.
///
/// ```
/// use kyneta_uds_machines::LinkSettings;
/// use std::time::Duration;
/// let settings = LinkSettings::default().max_delay(Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkSettings {
    pub(crate) base_delay: Duration,
    pub(crate) max_delay: Duration,
    pub(crate) steady_after: Duration,
    pub(crate) open_timeout: Duration,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            base_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(5),
            steady_after: Duration::from_secs(5),
            open_timeout: Duration::from_secs(3),
        }
    }
}

impl LinkSettings {
    /// The pause after a first failure; each further one doubles it, and half of it is random. 50 ms by default.
    pub fn base_delay(mut self, delay: Duration) -> Self {
        self.base_delay = delay;
        self
    }

    /// The longest pause. 5 s by default.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// How long a link stands before earlier failures are forgotten. 5 s by default.
    pub fn steady_after(mut self, after: Duration) -> Self {
        self.steady_after = after;
        self
    }

    /// How long the other machine may take to answer, from the dial to its first words. 3 s by default.
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// How long a machine that has heard a knock may take to dial.
    pub(crate) fn answer_time(&self) -> Duration {
        self.open_timeout / 3
    }

    /// The pause after so many failures in a row: none after none.
    pub(crate) fn delay(&self, failures: u32, random: u64) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let factor = 1_u32 << (failures - 1).min(20);
        let full = self.base_delay.saturating_mul(factor).min(self.max_delay);
        let half = full / 2;
        let span = u64::try_from((full - half).as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(random % span.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_half_of_one_is_random() {
        let settings = LinkSettings::default();
        for (failures, least, most) in [
            (0, 0, 0),
            (1, 25, 50),
            (2, 50, 100),
            (7, 1_600, 3_200),
            (8, 2_500, 5_000),
            (u32::MAX, 2_500, 5_000),
        ] {
            for random in [0, 1, 77_777, u64::MAX / 2, u64::MAX] {
                let millis = settings.delay(failures, random).as_millis();
                assert!((least..=most).contains(&millis), "{failures}: {millis}");
            }
        }
    }
}
