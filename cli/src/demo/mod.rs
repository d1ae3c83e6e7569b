//! `demo`: processes on a socket of their own exchange messages while one looks on.
//!
//! In: nothing. Out: what each process says, and what it is told to do. Touches a directory of its
//! own, removed at the end, and runs this command's own `peer` in it.

mod process;
mod script;
mod takeover;

use std::time::Duration;

use crate::{failure::Failure, signals::Signals};

/// Long enough to read a line, short enough not to wait.
const PACE: Duration = Duration::from_millis(350);

/// Plays the script to its end, or until a signal.
pub(crate) async fn demo() -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let dir = tempfile::Builder::new()
        .prefix("kyneta-uds-demo-")
        .tempdir()?;
    tokio::select! {
        played = script::play(dir.path()) => played?,
        () = signals.recv() => {}
    }
    Ok(dir.close()?)
}
