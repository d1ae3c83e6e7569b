//! Leaving on purpose.
//!
//! In: a queue. Out: the reason it ended with. May touch: tokio's clock.

use std::time::Duration;

use kyneta_uds_core::{ChannelMsg, DisconnectReason};
use kyneta_uds_queue::Handle;
use tokio::time::timeout;

/// How long a `depart` waits for room in a full queue. What waits in it matters more.
const DEPART_ROOM: Duration = Duration::from_millis(500);

/// Says `depart` if there is anybody to hear it, sends what waits, and ends.
pub(crate) async fn shut_down(handle: &Handle<ChannelMsg>, heard: bool) -> DisconnectReason {
    if heard {
        let mut handle = handle.clone();
        // A queue that stays full is cut by the drain timeout all the same.
        let _ = timeout(DEPART_ROOM, handle.queue(ChannelMsg::Depart)).await;
    }
    handle.close();
    handle.closed().await
}
