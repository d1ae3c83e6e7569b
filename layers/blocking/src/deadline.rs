//! How long a call may take: the time of each of its system calls.
//!
//! In: a limit, the clock. Out: what is left of it. May touch: the clock.

use std::time::{Duration, Instant};

use crate::error::Error;

/// The shortest time that a socket accepts: zero means forever there.
const SHORTEST: Duration = Duration::from_micros(1);

pub(crate) struct Deadline {
    limit: Option<Duration>,
    started: Instant,
    asked: bool,
}

impl Deadline {
    /// `None`: without limit.
    pub(crate) fn after(limit: Option<Duration>) -> Self {
        Self {
            limit,
            started: Instant::now(),
            asked: false,
        }
    }

    /// What the next system call may take. The first one gets the whole limit, so that calls with one limit after
    /// the other do not set it at the socket again.
    pub(crate) fn left(&mut self) -> Result<Option<Duration>, Error> {
        let Some(limit) = self.limit else {
            return Ok(None);
        };
        if !std::mem::replace(&mut self.asked, true) {
            return Ok(Some(limit.max(SHORTEST)));
        }
        match limit.saturating_sub(self.started.elapsed()) {
            Duration::ZERO => Err(self.missed()),
            left => Ok(Some(left.max(SHORTEST))),
        }
    }

    pub(crate) fn missed(&self) -> Error {
        Error::TimedOut {
            waited: self.limit.unwrap_or_default(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
