//! The settings of an exchange, and what it is put on.
//!
//! In: settings, one by one. Out: an exchange over a role or a channel. Touches: what the role touches.

use std::sync::Arc;

use kyneta_uds_core::{Channel, ChannelMsg, Identity, SocketPath, SocketPathError, WireVersion};
#[cfg(target_os = "linux")]
use kyneta_uds_core::{Resume, Save};
use kyneta_uds_exchange::{DocKind, DocLimits, EphemeralKind, JsonKind};
use kyneta_uds_schema::{Schema, Substrate};
use kyneta_uds_store::{Store, StoreLimits};
use kyneta_uds_sync::{self as sync, Policy, Resolve, SyncLimits, SyncMachine};
use kyneta_uds_unix::BindError;
#[cfg(target_os = "linux")]
use tokio::net::UnixStream;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    attach::{Attach, Role},
    cell::{DocCell, WIRES},
    engine::Engine,
    exchange::{Exchange, Inner},
    journal::{self, Journal},
    line::LineRules,
    table::Table,
    task::{Command, LinkEvent, Task},
    versions::{WireVersions, known_schema},
};
use crate::{
    builder::Builder,
    client::{Client, ClientBuilder, ClientError},
    peer::{JoinError, Peer, PeerBuilder},
    server::{Server, ServerBuilder},
    stack::MakeChannel,
};
#[cfg(target_os = "linux")]
use crate::{
    handoff::{ListenError, TakingOver},
    peer::PeerOptions,
    server::ServerOptions,
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
    max_bytes_in_all: usize,
    max_waiting: usize,
    store: Option<Box<dyn Store>>,
    store_limits: StoreLimits,
}

/// An exchange without a store neither hands over nor takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the exchange has no store, and its documents would be lost with its process: give it one")]
struct NothingStored;

/// What an exchange is made of, before it has a role.
struct Parts {
    table: Arc<Table>,
    commands: mpsc::UnboundedSender<Command>,
    attach: Attach,
    renew: mpsc::UnboundedReceiver<sync::ChannelKey>,
    task: Task,
    lines: Arc<LineRules>,
}

struct Channels {
    attach: Attach,
    inbox: mpsc::Receiver<LinkEvent>,
    renew: mpsc::UnboundedReceiver<sync::ChannelKey>,
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
            max_bytes_in_all: 1 << 30,
            max_waiting: 64 << 20,
            store: None,
            store_limits: StoreLimits::default(),
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

    /// The bytes of all documents together, as their kinds count them, beyond which nothing is added. 1 GiB by default.
    /// Before that, histories are given up, so that peers that lack something are sent whole documents.
    /// An edit then fails with [`DocumentError::Full`](super::DocumentError::Full), an offer is an
    /// [`ExchangeEvent::Diagnostic`](super::ExchangeEvent::Diagnostic), until documents are destroyed. The last change
    /// may go beyond it, and what a store has is opened all the same. What comes in the open lines may go beyond it by
    /// an eighth: it says what the peers have processed, which makes room.
    pub const fn max_bytes_in_all(mut self, bytes: usize) -> Self {
        self.max_bytes_in_all = bytes;
        self
    }

