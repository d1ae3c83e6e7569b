//! The options of `bench` and of its two halves, the processes that it starts.
//!
//! In: the words of the command line, for `bench`; for its halves, those that `bench` has written. Out: a plan, or a
//! half with its settings. Touches nothing.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueHint};
use kyneta_uds::QueueConfig;

use super::{pin::Pin, work::Work};
use crate::option_values::{at_least_one, bytes, micros};

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(super) half: Option<BenchHalf>,

    /// What to measure (may be repeated) [default: all]
    #[arg(long, value_name = "WORK")]
    pub(super) work: Vec<Work>,

    /// The size of each message (may be repeated) [default: by work]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(super) size: Vec<u32>,

    /// How many messages a round [default: by work and size]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// How many rounds; the median counts
    #[arg(long, value_name = "N", default_value = "5", value_parser = at_least_one)]
    pub(super) rounds: usize,

    /// Which cores the two processes run on
    #[arg(long, default_value = "none")]
    pub(super) pin: Pin,

    /// Have connections poll for this long before they sleep (not the bare socket)
    #[arg(long, value_name = "MICROSECONDS", value_parser = micros)]
    pub(super) spin: Option<Duration>,

    /// Print one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchHalf {
    /// The half that answers; prints "ready" and ends with its first client
    #[command(after_help = "Example:
  kyneta-uds bench server /tmp/bench.sock")]
    Server {
        /// Where to listen
        #[arg(value_hint = ValueHint::FilePath)]
        path: PathBuf,

        #[command(flatten)]
        half: HalfArgs,
    },

    /// The half that measures; prints its figures as one JSON line
    #[command(after_help = "Example:
  kyneta-uds bench client /tmp/bench.sock rtt 64 10000")]
    Client {
        /// Where the server listens
        #[arg(value_hint = ValueHint::FilePath)]
        path: PathBuf,

        /// What to measure
        work: Work,

        /// The size of each message's data, bytes
        #[arg(value_parser = bytes)]
        size: u32,

        /// How many messages
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,

        #[command(flatten)]
        half: HalfArgs,
    },
}

/// How a half runs.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct HalfArgs {
    /// Do the same work on a bare tokio UnixStream
    #[arg(long)]
    pub(super) floor: bool,

    /// Run on the Nth of the allowed cores, counted from 0
    #[arg(long, value_name = "N")]
    pub(super) core: Option<usize>,

    /// Have connections poll for this long before they sleep
    #[arg(long, value_name = "MICROSECONDS", value_parser = micros, conflicts_with = "floor")]
    pub(super) spin: Option<Duration>,
}

impl HalfArgs {
    pub(super) fn queue(self) -> QueueConfig {
        QueueConfig::default().spin(self.spin.unwrap_or_default())
    }
}
