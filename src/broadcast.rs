//! One message to many peers.
//!
//! In: connections and a message. Out: the result for each. May touch: their queues.

use futures_util::future::join_all;
use kyneta_uds_core::{ChannelMsg, PeerId};
use kyneta_uds_queue::SendError;
use tower::ServiceExt as _;
use tower_service::Service as _;

use crate::connection::Connection;

/// The results of a message to many peers.
#[derive(Debug, Default)]
pub struct Broadcast {
    /// Peers for which the kernel has taken it.
    pub sent: Vec<PeerId>,
    /// Peers that it has not, or may not have, reached.
    pub failed: Vec<(PeerId, SendError)>,
}

/// Queues the message for all concurrently; each copy waits for its own queue and socket.
pub(crate) async fn broadcast(connections: Vec<Connection>, msg: ChannelMsg) -> Broadcast {
    let sends = connections.into_iter().map(|mut connection| {
        let msg = msg.clone();
        async move {
            let sent = match connection.ready().await {
                Ok(ready) => ready.call(msg).await,
                Err(error) => Err(error),
            };
            (connection.peer_id().clone(), sent)
        }
    });
    let mut outcome = Broadcast::default();
    for (peer, sent) in join_all(sends).await {
        match sent {
            Ok(()) => outcome.sent.push(peer),
            Err(error) => outcome.failed.push((peer, error)),
        }
    }
    outcome
}
