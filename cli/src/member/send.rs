//! What stdin asks for, done in order.
//!
//! In: commands. Out: messages to peers; `sent` reports, in the order of the commands, each once
//! the kernels have taken its message. A command waits for room in the queues, not for the kernels.
//!
//! As reports keep their order, one of many that takes nothing could hold up all others here as well
//! as in its queue: once stdin waits for what is untold, it has the stall limit's time, too.

use std::{future::pending, mem, pin::pin, sync::Arc, time::Duration};

use futures_util::future::join_all;
use kyneta_uds::{ChannelMsg, Connection, PeerId, SendError, SendFuture};
use tokio::{
    sync::{
        SetOnce,
        mpsc::{self, Receiver, Sender},
    },
    task::JoinHandle,
    time::timeout,
};
use tower::{Service, ServiceExt as _};

use super::{
    event_line::Report,
    recipients::{Everybody, One, Outgoing, Peers},
    reporter::Teller,
    stdin::{Asked, Command},
};

/// Sends whose kernels have not been heard of. More than small messages in a queue of the default
/// size and in the write buffer below it, so that it is the queue that fills first.
const UNTOLD: usize = 16 << 10;

/// One command's messages, on their way.
type OnTheirWay = Vec<OnItsWay>;

struct OnItsWay {
    sent: SendFuture<ChannelMsg>,
    /// Whose it is, if it has connected to us: one of many.
    member: Option<Connection>,
}

/// Does what is asked.
#[derive(Debug)]
pub(super) struct Sends {
    peers: Arc<SetOnce<Peers>>,
    teller: Arc<Teller>,
    untold: Sender<OnTheirWay>,
    /// A command to send was taken, and has not come to anything.
    sending: bool,
}

impl Sends {
    /// Sends wait for `peers`. Also returns the task that tells of what was sent; it ends when all
    /// is told.
    pub(super) fn new(
        peers: Arc<SetOnce<Peers>>,
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
                sending: false,
            },
            telling,
        )
    }

    /// Ready when asked to quit. Cancel safe: what was taken and not sent is told of by
    /// [`give_up`](Self::give_up).
    pub(super) async fn until_quit(&mut self, asked: &mut Receiver<Asked>) {
        while let Some(asked) = asked.recv().await {
            match asked {
                Ok(Command::Quit) => return,
                Ok(Command::Send { msg, to }) => {
                    self.sending = true;
                    let on_their_way = match to {
                        None => self.to_all(msg).await,
                        Some(peer) => self.to_one(msg, &peer).await.into_iter().collect(),
                    };
                    // Fails only when the command ends.
                    let _ = self.untold.send(on_their_way).await;
                    self.sending = false;
                }
                Err(message) => self.complain("bad-input", message).await,
            }
        }
        pending::<()>().await;
    }

    /// Sends no more: tells of what was read and has not been sent that nothing has taken it.
    pub(super) fn give_up(mut self, mut asked: Receiver<Asked>) {
        asked.close();
        let mut unsent = usize::from(mem::take(&mut self.sending));
        while let Ok(read) = asked.try_recv() {
            unsent += usize::from(matches!(read, Ok(Command::Send { .. })));
        }
        for _ in 0..unsent {
            // Full only when as many wait to be told of as may.
            let _ = self.untold.try_send(OnTheirWay::new());
        }
    }

    async fn to_all(&self, msg: ChannelMsg) -> OnTheirWay {
        match self.peers.wait().await.all().await {
            Everybody::Members(members) => {
                let sends = members
                    .into_iter()
                    .map(|member| to_member(member, msg.clone()));
                join_all(sends).await.into_iter().flatten().collect()
            }
            Everybody::Through(outgoing) => {
                let sent = match outgoing {
                    Outgoing::Client(client) => enqueue(client, msg).await,
                    Outgoing::Peer(peer) => enqueue(peer, msg).await,
                };
                sent.map(OnItsWay::outgoing).into_iter().collect()
            }
        }
    }

    async fn to_one(&self, msg: ChannelMsg, peer: &PeerId) -> Option<OnItsWay> {
        match self.peers.wait().await.one(peer).await {
            Some(One::Member(member)) => to_member(member, msg).await,
            Some(One::Host(host)) => enqueue(host, msg).await.map(OnItsWay::outgoing),
            None => {
                let message = format!("no peer {peer:?} is here");
                self.complain("unknown-peer", message).await;
                None
            }
        }
    }

    async fn complain(&self, code: &str, message: String) {
        // Nobody to complain to ends the command elsewhere.
        let _ = self.teller.report(&Report::error(code, message)).await;
    }
}

impl OnItsWay {
    const fn outgoing(sent: SendFuture<ChannelMsg>) -> Self {
        Self { sent, member: None }
    }
}

async fn to_member(member: Connection, msg: ChannelMsg) -> Option<OnItsWay> {
    let sent = enqueue(member.clone(), msg).await?;
    let member = Some(member);
    Some(OnItsWay { sent, member })
}

/// Waits for room. `None` when the peer has gone, which its own event tells.
async fn enqueue<S>(mut to: S, msg: ChannelMsg) -> Option<SendFuture<ChannelMsg>>
where
    S: Service<ChannelMsg, Error = SendError, Future = SendFuture<ChannelMsg>>,
{
    Some(to.ready().await.ok()?.call(msg))
}

async fn tell(mut queue: Receiver<OnTheirWay>, teller: Arc<Teller>, stall_limit: Duration) {
    while let Some(on_their_way) = queue.recv().await {
        let mut count = 0;
        for OnItsWay { sent, member } in on_their_way {
            let taken = match member {
                Some(member) => taken(&member, sent, &queue, &teller, stall_limit).await,
                // It holds up nobody else, and its queue has a limit of its own.
                None => sent.await.is_ok(),
            };
            count += usize::from(taken);
        }
        if teller.report(&Report::Sent { count }).await.is_err() {
            return;
        }
    }
}

/// True when the member's kernel has taken the message. One that keeps stdin waiting for the stall
/// limit is disconnected.
async fn taken(
    member: &Connection,
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
    let peer = member.peer_id().as_str();
    let _ = teller
        .report(&Report::error_of(peer, "stalled", &message))
        .await;
    member.handle().abort();
    sent.await.is_ok()
}
