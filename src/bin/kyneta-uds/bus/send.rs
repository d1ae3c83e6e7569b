//! What stdin asks for, done in order.
//!
//! In: commands. Out: messages to peers; `sent` reports, in the order of the commands, each once
//! the kernels have taken its message. A command waits for room in the queues, not for the kernels.

use std::{future::pending, sync::Arc};

use futures_util::future::join_all;
use kyneta_uds::{ChannelMsg, Connection, PeerId, SendFuture};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
};
use tower::{Service as _, ServiceExt as _};

use super::{
    input::{Asked, Command},
    report::Report,
    role::Peers,
    teller::Teller,
};

/// Sends whose kernels have not been heard of.
const UNTOLD: usize = 1024;

/// One command's messages, on their way.
type OnTheirWay = Vec<SendFuture<ChannelMsg>>;

/// Does what is asked.
#[derive(Debug)]
pub(super) struct Sends {
    peers: Peers,
    teller: Arc<Teller>,
    untold: Sender<OnTheirWay>,
}

impl Sends {
    /// Also returns the task that tells of what was sent; it ends when all is told.
    pub(super) fn new(peers: Peers, teller: Arc<Teller>) -> (Self, JoinHandle<()>) {
        let (untold, queue) = mpsc::channel(UNTOLD);
        let telling = tokio::spawn(tell(queue, teller.clone()));
        (
            Self {
                peers,
                teller,
                untold,
            },
            telling,
        )
    }

    /// Ready when asked to quit. The end of stdin ends nothing.
    pub(super) async fn until_quit(self, mut commands: Receiver<Asked>) {
        while let Some(asked) = commands.recv().await {
            match asked {
                Ok(Command::Quit) => return,
                Ok(Command::Send { msg, to }) => self.send(msg, to).await,
                Err(message) => self.complain("bad-input", message).await,
            }
        }
        pending::<()>().await;
    }

    async fn send(&self, msg: ChannelMsg, to: Option<PeerId>) {
        let receivers = match &to {
            None => self.peers.all(),
            Some(peer) => match self.peers.one(peer) {
                Some(connection) => vec![connection],
                None => {
                    let message = format!("no peer {peer:?} is here");
                    self.complain("unknown-peer", message).await;
                    Vec::new()
                }
            },
        };
        let sends = receivers
            .into_iter()
            .map(|connection| enqueue(connection, msg.clone()));
        let on_their_way = join_all(sends).await.into_iter().flatten().collect();
        // Fails only when the command ends.
        let _ = self.untold.send(on_their_way).await;
    }

    async fn complain(&self, code: &str, message: String) {
        // Nobody to complain to ends the command elsewhere.
        let _ = self.teller.report(&Report::error(code, message)).await;
    }
}

/// Waits for room. `None` when the peer has gone, which its own event tells.
async fn enqueue(mut connection: Connection, msg: ChannelMsg) -> Option<SendFuture<ChannelMsg>> {
    Some(connection.ready().await.ok()?.call(msg))
}

async fn tell(mut queue: Receiver<OnTheirWay>, teller: Arc<Teller>) {
    while let Some(on_their_way) = queue.recv().await {
        let mut count = 0;
        for sent in on_their_way {
            count += usize::from(sent.await.is_ok());
        }
        if teller.report(&Report::Sent { count }).await.is_err() {
            return;
        }
    }
}
