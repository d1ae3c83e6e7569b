//! The one task of an exchange: brings everything to the engine, in order, and what it sends to the channels.
//!
//! In: what users do, what channels bring. Out: messages into the queues of channels. Touches: tokio's channels.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kyneta_uds_core::{ChannelMsg, DocId, Identity, Message as _, PeerId, WireVersion};
use kyneta_uds_schema::{Schema, Substrate};
use kyneta_uds_sync::ChannelKey;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::{cell::DocCell, engine::Engine, event::ExchangeEvent, table::Table};

/// How much is done before what was changed is reported, and the channels get what is sent to them.
const TURN: usize = 64;

/// Waits until a time, if there is one.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits until more is stored than before.
async fn stored(table: &Table) {
    match &table.journal {
        Some(journal) => journal.stored().await,
        None => std::future::pending().await,
    }
}

/// What a user does. Each document has at most one edit under way, so these are bounded by the documents.
#[derive(Debug)]
pub(super) enum Command {
    Register(Substrate, Schema),
    Opened(Arc<DocCell>),
    Edited(Arc<DocCell>),
    Destroy(Arc<DocCell>),
    Suspend {
        doc: DocId,
        is_suspended: bool,
    },
    /// Send what is to be sent, close the channels, and end.
    End(oneshot::Sender<()>),
}

/// What happens to a channel.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Up {
        key: ChannelKey,
        identity: Identity,
        wire: WireVersion,
        outbox: Outbox,
    },
    Message(ChannelKey, ChannelMsg),
    Down(ChannelKey),
}

/// What waits for a channel. Its bytes are counted by both ends.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) sender: mpsc::UnboundedSender<ChannelMsg>,
    pub(super) bytes: Arc<AtomicUsize>,
    /// Drops what waits.
    pub(super) abort: AbortHandle,
    /// Asks for the channel to be met anew.
    pub(super) renew: mpsc::UnboundedSender<ChannelKey>,
}

struct Link {
    peer: PeerId,
    wire: WireVersion,
    outbox: Outbox,
}

pub(super) struct Task {
    pub(super) engine: Engine,
    pub(super) table: Arc<Table>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) inbox: mpsc::Receiver<LinkEvent>,
    /// The most bytes that may wait for a channel.
    pub(super) max_waiting: usize,
    links: HashMap<ChannelKey, Link>,
}

/// Its runtime may end before it does. What others wait for ends then, too.
impl Drop for Task {
    fn drop(&mut self) {
        // A document that is opened after this is told so, and one before it is in the table.
        self.commands.close();
        self.table.end();
    }
}

impl Task {
    pub(super) fn new(
        engine: Engine,
        table: Arc<Table>,
        commands: mpsc::UnboundedReceiver<Command>,
        inbox: mpsc::Receiver<LinkEvent>,
        max_waiting: usize,
    ) -> Self {
        Self {
            engine,
            table,
            commands,
            inbox,
            max_waiting,
            links: HashMap::new(),
        }
    }

    /// Runs until the last handle is gone, or one asks for the end.
    pub(super) async fn run(mut self) {
        // All that wait for the end: each is told when it is there, and not before.
        let mut ended = Vec::new();
        while ended.is_empty() {
            let is_full = self.engine.out.bytes() > self.max_waiting;
            tokio::select! {
                command = self.commands.recv(), if !is_full => match command {
                    Some(command) => ended.extend(self.command(command)),
                    None => break,
                },
                Some(event) = self.inbox.recv(), if !is_full => self.link(event),
                () = until(self.engine.next_settled()) => self.engine.settle(),
                () = stored(&self.table) => {
                    self.deliver();
                    continue;
                }
            }
            for _ in 0..TURN {
                let command = self.commands.try_recv();
                let event = self.inbox.try_recv();
                let is_idle = command.is_err() && event.is_err();
                if let Ok(command) = command {
                    ended.extend(self.command(command));
                }
                if let Ok(event) = event {
                    self.link(event);
                }
                if is_idle {
                    break;
                }
            }
            self.engine.quiet();
            self.deliver();
            tokio::task::yield_now().await;
        }
        self.table.end();
        if let Some(journal) = &self.table.journal {
            journal.end(self.table.numbered()).await;
            self.deliver();
        }
        // What waits is still sent: the writers end when they have sent it.
        self.links.clear();
        for ended in ended {
            // Not waited for any more.
            let _ = ended.send(());
        }
    }

    fn command(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        match command {
            Command::Register(substrate, schema) => self.engine.registered(substrate, &schema),
            Command::Opened(cell) => self.engine.opened(&cell),
            Command::Edited(cell) => self.engine.edited(&cell),
            Command::Destroy(cell) => self.engine.destroyed(&cell),
            Command::Suspend { doc, is_suspended } => self.engine.suspended(&doc, is_suspended),
            Command::End(done) => return Some(done),
        }
        None
    }

    fn link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up {
                key,
                identity,
                wire,
                outbox,
            } => {
                let peer = identity.peer_id.clone();
                self.links.insert(key, Link { peer, wire, outbox });
                self.engine.up(key, identity, wire);
            }
            LinkEvent::Message(key, msg) => {
                // A channel that is gone says nothing any more.
                if let Some(link) = self.links.get(&key) {
                    self.engine.received(key, &link.peer, link.wire, msg);
                }
            }
            LinkEvent::Down(key) => {
                if let Some(link) = self.links.remove(&key) {
                    link.outbox.abort.abort();
                    self.engine.down(key, link.wire);
                }
            }
        }
        self.deliver();
    }

    /// Queues what the engine sends.
    fn deliver(&mut self) {
        while let Some((key, msg)) = self.engine.out.next() {
            let Some(link) = self.links.get(&key) else {
                continue;
            };
            let size = msg.size();
            let waiting = link.outbox.bytes.fetch_add(size, Ordering::Relaxed) + size;
            // It fails when the channel is gone, which is reported in the inbox.
            let _ = link.outbox.sender.send(msg);
            if waiting > self.max_waiting {
                self.too_slow(key, waiting);
            }
        }
    }

    fn too_slow(&mut self, key: ChannelKey, bytes: usize) {
        let Some(link) = self.links.remove(&key) else {
            return;
        };
        link.outbox.abort.abort();
        let _ = link.outbox.renew.send(key);
        self.table.reports.send(ExchangeEvent::TooSlow {
            peer: link.peer,
            bytes,
            limit: self.max_waiting,
        });
        self.engine.down(key, link.wire);
    }
}
