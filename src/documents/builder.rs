//! The settings of an exchange, and what it is put on.
//!
//! In: settings, one by one. Out: an exchange over a role or a channel. Touches: what the role touches.

use std::sync::Arc;

use kyneta_uds_core::{Channel, ChannelMsg, Identity, SocketPath, SocketPathError, WireVersion};
use kyneta_uds_exchange::{DocKind, DocLimits, EphemeralKind, JsonKind};
use kyneta_uds_schema::{Schema, Substrate};
use kyneta_uds_sync::{self as sync, Policy, Resolve, SyncLimits, SyncMachine};
use kyneta_uds_unix::BindError;
use tokio::sync::mpsc;

use super::{
    attach::{Attach, Role},
    cell::WIRES,
    engine::Engine,
    exchange::{Exchange, Inner},
    table::Table,
    task::{LinkEvent, Task},
    versions::WireVersions,
};
use crate::{
    client::{Client, ClientBuilder, ClientError},
    peer::{JoinError, Peer, PeerBuilder},
    server::{Server, ServerBuilder},
    stack::MakeChannel,
};

/// How many messages may wait between the channels and the exchange.
const INBOX: usize = 64;

/// The settings of an [`Exchange`].
#[must_use = "a builder does nothing until it joins, connects or listens"]
#[derive(Debug)]
pub struct ExchangeBuilder {
    identity: Identity,
    kinds: Vec<Arc<dyn DocKind>>,
    schemas: Vec<(Substrate, Schema)>,
    policies: Vec<Policy>,
    sync_limits: SyncLimits,
    doc_limits: DocLimits,
    max_waiting: usize,
}

/// What an exchange is made of, before it has a role.
struct Parts {
    table: Arc<Table>,
    commands: mpsc::UnboundedSender<super::task::Command>,
    attach: Attach,
    renew: mpsc::UnboundedReceiver<sync::ChannelKey>,
    task: Task,
}

