//! Durations and their percentiles. Pure.

use std::{fmt, time::Duration};

/// Durations of the same thing done many times.
#[derive(Debug, Default)]
pub(crate) struct Durations(Vec<Duration>);

impl Durations {
    pub(crate) fn add(&mut self, took: Duration) {
        let at = self.0.partition_point(|other| *other <= took);
        self.0.insert(at, took);
    }

    /// The one that `percent` of all do not exceed (nearest rank); zero when there is none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let at = rank.saturating_sub(1);
        self.0.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn max(&self) -> Duration {
        self.percentile(100)
    }

    /// Whether the target was met, as text.
    pub(crate) fn against(&self, percent: usize, target: Duration) -> String {
        let met = if self.percentile(percent) <= target {
            "met"
        } else {
            "MISSED"
        };
        format!("target p{percent} <= {target:?} {met}")
    }
}

impl FromIterator<Duration> for Durations {
    fn from_iter<I: IntoIterator<Item = Duration>>(all: I) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable();
        Self(all)
    }
}

impl fmt::Display for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms (n = {})",
            ms(50),
            ms(99),
            ms(100),
            self.0.len()
        )
    }
}

#[test]
fn durations_of_1_to_200_ms() {
    let mut durations = Durations::default();
    assert_eq!(durations.max(), Duration::ZERO);
    for i in (1..=200).rev() {
        durations.add(Duration::from_millis(i));
    }
    assert_eq!(
        durations.to_string(),
        "p50 100.00 ms, p99 198.00 ms, max 200.00 ms (n = 200)"
    );
    let same: Durations = durations.0.iter().rev().copied().collect();
    assert_eq!(same.0, durations.0);
    let target = Duration::from_millis(100);
    assert_eq!(durations.against(50, target), "target p50 <= 100ms met");
    assert_eq!(durations.against(51, target), "target p51 <= 100ms MISSED");
}
