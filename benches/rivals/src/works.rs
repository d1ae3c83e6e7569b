//! What is measured.

use bytes::Bytes;
use clap::ValueEnum;

/// A pattern of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// One message there and back, one in flight
    Rtt,
    /// Small messages one way, one answer at the end
    Stream,
    /// Messages there and back, 64 in flight
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

/// How many are under way where more than one is.
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

    /// How many messages are on their way there or back; `None` when they go one way.
    pub(crate) const fn window(self) -> Option<u64> {
        match self {
            Self::Rtt => Some(1),
            Self::Pipe => Some(IN_FLIGHT),
            Self::Stream | Self::Bulk => None,
        }
    }
}

/// About how fast a contender is: for the number of messages, never for the figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Small messages one way, a second.
    pub(crate) one_way: f64,
    /// Small messages there and back, 64 in flight, a second.
    pub(crate) piped: f64,
    /// Bytes of large messages, a second.
    pub(crate) bytes: f64,
}

/// One measurement, as both halves know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) work: Work,
    /// Of each message's data, bytes.
    pub(crate) size: usize,
    /// How many messages.
    pub(crate) count: u64,
}

impl Task {
    /// With a count that takes some tenths of a second at that pace.
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

    /// Round trips before the clock starts. Those that go there and back are counted in the state that lasts.
    pub(crate) const fn warm_up(self) -> u64 {
        match self.work {
            _ if self.size > 1 << 16 => 5,
            Work::Rtt | Work::Pipe => 2_500,
            Work::Stream | Work::Bulk => 200,
        }
    }

    /// All messages that the server gets.
    pub(crate) const fn total(self) -> u64 {
        self.warm_up() + self.count
    }

    /// Whether the server sends back the message that it got as the `nth`, from 1: each of the
    /// warm-up, each of a work that goes there and back, and the very last of all.
    pub(crate) const fn answers(self, nth: u64) -> bool {
        nth <= self.warm_up() || self.work.window().is_some() || nth == self.total()
    }

    /// A message's data.
    pub(crate) fn data(self) -> Bytes {
        vec![7; self.size].into()
    }
}
