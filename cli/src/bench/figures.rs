//! The result of a measurement.
//!
//! In: the times of a work. Out: one line of JSON, which the process prints and `bench` reads. May touch: the clock.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::work::{Task, Work};

/// The one line of `bench client`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    #[serde(rename = "impl")]
    pub(crate) made_by: String,
    pub(crate) work: String,
    /// The data of each message, bytes.
    pub(crate) size: usize,
    pub(crate) count: u64,
    pub(crate) secs: f64,
    /// Of a round trip; null for work without round trips.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) msgs_per_s: f64,
    /// Millions of bytes of data; headers are not counted.
    pub(crate) mb_per_s: f64,
}

/// Measures the time in total and for each round trip.
pub(super) struct Stopwatch {
    start: Instant,
    laps: Option<Histogram<u64>>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        const LONGEST: u64 = 60_000_000_000;
        // A longer round trip counts as a minute. `Some`, because these bounds are valid.
        Self {
            laps: Histogram::new_with_max(LONGEST, 3).ok(),
            start: Instant::now(),
        }
    }

    /// A round trip that began at `from` is over.
    pub(super) fn lap(&mut self, from: Instant) {
        if let Some(laps) = &mut self.laps {
            laps.saturating_record(nanos(from.elapsed()));
        }
    }

    pub(super) fn stop(self, made_by: &str, task: Task) -> Figures {
        let secs = self.start.elapsed().as_secs_f64();
        let quantile = |q: f64| {
            let laps = self.laps.as_ref().filter(|_| task.work == Work::Rtt)?;
            Some(laps.value_at_quantile(q) as f64 / 1000.0)
        };
        Figures {
            made_by: made_by.to_owned(),
            work: task.work.name().to_owned(),
            size: task.size,
            count: task.count,
            secs,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            msgs_per_s: task.count as f64 / secs,
            mb_per_s: (task.count * task.size as u64) as f64 / secs / 1e6,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
