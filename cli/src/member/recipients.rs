//! Whom a message can be sent to, in each role.

use kyneta_uds::{Client, Connection, DisconnectReason, Peer, PeerId, Role, Server};

/// The peers of a listener, the one of a connector, or of one who may be either.
#[derive(Debug, Clone)]
pub(super) enum Peers {
    Server(Server),
    Client(Client),
    Peer(Peer),
}

/// Who gets a message for all.
pub(super) enum Everybody {
    /// Those who have connected to us.
    Members(Vec<Connection>),
    /// The one we connect to, now or next.
    Through(Outgoing),
}

/// What waits for the one we connect to, whoever that is by then.
pub(super) enum Outgoing {
    Client(Client),
    Peer(Peer),
}

/// Who gets a message for one.
pub(super) enum One {
    /// Has connected to us.
    Member(Connection),
    /// We have connected to it.
    Host(Connection),
}

impl Peers {
    /// Whom a message for all goes to. Waits while there is nobody yet who will be.
    pub(super) async fn all(&self) -> Everybody {
        match self {
            Self::Server(server) => Everybody::Members(server.connections()),
            Self::Client(client) => Everybody::Through(Outgoing::Client(client.clone())),
            Self::Peer(peer) => of_peer(peer).await,
        }
    }

    pub(super) async fn one(&self, id: &PeerId) -> Option<One> {
        match self {
            Self::Server(server) => server.connection(id).map(One::Member),
            Self::Client(client) => {
                let there = client.connection().filter(|there| there.peer_id() == id);
                there.map(One::Host)
            }
            Self::Peer(peer) => {
                if peer.role() != Role::Listener {
                    return peer.connection(id).map(One::Host);
                }
                passed_on(peer).await;
                peer.connection(id).map(One::Member)
            }
        }
    }

    /// Tells everybody `depart`, sends what waits, and ends.
    pub(super) async fn dispose(self) {
        match self {
            Self::Server(server) => server.dispose().await,
            Self::Client(client) => client.dispose().await,
            Self::Peer(peer) => peer.dispose().await,
        };
    }

    /// Ready when there will be nobody any more.
    pub(super) async fn deserted(&self) -> DisconnectReason {
        match self {
            Self::Server(server) => server.closed().await,
            Self::Client(client) => client.closed().await,
            Self::Peer(peer) => peer.closed().await,
        }
    }
}

async fn of_peer(peer: &Peer) -> Everybody {
    loop {
        if !peer.wait_for_peers().await {
            return Everybody::Members(Vec::new());
        }
        if peer.role() != Role::Listener {
            return Everybody::Through(Outgoing::Peer(peer.clone()));
        }
        passed_on(peer).await;
        let members = peer.connections();
        if peer.role() == Role::Listener && !members.is_empty() {
            return Everybody::Members(members);
        }
    }
}

/// What was said while another listened, or nobody, goes out before what is said now.
async fn passed_on(peer: &Peer) {
    // What was lost with a connection is told where it was sent.
    let _ = peer.flushed().await;
}
