//! What a receiver has got, and how long answers took.
//!
//! In: messages, answers. Out: reports to the driver. Touches the clock and stdout.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    process::Report,
    works::{Task, number_of},
};

/// Counts messages that come in their order. Reports when the last one has come.
pub(crate) struct Tally {
    task: Task,
    got: u64,
    next: u64,
}

impl Tally {
    pub(crate) const fn new(task: Task) -> Self {
        Self {
            task,
            got: 0,
            next: 0,
        }
    }

    pub(crate) fn count(&mut self, message: &[u8]) {
        let number = number_of(message);
        self.got += u64::from(number >= self.next);
        self.next = number + 1;
        if self.next == self.task.count {
            Report::Got { messages: self.got }.tell();
        }
    }
}

/// How long each request took.
pub(crate) struct Latencies {
    since: Vec<Instant>,
    took: Vec<Duration>,
    start: Instant,
}

/// What the driver is told of them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// All together.
    pub(crate) took: Duration,
}

impl Latencies {
    pub(crate) fn new(task: Task) -> Self {
        let start = Instant::now();
        Self {
            since: vec![start; task.count as usize],
            took: Vec::with_capacity(task.count as usize),
            start,
        }
    }

    /// The `nth` request is made now.
    pub(crate) fn asked(&mut self, nth: u64) {
        if let Some(since) = self.since.get_mut(nth as usize) {
            *since = Instant::now();
        }
    }

    /// It is answered. True when all are.
    pub(crate) fn answered(&mut self, nth: u64) -> bool {
        if let Some(since) = self.since.get(nth as usize) {
            self.took.push(since.elapsed());
        }
        self.took.len() == self.since.len()
    }

    pub(crate) fn summary(mut self) -> Summary {
        let took = self.start.elapsed();
        self.took.sort_unstable();
        let at = |part: usize| {
            let found = self.took.get(self.took.len() * part / 100);
            found.copied().unwrap_or_default()
        };
        Summary {
            p50: at(50),
            p99: at(99),
            took,
        }
    }
}
