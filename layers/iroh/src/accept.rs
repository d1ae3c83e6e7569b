//! Accepts connections whose keys are verified.
//!
//! In: the endpoint. Out: connections. May touch: a task of its own, and one for each handshake.

use std::{io, sync::Arc, time::Duration};

use iroh::{Endpoint, endpoint::Connection};
use kyneta_uds_machines::{Accept, Accepted, MachineKey};
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::stream::{IrohStream, LINGER};

/// How many handshakes may be under way, and how many connections may wait to be taken.
const BACKLOG: usize = 64;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Accepts for an endpoint; see [`IrohEngine::acceptor`](crate::IrohEngine::acceptor).
#[derive(Debug)]
pub struct IrohAcceptor {
    connections: mpsc::Receiver<Connection>,
    endpoint: Endpoint,
    streams: TaskTracker,
    task: JoinHandle<()>,
}

impl IrohAcceptor {
    pub(crate) fn new(endpoint: Endpoint, streams: TaskTracker) -> Self {
        let (to_user, connections) = mpsc::channel(BACKLOG);
        let task = tokio::spawn(accept_all(endpoint.clone(), to_user));
        Self {
            connections,
            endpoint,
            streams,
            task,
        }
    }
}

impl Drop for IrohAcceptor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Accept for IrohAcceptor {
    type Io = IrohStream;

    async fn accept(&mut self) -> Option<Accepted<IrohStream>> {
        let connection = self.connections.recv().await?;
        let key = MachineKey::from(*connection.remote_id().as_bytes());
        let open = self.streams.token();
        Some(Accepted::new(key, async move {
            let stream = connection.accept_bi().await.map_err(io::Error::from)?;
            Ok(IrohStream::new(connection, stream, open))
        }))
    }

    async fn close(&mut self) {
        self.task.abort();
        self.streams.close();
        // Streams that are held on to are closed with the rest.
        let _ = timeout(LINGER, self.streams.wait()).await;
        self.endpoint.close().await;
    }
}

/// A handshake that takes long holds no other one up.
async fn accept_all(endpoint: Endpoint, to_user: mpsc::Sender<Connection>) {
    let places = Arc::new(Semaphore::new(BACKLOG));
    let mut handshakes = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while handshakes.try_join_next().is_some() {}
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(
                at_once = BACKLOG,
                "too many handshakes at once: one is refused"
            );
            incoming.refuse();
            continue;
        };
        let to_user = to_user.clone();
        handshakes.spawn(async move {
            let _place = place;
            let connect = async { incoming.accept()?.await.map_err(io::Error::other) };
            match timeout(HANDSHAKE, connect).await {
                Ok(Ok(connection)) => drop(to_user.send(connection).await),
                Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                Err(_) => tracing::debug!("a handshake took too long"),
            }
        });
    }
}
