//! Restores a path that was lost.
//!
//! In: a [`BoundPath`]. Out: a new socket at the path. May touch: the path, its lock file, the temporary name
//! beside it; tokio's clock.

use std::time::Duration;

use tokio::{net::UnixListener, time::sleep};

use crate::bind::{BindError, BoundPath, RETRY_INTERVAL};

/// A process that removes the path is often about to bind it, so it gets this long to do so.
const RESTORE_DELAY: Duration = Duration::from_millis(20);

/// Binds the path again with a new socket. `None` when the path is ours as it is.
pub(crate) async fn restore(bound: &mut BoundPath) -> Result<Option<UnixListener>, BindError> {
    sleep(RESTORE_DELAY).await;
    loop {
        if matches!(bound.look(), Ok((_, true))) {
            return Ok(None);
        }
        if let Some(socket) = bound.bind_again()? {
            return Ok(Some(socket));
        }
        sleep(RETRY_INTERVAL).await;
    }
}