    /// How many bytes may wait for a peer that reads too slowly. 64 MiB by default; more is an
    /// [`ExchangeEvent::TooSlow`](super::ExchangeEvent::TooSlow).
    pub const fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.max_waiting = bytes;
        self
    }

    /// Keeps documents in a store, and goes on with those that are in it. Without one, none survive the process.
    ///
    /// All of the store is read before the exchange joins. A document that was kept for others, or whose schema is
    /// [known](Self::schema), is here at once; any other when it is opened, or when a peer presents it.
    /// Ephemeral documents are not stored.
    ///
    /// What was changed is stored a moment later, on a thread of its own. [`Document::stored`](super::Document::stored)
    /// waits for that, and [`Exchange::dispose`] for all of it. An edit of a plain JSON document is sent to peers when it
    /// is stored.
    ///
    /// If the store cannot be read, no document can be opened, and
    /// [`ExchangeEvent::Unreadable`](super::ExchangeEvent::Unreadable) is counted.
    ///
    /// ```
    /// use kyneta_uds::{DocId, Identity, documents::{Edit, Exchange, MemoryStore, Schema, Substrate}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let schema = Schema::structure([("hits", Schema::counter())])?;
    /// let store = MemoryStore::new(); // with the feature `store`: Redb::open("/var/lib/app/exchange")?
    /// for expected in ["{\"hits\":1}", "{\"hits\":2}"] {
    ///     let builder = Exchange::builder(Identity::service("billing-1")?).store(store.clone());
    ///     let exchange = builder.join(&path).await?;
    ///     let doc = exchange.open(DocId::new("visits")?, Substrate::Plain, &schema)?;
    ///     doc.edit(&[Edit::increment("hits", 1.0)])?;
    ///     doc.stored().await?; // a crash takes nothing away
    ///     assert_eq!(doc.value().to_string(), expected);
    ///     exchange.dispose().await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// How much the store may hold. [`StoreLimits::default`] by default. What is over it is an
    /// [`ExchangeEvent::NotStored`](super::ExchangeEvent::NotStored).
    pub const fn store_limits(mut self, limits: StoreLimits) -> Self {
        self.store_limits = limits;
        self
    }

    pub(super) fn machine(&self, wire: WireVersion) -> SyncMachine<WireVersions> {
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
            if let Some(known) = known_schema(*substrate, schema, wire) {
                // There is no document yet that waits for it.
                machine.register_schema(known, &mut Vec::new());
            }
        }
        machine
    }

    /// The channels of an exchange, which wait for it.
    fn channels(&self) -> Channels {
        let (sender, inbox) = mpsc::channel::<LinkEvent>(INBOX);
        let (renews, renew) = mpsc::unbounded_channel();
        Channels {
            attach: Attach::new(sender, renews, self.identity.clone()),
            inbox,
            renew,
        }
    }

    async fn parts(self) -> Parts {
        let channels = self.channels();
        self.parts_with(channels).await
    }

    async fn parts_with(mut self, channels: Channels) -> Parts {
        let lines = Arc::<LineRules>::default();
        self.policies.push(lines.policy());
        let machines = WIRES.map(|wire| self.machine(wire));
        let table = Table::new(
            self.kinds,
            self.schemas,
            self.doc_limits,
            self.max_bytes_in_all,
        );
        let (table, opened) = match self.store {
            Some(store) => stored(table, store, self.store_limits).await,
            None => (table, Vec::new()),
        };
        let table = Arc::new(table);
        let (commands, commanded) = mpsc::unbounded_channel();
        for cell in opened {
            // The other end is here.
            let _ = commands.send(Command::Opened(cell));
        }
        let Channels {
            attach,
            inbox,
            renew,
        } = channels;
        let engine = Engine::new(machines, table.clone());
        Parts {
            task: Task::new(engine, table.clone(), commanded, inbox, self.max_waiting),
            attach,
            table,
            commands,
            renew,
            lines,
        }
    }

    /// Joins a path: the first process there listens, and takes part in its own hub.
    ///
    /// A dropped attempt leaves nothing at the path.
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
        let builder = self.role(builder);
        let parts = self.parts().await;
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
        let builder = self.role(builder);
        let parts = self.parts().await;
        let peer = builder.join_lazy(parts.attach.handler()).await?;
        Ok(parts.over(Role::Peer(peer)))
    }

    /// Connects to a listener.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
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
        let parts = self.parts().await;
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
        let parts = self.parts().await;
        let client = builder.connect_lazy(parts.attach.handler()).await?;
        Ok(parts.over(Role::Client(client)))
    }

    /// Listens at a path, and takes part in the hub there.
    ///
    /// A dropped attempt leaves nothing at the path.
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
        let builder = self.role(builder);
        let parts = self.parts().await;
        let server = builder.listen(parts.attach.handler()).await?;
        Ok(parts.over(Role::Server(server)))
    }

    /// The settings of a role that is the exchange's. What it would hand over without a store, the documents are not part
    /// of.
    fn role<R, S>(&self, builder: Builder<R, S>) -> Builder<R, S> {
        let mut builder = builder.identity(self.identity.clone());
        if self.store.is_none() && builder.settings.handoff.take().is_some() {
            let events = &builder.settings.events;
            crate::handoff::not_handed_over(events, NothingStored);
        }
        builder
    }

    /// Takes over from the exchange that listens at the path and [offers](crate::Builder::offer_handoff) it, with its
    /// connections; or joins as [`join_lazy_with`](Self::join_lazy_with) does. The other exchange ends, and its documents
    /// go on here by the store: it is read when the other process has closed it, after the connections were taken over
    /// (`Redb::awaited` waits for that). No peer is disconnected; until the store is read, this exchange is silent.
    ///
    /// The exchange that was replaced stores what it has when it is [disposed of](Exchange::dispose), which is to be done
    /// when its role has ended ([`Peer::closed`]). Without a store nothing is taken over: the exchange joins as always, and
    /// [`Event::NotTakenOver`](crate::Event::NotTakenOver) says so.
    ///
    /// A dropped attempt may have taken over already, and then ends the connections.
    ///
    /// ```
    /// use kyneta_uds::{DocId, Identity, Peer, Role, documents::{Edit, Exchange, MemoryStore, Schema, Substrate}};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let store = MemoryStore::new(); // of a process: Redb::awaited("/var/lib/app/exchange", Duration::from_secs(10))
    /// let start = async || {
    ///     let me = Identity::service("billing-1")?;
    ///     let builder = Exchange::builder(me).store(store.clone());
    ///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(builder.take_over_with(Peer::builder(&path).take_over()).await?)
    /// };
    /// let (id, schema) = (DocId::new("visits")?, Schema::structure([("hits", Schema::counter())])?);
    /// let former = start().await?;
    /// former.open(id.clone(), Substrate::Plain, &schema)?.edit(&[Edit::increment("hits", 1.0)])?;
    /// let peer = former.peer().ok_or("a peer")?;
    /// peer.joined().await?;
    /// let (next, former) = tokio::join!(start(), async {
    ///     peer.closed().await; // it was taken over: the store is closed
    ///     former.dispose().await;
    /// });
    /// let next = next?;
    /// assert_eq!(next.peer().map(Peer::role), Some(Role::Listener));
    /// # let () = former;
    /// # next.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`JoinError::Path`]: no socket can have this path.
    #[cfg(target_os = "linux")]
    pub async fn take_over_with<S>(
        self,
        peer: TakingOver<PeerOptions, S>,
    ) -> Result<Exchange, JoinError>
    where
        S: MakeChannel<In = ChannelMsg>
            + Resume<UnixStream, Resumed = <S as MakeChannel>::Channel>
            + Sync,
        <S as MakeChannel>::Channel: Save<Io = UnixStream>,
    {
        let peer = peer.map(|builder| builder.identity(self.identity.clone()));
        if self.store.is_none() {
            let builder = peer.without(NothingStored);
            return self.join_lazy_with(builder).await;
        }
        let channels = self.channels();
        let peer = peer.join_lazy(channels.attach.handler()).await?;
        Ok(self.parts_with(channels).await.over(Role::Peer(peer)))
    }

    /// As [`take_over_with`](Self::take_over_with), with a server: it takes over or binds.
    ///
    /// # Errors
    /// [`ListenError`], as of [`TakingOver`].
    #[cfg(target_os = "linux")]
    pub async fn take_over_server_with<S>(
        self,
        server: TakingOver<ServerOptions, S>,
    ) -> Result<Exchange, ListenError>
    where
        S: MakeChannel<In = ChannelMsg>
            + Resume<UnixStream, Resumed = <S as MakeChannel>::Channel>
            + Sync,
        <S as MakeChannel>::Channel: Save<Io = UnixStream>,
    {
        let server = server.map(|builder| builder.identity(self.identity.clone()));
        if self.store.is_none() {
            let builder = server.without(NothingStored);
            return Ok(self.server_with(builder).await?);
        }
        let channels = self.channels();
        let server = server.listen(channels.attach.handler()).await?;
        Ok(self.parts_with(channels).await.over(Role::Server(server)))
    }

    /// Takes part over a channel to a peer, as a stack of your own makes one. The channel ends with the exchange; when it
    /// ends before, the documents stay, and have no peer any more.
    pub async fn over<C>(self, channel: C, peer: Identity, wire: WireVersion) -> Exchange
    where
        C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
    {
        let parts = self.parts().await;
        let attach = parts.attach.clone();
        let exchange = parts.over(Role::Channel);
        attach.over(channel, peer, wire).await;
        exchange
    }
}

/// The table with what is in a store, and what of that is open. Read on a thread that may block.
async fn stored(
    table: Table,
    mut store: Box<dyn Store>,
    limits: StoreLimits,
) -> (Table, Vec<Arc<DocCell>>) {
    let reading = spawn_blocking(move || {
        let loaded = journal::load(&mut *store)?;
        Ok((store, loaded))
    });
    let read = match reading.await {
        Ok(read) => read,
        Err(panic) => Err(panic.to_string()),
    };
    let (store, loaded) = match read {
        Ok(read) => read,
        Err(why) => return (table.stored(Err(why), None), Vec::new()),
    };
    let journal = match Journal::start(store, &loaded, limits, table.reports.clone()) {
        Ok(journal) => journal,
        Err(error) => {
            let why = format!("the thread of the store cannot be started: {error}");
            return (table.stored(Err(why), None), Vec::new());
        }
    };
    let table = table.stored(Ok(loaded), Some(journal));
    let opened = table.open_stored();
    (table, opened)
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
            lines: self.lines,
        })
    }
}
