//! What a queue has counted, and how much of it is logged.
//!
//! In: events. Out: counts, and whether an event is worth a log line. Touches nothing.

use std::time::Instant;

use kyneta_uds_core::{Notice, RateLimit};

use crate::config::QueueEvent;

/// How many log lines a minute a connection may cause.
const LOG_LINES: u32 = 10;

/// How often the events of one queue have happened since its start.
///
/// ```
/// use kyneta_uds_queue::QueueCounts;
/// assert_eq!(QueueCounts::default().rejected, 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueueCounts {
    /// The queue has become full.
    pub high_water: u64,
    /// Frames and messages that came in and could not be passed on.
    pub rejected: u64,
    /// Messages that could not be encoded.
    pub refused: u64,
    /// Messages on which the handler failed.
    pub handler_failed: u64,
    /// Messages on which the handler panicked.
    pub handler_panicked: u64,
    /// Frames of the peer that did not arrive, by their numbers.
    pub frames_missing: u64,
    /// Frames that came more than once; their copies were dropped.
    pub frames_repeated: u64,
}

/// Counts and log lines of one queue.
#[derive(Debug)]
pub(crate) struct Ledger {
    counts: QueueCounts,
    lines: RateLimit,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            counts: QueueCounts::default(),
            lines: RateLimit::new(LOG_LINES),
        }
    }
}

impl Ledger {
    pub(crate) fn counts(&self) -> QueueCounts {
        self.counts
    }

    pub(crate) fn count(&mut self, event: &QueueEvent) {
        let counts = &mut self.counts;
        match event {
            QueueEvent::HighWater { .. } => counts.high_water += 1,
            QueueEvent::Drained => {}
            QueueEvent::Rejected(_) => counts.rejected += 1,
            QueueEvent::Refused(_) => counts.refused += 1,
            QueueEvent::HandlerFailed(_) => counts.handler_failed += 1,
            QueueEvent::HandlerPanicked(_) => counts.handler_panicked += 1,
            QueueEvent::Noticed(Notice::Gap { missing }) => {
                counts.frames_missing += u64::from(*missing);
            }
            QueueEvent::Noticed(Notice::Repeated) => counts.frames_repeated += 1,
            // Core may come to notice more.
            QueueEvent::Noticed(_) => {}
        }
    }

    /// `Some`: this event has a line, and so many before it had none.
    pub(crate) fn line(&mut self, now: Instant) -> Option<u64> {
        self.lines.take(now)
    }
}
