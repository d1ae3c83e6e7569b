//! The works that are measured.
//!
//! In: a work, a size, a pace. Out: how many messages, and their content. Pure.

use bytes::Bytes;
use clap::ValueEnum;

/// A pattern of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Round trips, one in flight
    Rtt,
    /// Small messages one way, one answer at the end
    Stream,
    /// Round trips, 64 in flight
    Pipe,
    /// Large messages one way, one answer at the end
    Bulk,
}

/// All works, each with the size of its messages' data in bytes.
pub(crate) const ALL: [(Work, usize); 6] = [
    (Work::Rtt, 64),
    (Work::Stream, 64),
    (Work::Stream, 1 << 10),
    (Work::Pipe, 64),
    (Work::Bulk, 64 << 10),
    (Work::Bulk, 1 << 20),
];

/// Round trips in flight, where more than one is.
pub(crate) const IN_FLIGHT: u64 = 64;

impl Work {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::Stream => "stream",
            Self::Pipe => "pipe",
            Self::Bulk => "bulk",
        }
    }

    /// Round trips in flight; `None` for one-way work.
    pub(crate) const fn window(self) -> Option<u64> {
        match self {
            Self::Rtt => Some(1),
            Self::Pipe => Some(IN_FLIGHT),
            Self::Stream | Self::Bulk => None,
        }
    }
}

/// About how fast a contender is; it determines only the number of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Small messages one way per second.
    pub(crate) one_way: f64,
    /// Small round trips per second, 64 in flight.
    pub(crate) piped: f64,
    /// Bytes of large messages per second.
    pub(crate) bytes: f64,
}

/// One measurement, as server and client know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) work: Work,
    /// Data per message, bytes.
    pub(crate) size: usize,
    /// The number of messages.
    pub(crate) count: u64,
}

impl Task {
    /// With a count that takes some tenths of a second at this pace.
    pub(crate) fn sized(work: Work, size: usize, pace: Pace) -> Self {
        const SECONDS: f64 = 0.3;
        let a_second = match work {
            Work::Rtt => 25_000.0,
            Work::Pipe => pace.piped,
            Work::Stream | Work::Bulk => pace.one_way.min(pace.bytes / size as f64),
        };
        Self {
            work,
            size,
            count: (SECONDS * a_second).max(50.0) as u64,
        }
    }

    /// Round trips before the clock starts, so that a steady state is measured.
    pub(crate) const fn warm_up(self) -> u64 {
        match self.work {
            _ if self.size > 1 << 16 => 5,
            Work::Rtt | Work::Pipe => 2_500,
            Work::Stream | Work::Bulk => 200,
        }
    }

    /// The total of messages that the server receives.
    pub(crate) const fn total(self) -> u64 {
        self.warm_up() + self.count
    }

    /// Whether the server answers the `nth` message, from 1: those of the warm-up, of round trips, and the last one.
    pub(crate) const fn answers(self, nth: u64) -> bool {
        nth <= self.warm_up() || self.work.window().is_some() || nth == self.total()
    }

    /// A message's data.
    pub(crate) fn data(self) -> Bytes {
        vec![7; self.size].into()
    }
}
