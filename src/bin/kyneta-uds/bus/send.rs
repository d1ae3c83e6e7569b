//! What stdin asks for, done in order.
//!
//! In: commands. Out: messages to peers; `sent` reports, in the order of the commands, each once
//! the kernels have taken its message. A command waits for room in the queues, not for the kernels.
//!
//! As reports keep their order, a peer that takes nothing could hold up all others here as well as
//! in its queue: once stdin waits for what is untold, it has the stall limit's time, too.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use futures_util::future::join_all;
use kyneta_uds::{ChannelMsg, Connection, PeerId, SendFuture};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
    time::timeout,
};
use tower::{Service as _, ServiceExt as _};

use super::{
    input::{Asked, Command},
    report::Report,
    role::Peers,
    teller::Teller,
};

/// Sends whose kernels have not been heard of. More than small messages in a queue of the default
/// size and in the write buffer below it, so that it is the queue that fills first.
const UNTOLD: usize = 16 << 10;

/// One command's messages, on their way.
type OnTheirWay = Vec<(Connection, SendFuture<ChannelMsg>)>;

/// Does what is asked.
#[derive(Debug)]
pub(super) struct Sends {
    peers: Peers,
    teller: Arc<Teller>,
    untold: Sender<OnTheirWay>,
}

impl Sends {
    /// Also returns the task that tells of what was sent; it ends when all is told.
    pub(super) fn new(
        peers: Peers,
        teller: Arc<Teller>,
        stall_limit: Duration,
    ) -> (Self, JoinHandle<()>) {
        let stall_limit = stall_limit.max(Duration::from_millis(1));
        let (untold, queue) = mpsc::channel(UNTOLD);
        let telling = tokio::spawn(tell(queue, teller.clone(), stall_limit));
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
async fn enqueue(
    mut connection: Connection,
    msg: ChannelMsg,
) -> Option<(Connection, SendFuture<ChannelMsg>)> {
    let sent = connection.ready().await.ok()?.call(msg);
    Some((connection, sent))
}

async fn tell(mut queue: Receiver<OnTheirWay>, teller: Arc<Teller>, stall_limit: Duration) {
    while let Some(on_their_way) = queue.recv().await {
        let mut count = 0;
        for (connection, sent) in on_their_way {
            let taken = taken(&connection, sent, &queue, &teller, stall_limit);
            count += usize::from(taken.await);
        }
        if teller.report(&Report::Sent { count }).await.is_err() {
            return;
        }
    }
}

/// True when the peer's kernel has taken the message. A peer that keeps stdin waiting for the stall
/// limit is disconnected.
async fn taken(
    connection: &Connection,
    sent: SendFuture<ChannelMsg>,
    untold: &Receiver<OnTheirWay>,
    teller: &Teller,
    stall_limit: Duration,
) -> bool {
    let mut sent = pin!(sent);
    loop {
        match timeout(stall_limit, sent.as_mut()).await {
            Ok(outcome) => return outcome.is_ok(),
            Err(_) if untold.len() < UNTOLD => {}
            Err(_) => break,
        }
    }
    let message = format!("the peer has taken nothing for {stall_limit:?} and holds up the others");
    let peer = connection.peer_id().as_str();
    let _ = teller
        .report(&Report::error_of(peer, "stalled", &message))
        .await;
    connection.handle().abort();
    sent.await.is_ok()
}
