//! Which connections a message goes to, in each role.
//!
//! In: the handle of a role, the id of a peer. Out: the queues that a message goes to. May touch: the role's table of
//! peers; it waits where an earlier message would be overtaken.

use kyneta_uds::{Client, Connection, DisconnectReason, JoinError, Peer, PeerId, Role, Server};

/// The handle of the role.
#[derive(Debug, Clone)]
pub(super) enum Handle {
    Server(Server),
    Client(Client),
    Peer(Peer),
}

/// Where a message for all goes.
pub(super) enum Recipients {
    /// The connections that we accepted.
    Accepted(Vec<Connection>),
    /// The listener, now or after a reconnect.
    Dialed(Dialed),
}

/// The queue for the listener, whichever process that is when the message is sent.
pub(super) enum Dialed {
    Client(Client),
    Peer(Peer),
}

/// Where a message for one peer goes.
pub(super) enum Recipient {
    Accepted(Connection),
    Dialed(Connection),
}

impl Handle {
    /// The recipients of a message for all. Waits while a peer has no connection yet but may get one.
    pub(super) async fn all(&self) -> Recipients {
        match self {
            Self::Server(server) => Recipients::Accepted(server.connections()),
            Self::Client(client) => Recipients::Dialed(Dialed::Client(client.clone())),
            Self::Peer(peer) => all_of_peer(peer).await,
        }
    }

    /// The recipient with this id.
    pub(super) async fn one(&self, id: &PeerId) -> Option<Recipient> {
        match self {
            Self::Server(server) => server.connection(id).map(Recipient::Accepted),
            Self::Client(client) => {
                let listener = client.connection().filter(|it| it.peer_id() == id);
                listener.map(Recipient::Dialed)
            }
            Self::Peer(peer) => {
                if peer.role() != Role::Listener {
                    return peer.connection(id).map(Recipient::Dialed);
                }
                earlier_sends(peer).await;
                peer.connection(id).map(Recipient::Accepted)
            }
        }
    }

    /// Sends `depart` to all peers, drains the queues, and ends.
    pub(super) async fn dispose(&self) {
        match self {
            Self::Server(server) => server.dispose().await,
            Self::Client(client) => client.dispose().await,
            Self::Peer(peer) => peer.dispose().await,
        };
    }

    /// Ready when the role has ended for good.
    pub(super) async fn closed(&self) -> DisconnectReason {
        match self {
            Self::Server(server) => server.closed().await,
            Self::Client(client) => client.closed().await,
            Self::Peer(peer) => peer.closed().await,
        }
    }
}

/// Waits until a peer has a role. One that was handed over before that is closed, and has not failed.
pub(super) async fn joined(peer: &Peer) -> Result<(), JoinError> {
    match peer.joined().await {
        Ok(_)
        | Err(JoinError::Ended {
            source: DisconnectReason::Intentional,
            ..
        }) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn all_of_peer(peer: &Peer) -> Recipients {
    loop {
        if !peer.wait_for_peers().await {
            return Recipients::Accepted(Vec::new());
        }
        if peer.role() != Role::Listener {
            return Recipients::Dialed(Dialed::Peer(peer.clone()));
        }
        earlier_sends(peer).await;
        let connections = peer.connections();
        if peer.role() == Role::Listener && !connections.is_empty() {
            return Recipients::Accepted(connections);
        }
    }
}

/// Waits for messages that were queued before this peer became the listener, to keep the order.
async fn earlier_sends(peer: &Peer) {
    // Messages lost with a connection are reported where they were sent.
    let _ = peer.flushed().await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use kyneta_uds::Incoming;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_was_handed_over_before_it_had_a_role_has_not_failed() {
        let dir = tempfile::tempdir().unwrap();
        let ignore = service_fn(async |_: Incoming| Ok::<_, Infallible>(()));
        let peer = Peer::builder(dir.path().join("bus.sock"))
            .join_lazy(ignore)
            .await
            .unwrap();
        // As the end of a handover does.
        peer.dispose().await;
        joined(&peer).await.unwrap();
        let handle = Handle::Peer(peer);
        assert!(matches!(
            handle.closed().await,
            DisconnectReason::Intentional
        ));
    }
}
