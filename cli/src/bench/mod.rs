//! `bench`: what a message costs, beside what the bare socket costs.
//!
//! In: what to measure. Out: figures, as a table or as JSON lines. Touches a socket of its own and
//! runs itself as the two processes at its ends.

mod driver;
mod figures;
mod floor;
mod ours;
mod pin;
mod table;
mod work;

pub(crate) use driver::{Plan, drive};
pub(crate) use pin::Pin;
pub(crate) use work::{Task, Work};

use std::{io::Write, path::Path, time::Duration};

use kyneta_uds::QueueConfig;

use crate::failure::Failure;

/// Which implementation a half runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Floor,
}

/// Where a half runs and as what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) side: Side,
    pub(crate) core: Option<usize>,
    /// How long our connections look for more before they sleep.
    pub(crate) spin: Option<Duration>,
}

impl Seat {
    fn take(self) -> Result<(), Failure> {
        self.core
            .map_or(Ok(()), pin::stay_on)
            .map_err(Failure::from)
    }

    fn queue(self) -> QueueConfig {
        QueueConfig::default().spin(self.spin.unwrap_or_default())
    }
}

/// The half that answers.
pub(crate) async fn server(path: &Path, seat: Seat) -> Result<(), Failure> {
    seat.take()?;
    let ready = || {
        // Nobody to tell is nobody who waits.
        let _ = writeln!(std::io::stdout(), "ready");
    };
    match seat.side {
        Side::Ours => ours::serve(path, seat.queue(), ready)
            .await
            .map_err(Failure::Work)?,
        Side::Floor => floor::serve(path, ready).await?,
    }
    Ok(())
}

/// The half that measures.
pub(crate) async fn client(path: &Path, task: Task, seat: Seat) -> Result<(), Failure> {
    seat.take()?;
    let figures = match seat.side {
        Side::Ours => ours::run(path, task, seat.queue())
            .await
            .map_err(Failure::Work)?,
        Side::Floor => floor::run(path, task).await?,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&figures)?)?;
    Ok(())
}