impl ExchangeBuilder {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            kinds: vec![Arc::new(JsonKind), Arc::new(EphemeralKind)],
            schemas: Vec::new(),
            policies: Vec::new(),
            sync_limits: SyncLimits::default(),
            doc_limits: DocLimits::default(),
            max_waiting: 64 << 20,
        }
    }

    /// Adds a kind of documents, as a crate of a CRDT library has one. Plain JSON and ephemeral documents are there.
    pub fn kind(mut self, kind: impl DocKind) -> Self {
        self.kinds
            .retain(|known| known.substrate() != kind.substrate());
        self.kinds.push(Arc::new(kind));
        self
    }

    /// Adds a schema: a document of it is opened when a peer presents one.
    pub fn schema(mut self, substrate: Substrate, schema: Schema) -> Self {
        self.schemas.push((substrate, schema));
        self
    }

    /// Adds a policy: which peer may do what with which document. A rule runs in the exchange's task, without a lock, and
    /// must answer at once.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// Keeps and passes on all documents that peers present and that no schema here reads.
    pub fn replicate(self) -> Self {
        self.policy(Policy::new().resolve(|_, _| Some(Resolve::Replicate)))
    }

    /// How many documents peers may open, and how many peers are remembered. [`SyncLimits::default`] by default. What is
    /// refused is an [`ExchangeEvent::Diagnostic`](super::ExchangeEvent::Diagnostic).
    pub const fn limits(mut self, limits: SyncLimits) -> Self {
        self.sync_limits = limits;
        self
    }

    /// The most bytes of a document. 16 MiB by default; an ephemeral one has at most 1 MiB. An edit beyond it fails, an
    /// offer beyond it is an [`ExchangeEvent::Diagnostic`](super::ExchangeEvent::Diagnostic).
    pub const fn max_document_bytes(mut self, bytes: usize) -> Self {
        self.doc_limits.max_bytes = bytes;
        self
    }

    /// How many bytes may wait for a peer that reads too slowly. 64 MiB by default; more is an
    /// [`ExchangeEvent::TooSlow`](super::ExchangeEvent::TooSlow).
    pub const fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.max_waiting = bytes;
        self
    }

    fn machine(&self, wire: WireVersion) -> SyncMachine<WireVersions> {
        let mut machine = SyncMachine::new(WireVersions(wire)).limits(self.sync_limits);
        for policy in &self.policies {
            machine.policies().add(policy.clone());
        }
        for substrate in self.kinds.iter().map(|kind| kind.substrate()) {
            if let Ok(replica) = substrate.replica_type() {
                machine.register_replica(replica, substrate.mode());
            }
        }
        for (substrate, schema) in &self.schemas {
            if let (Ok(replica), Some(hash)) = (substrate.replica_type(), schema.hash(wire)) {
                let known = sync::Schema::new(replica, substrate.mode(), hash);
                let known = match schema.supported_hashes(wire) {
                    Some(hashes) => known.supported(hashes),
                    None => known,
                };
                // There is no document yet that waits for it.
                machine.register_schema(known, &mut Vec::new());
            }
        }
        machine
    }

    fn parts(self) -> Parts {
        let machines = WIRES.map(|wire| self.machine(wire));
        let table = Arc::new(Table::new(self.kinds, self.schemas, self.doc_limits));
        let (commands, commanded) = mpsc::unbounded_channel();
        let (sender, inbox) = mpsc::channel::<LinkEvent>(INBOX);
        let (renews, renew) = mpsc::unbounded_channel();
        let engine = Engine::new(machines, table.clone());
        Parts {
            task: Task::new(engine, table.clone(), commanded, inbox, self.max_waiting),
            attach: Attach::new(sender, renews, self.identity),
            table,
            commands,
            renew,
        }
    }

    /// Joins a path: the first process there listens, and takes part in its own hub.
    ///
    /// # Errors
    /// [`JoinError`], as of [`PeerBuilder::join`].
    pub async fn join<P>(self, path: P) -> Result<Exchange, JoinError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        self.join_with(Peer::builder(path)).await
    }

    /// As [`join`](Self::join), with settings for the peer. Its identity is the exchange's; it must relay, as it does by
    /// default.
    ///
    /// # Errors
    /// [`JoinError`], as of [`PeerBuilder::join`].
    pub async fn join_with<S>(self, builder: PeerBuilder<S>) -> Result<Exchange, JoinError>
    where
        S: MakeChannel<In = ChannelMsg>,
    {
        let builder = builder.identity(self.identity.clone());
        let parts = self.parts();
        let peer = builder.join(parts.attach.handler()).await?;
        Ok(parts.over(Role::Peer(peer)))
    }

    /// As [`join_with`](Self::join_with), without waiting for a role, which [`Peer::joined`] waits for.
    ///
    /// # Errors
    /// [`JoinError::Path`]: no socket can have this path.
    pub async fn join_lazy_with<S>(self, builder: PeerBuilder<S>) -> Result<Exchange, JoinError>
    where
        S: MakeChannel<In = ChannelMsg>,
    {
        let builder = builder.identity(self.identity.clone());
        let parts = self.parts();
        let peer = builder.join_lazy(parts.attach.handler()).await?;
        Ok(parts.over(Role::Peer(peer)))
    }

    /// Connects to a listener.
    ///
    /// # Errors
    /// [`ClientError`], as of [`ClientBuilder::connect`].
    pub async fn client<P>(self, path: P) -> Result<Exchange, ClientError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        self.client_with(Client::builder(path)).await
    }

    /// As [`client`](Self::client), with settings for the client. Its identity is the exchange's.
    ///
    /// # Errors
    /// [`ClientError`], as of [`ClientBuilder::connect`].
    pub async fn client_with<S>(self, builder: ClientBuilder<S>) -> Result<Exchange, ClientError>
    where
        S: MakeChannel<In = ChannelMsg>,
    {
        let builder = builder.identity(self.identity.clone());
        let parts = self.parts();
        let client = builder.connect(parts.attach.handler()).await?;
        Ok(parts.over(Role::Client(client)))
    }

    /// As [`client_with`](Self::client_with), without waiting for a connection.
    ///
    /// # Errors
    /// [`ClientError`], as of [`ClientBuilder::connect_lazy`].
    pub async fn client_lazy_with<S>(
        self,
        builder: ClientBuilder<S>,
    ) -> Result<Exchange, ClientError>
    where
        S: MakeChannel<In = ChannelMsg>,
    {
        let builder = builder.identity(self.identity.clone());
        let parts = self.parts();
        let client = builder.connect_lazy(parts.attach.handler()).await?;
        Ok(parts.over(Role::Client(client)))
    }

    /// Listens at a path, and takes part in the hub there.
    ///
    /// # Errors
    /// [`BindError`], as of [`ServerBuilder::listen`].
    pub async fn server<P>(self, path: P) -> Result<Exchange, BindError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        self.server_with(Server::builder(path)).await
    }

    /// As [`server`](Self::server), with settings for the server. Its identity is the exchange's; it must relay, as it
    /// does by default.
    ///
    /// # Errors
    /// [`BindError`], as of [`ServerBuilder::listen`].
    pub async fn server_with<S>(self, builder: ServerBuilder<S>) -> Result<Exchange, BindError>
    where
        S: MakeChannel<In = ChannelMsg>,
    {
        let builder = builder.identity(self.identity.clone());
        let parts = self.parts();
        let server = builder.listen(parts.attach.handler()).await?;
        Ok(parts.over(Role::Server(server)))
    }

    /// Takes part over a channel to a peer, as a stack of your own makes one.
    pub async fn over<C>(self, channel: C, peer: Identity, wire: WireVersion) -> Exchange
    where
        C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
    {
        let parts = self.parts();
        let attach = parts.attach.clone();
        let exchange = parts.over(Role::Channel);
        attach.over(channel, peer, wire).await;
        exchange
    }
}

impl Parts {
    fn over(self, role: Role) -> Exchange {
        tokio::spawn(self.task.run());
        let follower = role.events().map(|events| {
            let follow = self.attach.clone().follow(role.clone(), events, self.renew);
            tokio::spawn(follow).abort_handle()
        });
        Exchange::new(Inner {
            table: self.table,
            commands: self.commands,
            attach: self.attach,
            role,
            follower,
        })
    }
}
