//! Whom a message can be sent to, in either role.

use kyneta_uds::{Client, Connection, DisconnectReason, PeerId, Server};

/// The peers of a listener, or the one of a connector.
#[derive(Debug, Clone)]
pub(super) enum Peers {
    OfServer(Server),
    OfClient(Client),
}

impl Peers {
    pub(super) fn all(&self) -> Vec<Connection> {
        match self {
            Self::OfServer(server) => server.connections(),
            Self::OfClient(client) => vec![client.connection().clone()],
        }
    }

    pub(super) fn one(&self, peer: &PeerId) -> Option<Connection> {
        match self {
            Self::OfServer(server) => server.connection(peer),
            Self::OfClient(client) => {
                Some(client.connection().clone()).filter(|there| there.peer_id() == peer)
            }
        }
    }

    /// Tells everybody `depart`, sends what waits, and ends.
    pub(super) async fn dispose(self) {
        match self {
            Self::OfServer(server) => server.dispose().await,
            Self::OfClient(client) => {
                client.dispose().await;
            }
        }
    }

    /// Ready when there will be nobody any more.
    pub(super) async fn deserted(&self) -> DisconnectReason {
        match self {
            Self::OfServer(_) => std::future::pending().await,
            Self::OfClient(client) => client.closed().await,
        }
    }
}
