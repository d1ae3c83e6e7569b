//! Closing a queue on purpose.
//!
//! In: a queue's handle. Out: the reason that it ended with. May touch: tokio's clock.

use std::time::Duration;

use kyneta_uds_core::{ChannelMsg, DisconnectReason};
use kyneta_uds_queue::Handle;
use tokio::time::timeout;

/// How long a `depart` waits for room in a full queue, or for the connection that is being made.
pub(crate) const DEPART_TIMEOUT: Duration = Duration::from_millis(500);

/// Sends `depart` if it `can_be_sent`, then what is queued, and closes the queue.
pub(crate) async fn shut_down(handle: &Handle<ChannelMsg>, can_be_sent: bool) -> DisconnectReason {
    if can_be_sent {
        let mut handle = handle.clone();
        // A queue that stays full ends by the drain timeout.
        let _ = timeout(DEPART_TIMEOUT, handle.queue(ChannelMsg::Depart)).await;
    }
    handle.close();
    handle.closed().await
}
