//! `demo`: processes on a socket of their own exchange messages for a few seconds.
//!
//! In: nothing. Out: the input and the output of each process. Touches a directory of its own, removed
//! at the end, in which it runs `kyneta-uds peer`.

mod process;
mod script;
mod takeover;

use crate::{failure::Failure, signals::Signals};

/// Plays the script to its end, or until a signal.
pub(crate) async fn demo(mut signals: Signals) -> Result<(), Failure> {
    let dir = tempfile::Builder::new()
        .prefix("kyneta-uds-demo-")
        .tempdir()?;
    tokio::select! {
        played = script::play(dir.path()) => played?,
        () = signals.recv() => {}
    }
    Ok(dir.close()?)
}
