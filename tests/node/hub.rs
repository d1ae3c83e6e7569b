//! What listens at a path and passes documents between the members there: a server, or the first of two peers.
//!
//! In: which of the two, and the stack. Out: a path that documents pass through.

use std::{convert::Infallible, path::PathBuf};

use kyneta_uds::{Handler, Incoming, Peer, Role, Server, SwitchConfig};
use tower::service_fn;

use crate::support::service;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Server,
    Peers,
}

pub(crate) struct Hub {
    path: PathBuf,
    config: SwitchConfig,
    listening: Listening,
}

enum Listening {
    Server(Server),
    /// The second one is connected to the first.
    Peers(Peer, Peer),
}

fn ignore() -> impl Handler + Clone {
    service_fn(|_: Incoming| std::future::ready(Ok::<_, Infallible>(())))
}

impl Hub {
    pub(crate) async fn start(kind: Kind, path: PathBuf, config: SwitchConfig) -> Self {
        let listening = match kind {
            Kind::Server => Listening::Server(serve(&path, &config).await),
            Kind::Peers => {
                let first = join(&path, &config).await;
                assert_eq!(first.role(), Role::Listener);
                Listening::Peers(first, join(&path, &config).await)
            }
        };
        Self {
            path,
            config,
            listening,
        }
    }

    /// It ends. Of two peers, the other one takes over.
    pub(crate) async fn end(self) -> Ended {
        let survivor = match self.listening {
            Listening::Server(server) => {
                server.dispose().await;
                None
            }
            Listening::Peers(first, second) => {
                first.dispose().await;
                Some(second)
            }
        };
        Ended {
            path: self.path,
            config: self.config,
            survivor,
        }
    }
}

/// Between two listeners.
pub(crate) struct Ended {
    path: PathBuf,
    config: SwitchConfig,
    survivor: Option<Peer>,
}

impl Ended {
    /// Another one listens. It knows nothing of what the former one knew.
    pub(crate) async fn replace(self) -> Hub {
        let (path, config) = (self.path, self.config);
        let listening = match self.survivor {
            None => Listening::Server(serve(&path, &config).await),
            Some(survivor) => {
                survivor.wait_for(|role| role == Role::Listener).await;
                Listening::Peers(survivor, join(&path, &config).await)
            }
        };
        Hub {
            path,
            config,
            listening,
        }
    }
}

async fn serve(path: &PathBuf, config: &SwitchConfig) -> Server {
    let builder = Server::builder(path).identity(service("hub"));
    builder
        .relay(config.clone())
        .listen(ignore())
        .await
        .unwrap()
}

async fn join(path: &PathBuf, config: &SwitchConfig) -> Peer {
    let builder = Peer::builder(path).identity(service("peer"));
    builder.relay(config.clone()).join(ignore()).await.unwrap()
}
