//! Executes the commands of stdin, in order.
//!
//! In: commands. Out: messages to peers; `sent` events in the order of the commands, each after the
//! kernels have taken its message. A command waits for room in the queues, not for the kernels.
//!
//! Because `sent` events keep their order, one stalled peer could block those of all others. If stdin
//! has to wait for such a peer, the peer is disconnected after the stall limit.

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
    command_line::Command,
    event_line::EventLine,
    recipients::{Dialed, Handle, Recipient, Recipients},
    reporter::Reporter,
};
use crate::stdin::InputLine;

/// Commands whose `sent` event is pending. More than the small messages that a queue of the default
/// size and its write buffer hold, so that the queue fills first.
const MAX_UNREPORTED: usize = 16 << 10;

/// The messages of one command that the kernels have not yet taken.
type InFlight = Vec<MessageInFlight>;

struct MessageInFlight {
    sent: SendFuture<ChannelMsg>,
    /// Its connection, if we accepted it: only then can it block others.
    accepted: Option<Connection>,
}

/// Executes commands.
#[derive(Debug)]
pub(super) struct Sends {
    handle: Arc<SetOnce<Handle>>,
    reporter: Arc<Reporter>,
    unreported: Sender<InFlight>,
    /// A command to send was taken from the channel and is not finished.
    sending: bool,
}

impl Sends {
    /// Sends wait for `handle`. Also returns the task that reports `sent`; it ends when all is
    /// reported.
    pub(super) fn new(
        handle: Arc<SetOnce<Handle>>,
        reporter: Arc<Reporter>,
        stall_limit: Duration,
    ) -> (Self, JoinHandle<()>) {
        let stall_limit = stall_limit.max(Duration::from_millis(1));
        let (unreported, queue) = mpsc::channel(MAX_UNREPORTED);
        let reporting = tokio::spawn(report_sent(queue, reporter.clone(), stall_limit));
        (
            Self {
                handle,
                reporter,
                unreported,
                sending: false,
            },
            reporting,
        )
    }

    /// Ready when a line asks to quit. Cancel safe: [`give_up`](Self::give_up) reports a command that
    /// was taken and not finished.
    pub(super) async fn until_quit(&mut self, lines: &mut Receiver<InputLine<Command>>) {
        while let Some(line) = lines.recv().await {
            match line {
                Ok(Command::Quit) => return,
                Ok(Command::Send { msg, to }) => {
                    self.sending = true;
                    let in_flight = match to {
                        None => self.to_all(msg).await,
                        Some(peer) => self.to_one(msg, &peer).await.into_iter().collect(),
                    };
                    // Fails only when the process ends.
                    let _ = self.unreported.send(in_flight).await;
                    self.sending = false;
                }
                Err(message) => self.error("bad-input", message).await,
            }
        }
        pending::<()>().await;
    }

    /// Sends no more: reports each command that was read and not executed as sent to 0 peers.
    pub(super) fn give_up(mut self, mut lines: Receiver<InputLine<Command>>) {
        lines.close();
        let mut unsent = usize::from(mem::take(&mut self.sending));
        while let Ok(line) = lines.try_recv() {
            unsent += usize::from(matches!(line, Ok(Command::Send { .. })));
        }
        for _ in 0..unsent {
            // Fails only when the maximum is pending.
            let _ = self.unreported.try_send(InFlight::new());
        }
    }

    async fn to_all(&self, msg: ChannelMsg) -> InFlight {
        match self.handle.wait().await.all().await {
            Recipients::Accepted(connections) => {
                let sends = connections
                    .into_iter()
                    .map(|connection| to_accepted(connection, msg.clone()));
                join_all(sends).await.into_iter().flatten().collect()
            }
            Recipients::Dialed(dialed) => {
                let sent = match dialed {
                    Dialed::Client(client) => enqueue(client, msg).await,
                    Dialed::Peer(peer) => enqueue(peer, msg).await,
                };
                sent.map(MessageInFlight::dialed).into_iter().collect()
            }
        }
    }

    async fn to_one(&self, msg: ChannelMsg, peer: &PeerId) -> Option<MessageInFlight> {
        match self.handle.wait().await.one(peer).await {
            Some(Recipient::Accepted(connection)) => to_accepted(connection, msg).await,
            Some(Recipient::Dialed(listener)) => {
                enqueue(listener, msg).await.map(MessageInFlight::dialed)
            }
            None => {
                let message = format!("no peer {peer:?} is connected");
                self.error("unknown-peer", message).await;
                None
            }
        }
    }

    async fn error(&self, code: &str, message: String) {
        // Fails when stdout is broken, which ends the process elsewhere.
        let _ = self.reporter.report(&EventLine::error(code, message)).await;
    }
}

impl MessageInFlight {
    const fn dialed(sent: SendFuture<ChannelMsg>) -> Self {
        Self {
            sent,
            accepted: None,
        }
    }
}

async fn to_accepted(connection: Connection, msg: ChannelMsg) -> Option<MessageInFlight> {
    let sent = enqueue(connection.clone(), msg).await?;
    let accepted = Some(connection);
    Some(MessageInFlight { sent, accepted })
}

/// Waits for room. `None` when the peer is disconnected, which has an event of its own.
async fn enqueue<S>(mut to: S, msg: ChannelMsg) -> Option<SendFuture<ChannelMsg>>
where
    S: Service<ChannelMsg, Error = SendError, Future = SendFuture<ChannelMsg>>,
{
    Some(to.ready().await.ok()?.call(msg))
}

async fn report_sent(
    mut queue: Receiver<InFlight>,
    reporter: Arc<Reporter>,
    stall_limit: Duration,
) {
    while let Some(in_flight) = queue.recv().await {
        let mut count = 0;
        for MessageInFlight { sent, accepted } in in_flight {
            let taken = match accepted {
                Some(connection) => taken(&connection, sent, &queue, &reporter, stall_limit).await,
                // Blocks no other peer, and its queue has a stall limit of its own.
                None => sent.await.is_ok(),
            };
            count += usize::from(taken);
        }
        if reporter.report(&EventLine::Sent { count }).await.is_err() {
            return;
        }
    }
}

/// True when the peer's kernel has taken the message. A peer that keeps stdin waiting for the stall
/// limit is disconnected.
async fn taken(
    connection: &Connection,
    sent: SendFuture<ChannelMsg>,
    unreported: &Receiver<InFlight>,
    reporter: &Reporter,
    stall_limit: Duration,
) -> bool {
    let mut sent = pin!(sent);
    loop {
        match timeout(stall_limit, sent.as_mut()).await {
            Ok(sent) => return sent.is_ok(),
            Err(_) if unreported.len() < MAX_UNREPORTED => {}
            Err(_) => break,
        }
    }
    let message = format!("the peer has read nothing for {stall_limit:?} and blocks the others");
    let peer = connection.peer_id().as_str();
    let _ = reporter
        .report(&EventLine::error_of(peer, "stalled", &message))
        .await;
    connection.handle().abort();
    sent.await.is_ok()
}
