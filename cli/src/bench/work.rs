//! The works that can be measured, and how much of each.
//!
//! In: a work and a size. Out: how many messages it takes, so that each run lasts about as long. Pure.

use clap::ValueEnum;

/// How many messages are in flight in `pipe`.
pub(super) const IN_FLIGHT: u64 = 64;

/// How many peers receive in `fan`.
pub(super) const PEERS: usize = 100;

/// A pattern of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Work {
    /// One message there and back, one in flight
    Rtt,
    /// Small messages one way, one answer at the end
    Stream,
    /// Large messages one way, one answer at the end
    Bulk,
    /// Messages there and back, 64 in flight
    Pipe,
    /// Small messages, each from one process to 100 peers
    Fan,
}

impl Work {
    pub(super) const ALL: [Self; 5] = [Self::Rtt, Self::Stream, Self::Pipe, Self::Bulk, Self::Fan];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::Stream => "stream",
            Self::Bulk => "bulk",
            Self::Pipe => "pipe",
            Self::Fan => "fan",
        }
    }

    /// The default sizes.
    pub(super) const fn sizes(self) -> &'static [usize] {
        match self {
            Self::Rtt | Self::Pipe | Self::Fan => &[64],
            Self::Stream => &[64, 1024],
            Self::Bulk => &[64 << 10, 1 << 20],
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) work: Work,
    /// The data of each message, bytes.
    pub(super) size: usize,
    /// How many messages; a broadcast is one.
    pub(super) count: u64,
}

impl Task {
    /// With a count that takes some tenths of a second.
    pub(super) const fn sized(work: Work, size: usize) -> Self {
        let most: u64 = match work {
            Work::Rtt => 20_000,
            Work::Pipe => 200_000,
            Work::Stream | Work::Bulk => 2_000_000,
            Work::Fan => 5_000,
        };
        let copies = if matches!(work, Work::Fan) { PEERS } else { 1 };
        // Copying limits it to about a gigabyte a second, whatever the number of messages.
        let by_bytes = (1 << 30) / ((size as u64 + 64) * copies as u64);
        let count = if by_bytes < most { by_bytes } else { most };
        Self {
            work,
            size,
            count: if count < 100 { 100 } else { count },
        }
    }

    /// Round trips, or broadcasts, before the clock starts. Round trips need more, because a new connection
    /// takes some 40 ms to reach its steady state.
    pub(super) const fn warm_up(self) -> u64 {
        match self.work {
            _ if self.size > 1 << 16 => 5,
            Work::Rtt | Work::Pipe => 2_500,
            Work::Stream | Work::Bulk | Work::Fan => 200,
        }
    }
}
