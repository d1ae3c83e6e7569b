//! The measuring client: what that of every contender does, and loops that send and receive message by message.

use std::time::{Duration, Instant};

use crate::{BoxError, works::Task};

/// A connected client.
pub(crate) trait Link {
    /// `count` round trips, `window` of them in flight.
    async fn round_trips(&mut self, count: u64, window: u64) -> Result<(), BoxError>;

    /// `count` messages one way; done when the receiver has counted all of them and answered.
    async fn one_way(&mut self, count: u64) -> Result<(), BoxError>;
}

/// Warms up, does the task and measures the time.
pub(crate) async fn measure(link: &mut impl Link, task: Task) -> Result<Duration, BoxError> {
    link.round_trips(task.warm_up(), 1).await?;
    let start = Instant::now();
    match task.work.window() {
        Some(window) => link.round_trips(task.count, window).await?,
        None => link.one_way(task.count).await?,
    }
    Ok(start.elapsed())
}

/// A client that can send and receive independently.
pub(crate) trait Duplex {
    /// Sends a message, possibly only to a buffer.
    async fn feed(&mut self) -> Result<(), BoxError>;

    /// Flushes the buffers.
    async fn flush(&mut self) -> Result<(), BoxError>;

    /// Waits for answers; returns how many arrived, at least one.
    async fn back(&mut self) -> Result<u64, BoxError>;
}

impl<D: Duplex> Link for D {
    async fn round_trips(&mut self, count: u64, window: u64) -> Result<(), BoxError> {
        let (mut sent, mut back) = (0, 0);
        while back < count {
            while sent < count && sent - back < window {
                self.feed().await?;
                sent += 1;
            }
            self.flush().await?;
            back += self.back().await?;
        }
        Ok(())
    }

    async fn one_way(&mut self, count: u64) -> Result<(), BoxError> {
        for _ in 0..count {
            self.feed().await?;
        }
        self.flush().await?;
        self.back().await?;
        Ok(())
    }
}
