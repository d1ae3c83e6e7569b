//! The works that are measured.
//!
//! In: a work, a size, a pace. Out: how many messages, and their content. Pure.

use clap::ValueEnum;

/// A pattern of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Published to one receiver beside the hub
    One,
    /// Published to seven receivers beside the hub
    Seven,
    /// Requests, one in flight, all processes on one core
    Ask,
    /// Requests, 64 in flight
    Asks,
    /// Published one by one, each when the one before is acknowledged, on one core; elsewhere as `ask`
    Awaited,
}

/// All works, each with the size of its messages in bytes.
pub(crate) const ALL: [(Work, usize); 9] = [
    (Work::One, 64),
    (Work::One, 1 << 10),
    (Work::One, 64 << 10),
    (Work::Seven, 64),
    (Work::Seven, 1 << 10),
    (Work::Seven, 64 << 10),
    (Work::Ask, 64),
    (Work::Asks, 64),
    (Work::Awaited, 64),
];

impl Work {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Seven => "seven",
            Self::Ask => "ask",
            Self::Asks => "asks",
            Self::Awaited => "awaited",
        }
    }

    pub(crate) const fn receivers(self) -> usize {
        match self {
            Self::Seven => 7,
            _ => 1,
        }
    }

    /// Requests in flight; `None` where nothing is asked.
    pub(crate) const fn window(self) -> Option<u64> {
        match self {
            Self::One | Self::Seven => None,
            Self::Ask | Self::Awaited => Some(1),
            Self::Asks => Some(64),
        }
    }
}

/// About how fast a contender is; it determines only the number of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Messages a second to one receiver, of 64 B, 1 KiB and 64 KiB.
    pub(crate) published: [f64; 3],
    /// Requests a second, 64 in flight.
    pub(crate) asked: f64,
}

/// One measurement, as all its processes know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) work: Work,
    /// Bytes of a message. The first eight are its number.
    pub(crate) size: usize,
    pub(crate) count: u64,
}

impl Task {
    /// With a count that takes half a second or so at this pace.
    pub(crate) fn sized(work: Work, size: usize, pace: Pace) -> Self {
        let [small, middle, large] = pace.published;
        let published = match size {
            ..=256 => small,
            ..=8192 => middle,
            _ => large,
        };
        let a_second = match work {
            Work::One => published,
            // Seven times the messages, and the cores are full anyway.
            Work::Seven => published / 4.0,
            Work::Ask | Work::Awaited => 15_000.0,
            Work::Asks => pace.asked,
        };
        Self {
            work,
            size,
            count: (a_second * 0.5).max(64.0) as u64,
        }
    }

    /// The `nth` message, from 0.
    pub(crate) fn message(self, nth: u64) -> Vec<u8> {
        let mut message = vec![7; self.size.max(8)];
        number(&mut message, nth);
        message
    }
}

/// Writes the number of a message into it.
pub(crate) fn number(message: &mut [u8], nth: u64) {
    if let Some(place) = message.first_chunk_mut() {
        *place = nth.to_le_bytes();
    }
}

/// The number of a message.
pub(crate) fn number_of(message: &[u8]) -> u64 {
    message.first_chunk().copied().map_or(0, u64::from_le_bytes)
}
