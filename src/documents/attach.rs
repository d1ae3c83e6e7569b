//! The channels of an exchange: the connection that its role has made, or its places in the hub of a role that listens.
//!
//! In: a role and its events. Out: link events. Touches: tasks of tokio's, one for each channel.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use kyneta_uds_core::{
    Channel, ChannelMsg, DisconnectReason, Identity, Message as _, PeerId, WireVersion,
};
use kyneta_uds_negotiate::Role as PeerRole;
use kyneta_uds_queue::{Handle, MessageBatch, QueueConfig, SendError, WeakHandle, queue};
use kyneta_uds_relay::MemberFacts;
use kyneta_uds_sync::ChannelKey;
use tokio::{
    sync::{Mutex, SetOnce, mpsc, oneshot},
    time::{Duration, Instant, sleep},
};
use tokio_util::task::TaskTracker;
use tower::service_fn;

use super::task::{LinkEvent, Outbox, until};
use crate::{
    client::Client,
    connection::{Connection, Incoming},
    event::Event,
    event_sender::Events,
    handler::Handler,
    peer::Peer,
    server::Server,
};

/// How long a channel that was too slow, or has ended, rests before it is met anew.
const REST: Duration = Duration::from_millis(100);

/// How many messages are queued together.
const TOGETHER: usize = 64;

/// How long a hub in this process may take to route the last messages of a local member, before the role ends.
const ROUTING: Duration = Duration::from_millis(20);

/// What an exchange is attached to.
#[derive(Debug, Clone)]
pub(super) enum Role {
    Peer(Peer),
    Client(Client),
    Server(Server),
    /// A channel of the user's.
    Channel,
}

impl Role {
    pub(super) fn events(&self) -> Option<Events> {
        match self {
            Self::Peer(peer) => Some(peer.events()),
            Self::Client(client) => Some(client.events()),
            Self::Server(server) => Some(server.events()),
            Self::Channel => None,
        }
    }

    /// The connection that it has made.
    fn dialed(&self) -> Option<Connection> {
        match self {
            Self::Peer(peer) if peer.role() == PeerRole::Connector => {
                let mut connections = peer.connections();
                connections.retain(Connection::is_dialed);
                connections.pop()
            }
            Self::Client(client) => client.connection(),
            _ => None,
        }
    }

    /// For which wire versions it takes part as a local member.
    ///
    /// Only for those that a member has: the documents of release 1.x have other hashes, and would be reported as other
    /// documents by all members of 2.x.
    fn local(&self) -> Vec<WireVersion> {
        let connections = match self {
            Self::Peer(peer) if peer.role() == PeerRole::Listener => peer.connections(),
            Self::Server(server) => server.connections(),
            _ => return Vec::new(),
        };
        let has_old = |connection: &Connection| connection.peer().wire() == WireVersion::V2;
        let old = connections.iter().any(has_old).then_some(WireVersion::V2);
        [WireVersion::V3].into_iter().chain(old).collect()
    }

    fn local_member(
        &self,
        facts: MemberFacts,
        handler: impl crate::local_member::LocalHandler,
    ) -> Option<Handle<ChannelMsg>> {
        match self {
            Self::Peer(peer) => peer.local_member_as(facts, handler),
            Self::Server(server) => server.local_member_as(facts, handler),
            _ => None,
        }
    }
}

/// Brings channels and their messages to the exchange.
#[derive(Debug, Clone)]
pub(super) struct Attach {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inbox: mpsc::Sender<LinkEvent>,
    renew: mpsc::UnboundedSender<ChannelKey>,
    identity: Identity,
    next_key: AtomicU64,
    /// Held while a channel is announced, so that its messages come after that.
    current: Mutex<Vec<Attached>>,
    writers: TaskTracker,
}

#[derive(Debug)]
struct Attached {
    key: ChannelKey,
    to: To,
    /// The task that waits for its end ends when this is dropped.
    _watched: oneshot::Sender<Infallible>,
}

#[derive(Debug)]
enum To {
    Dialed(Connection),
    /// A place in a hub, which may have ended.
    Local(WireVersion, WeakHandle<ChannelMsg>),
}

impl Attach {
    pub(super) fn new(
        inbox: mpsc::Sender<LinkEvent>,
        renew: mpsc::UnboundedSender<ChannelKey>,
        identity: Identity,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                inbox,
                renew,
                identity,
                next_key: AtomicU64::new(1),
                current: Mutex::default(),
                writers: TaskTracker::new(),
            }),
        }
    }

    /// The handler of the role. What accepted connections send comes by the hub.
    pub(super) fn handler(&self) -> impl Handler + Clone + use<> {
        let attach = self.clone();
        service_fn(move |incoming: Incoming| {
            let attach = attach.clone();
            async move {
                let connection = incoming.from();
                if connection.is_dialed()
                    && let Some(key) = attach.dialed(connection).await
                {
                    attach.message(key, incoming.message).await;
                }
                Ok::<(), std::convert::Infallible>(())
            }
        })
    }

    pub(super) fn peer_id(&self) -> &PeerId {
        &self.shared.identity.peer_id
    }

    async fn message(&self, key: ChannelKey, msg: ChannelMsg) {
        // It fails when the exchange has ended.
        let _ = self.shared.inbox.send(LinkEvent::Message(key, msg)).await;
    }

    fn next_key(&self) -> ChannelKey {
        ChannelKey(self.shared.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// The channel of a connection, announced if it is new; `None` when it has ended.
    async fn dialed(&self, connection: Connection) -> Option<ChannelKey> {
        let mut current = self.shared.current.lock().await;
        let same = |attached: &&Attached| match &attached.to {
            To::Dialed(other) => other.is_same(&connection),
            To::Local(..) => false,
        };
        if let Some(known) = current.iter().find(same) {
            return Some(known.key);
        }
        if !connection.is_connected() {
            return None;
        }
        self.detach(&mut current, |at| matches!(at.to, To::Dialed(_)))
            .await;
        let key = self.next_key();
        let (identity, wire) = {
            let peer = connection.peer();
            (peer.identity().clone(), peer.wire())
        };
        let sender = Sender::Connection(connection.clone());
        self.up(key, identity, wire, sender).await;
        let ended = connection.clone();
        current.push(Attached {
            key,
            to: To::Dialed(connection),
            _watched: self.watch(key, async move { ended.closed().await }),
        });
        Some(key)
    }

    /// Detaches a channel when it ends, and then looks for what the role has, until what this gives is dropped.
    fn watch(
        &self,
        key: ChannelKey,
        ended: impl Future<Output = DisconnectReason> + Send + 'static,
    ) -> oneshot::Sender<Infallible> {
        let (watched, is_watched) = oneshot::channel();
        let attach = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = ended => {}
                _ = is_watched => return,
            }
            let mut current = attach.shared.current.lock().await;
            attach.detach(&mut current, |at| at.key == key).await;
            drop(current);
            // It fails when the role is not followed any more.
            let _ = attach.shared.renew.send(key);
        });
        watched
    }

    async fn local(&self, role: &Role, wire: WireVersion) {
        let key = self.next_key();
        let mut current = self.shared.current.lock().await;
        if current
            .iter()
            .any(|at| matches!(at.to, To::Local(known, _) if known == wire))
        {
            return;
        }
        let (attach, announced) = (self.clone(), Arc::new(SetOnce::new()));
        let is_announced = announced.clone();
        let handler = service_fn(move |msg: ChannelMsg| {
            let (attach, is_announced) = (attach.clone(), is_announced.clone());
            async move {
                // The hub shows it all documents at once, on another thread.
                is_announced.wait().await;
                attach.message(key, msg).await;
                Ok::<(), std::convert::Infallible>(())
            }
        });
        let identity = self.shared.identity.clone();
        let facts = MemberFacts::local(wire).identity(identity.clone());
        let Some(handle) = role.local_member(facts, handler) else {
            return;
        };
        let (weak, ended) = (handle.downgrade(), handle.closed());
        // The hub is met under the id of the process that runs it.
        self.up(key, identity, wire, Sender::Local(handle)).await;
        let _ = announced.set(());
        current.push(Attached {
            key,
            to: To::Local(wire, weak),
            _watched: self.watch(key, ended),
        });
    }

    /// A channel of the user's.
    pub(super) async fn over<C>(&self, channel: C, peer: Identity, wire: WireVersion)
    where
        C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
    {
        let key = self.next_key();
        let attach = self.clone();
        let handler = service_fn(move |msg: ChannelMsg| {
            let attach = attach.clone();
            async move {
                attach.message(key, msg).await;
                Ok::<(), std::convert::Infallible>(())
            }
        });
        let (handle, driver) = queue(QueueConfig::default());
        let ended = handle.closed();
        self.up(key, peer, wire, Sender::Handle(handle)).await;
        tokio::spawn(driver.drive(channel, handler));
        let attach = self.clone();
        tokio::spawn(async move {
            ended.await;
            let _ = attach.shared.inbox.send(LinkEvent::Down(key)).await;
        });
    }

    async fn up(&self, key: ChannelKey, identity: Identity, wire: WireVersion, sender: Sender) {
        let (to, messages) = mpsc::unbounded_channel();
        let bytes = Arc::<AtomicUsize>::default();
        let writer = write(sender, messages, bytes.clone());
        let abort = self.shared.writers.spawn(writer).abort_handle();
        let outbox = Outbox {
            sender: to,
            bytes,
            abort,
            renew: self.shared.renew.clone(),
        };
        let up = LinkEvent::Up {
            key,
            identity,
            wire,
            outbox,
        };
        // It fails when the exchange has ended.
        let _ = self.shared.inbox.send(up).await;
    }

    async fn detach(&self, current: &mut Vec<Attached>, which: impl Fn(&Attached) -> bool) {
        let gone: Vec<_> = current.extract_if(.., |at| which(at)).collect();
        for Attached { key, .. } in gone {
            // It fails when the exchange has ended.
            let _ = self.shared.inbox.send(LinkEvent::Down(key)).await;
        }
    }

    /// Follows the role, until it or the exchange ends.
    pub(super) async fn follow(
        self,
        role: Role,
        mut events: Events,
        mut renew: mpsc::UnboundedReceiver<ChannelKey>,
    ) {
        self.look(&role).await;
        let mut resting = VecDeque::new();
        loop {
            let rested = resting.front().map(|(at, _)| *at);
            tokio::select! {
                event = events.recv() => match event {
                    None => return,
                    Some(
                        Event::Peer { .. } | Event::Role(_) | Event::State(_) | Event::MissedEvents(_),
                    ) => self.look(&role).await,
                    Some(_) => {}
                },
                () = self.shared.inbox.closed() => return,
                Some(key) = renew.recv() => resting.push_back((Instant::now() + REST, key)),
                () = until(rested) => {
                    let key = resting.pop_front().map(|(_, key)| key);
                    self.shared.current.lock().await.retain(|at| Some(at.key) != key);
                    self.look(&role).await;
                }
            }
        }
    }

    /// Attaches what the role has, and nothing else.
    async fn look(&self, role: &Role) {
        let local = role.local();
        let mut current = self.shared.current.lock().await;
        let is_over = |at: &Attached| match &at.to {
            To::Local(wire, handle) => {
                let is_open = |handle: Handle<ChannelMsg>| !handle.is_closed();
                !local.contains(wire) || !handle.upgrade().is_some_and(is_open)
            }
            // What it has read is still handled, until it has ended.
            To::Dialed(_) => false,
        };
        self.detach(&mut current, is_over).await;
        drop(current);
        for wire in local {
            self.local(role, wire).await;
        }
        if let Some(connection) = role.dialed() {
            self.dialed(connection).await;
        }
    }

    /// Waits until everything is sent that waits for channels that are closed.
    pub(super) async fn drained(&self) {
        self.shared.writers.close();
        self.shared.writers.wait().await;
    }
}

/// Where the messages of a channel go.
enum Sender {
    Connection(Connection),
    Handle(Handle<ChannelMsg>),
    Local(Handle<ChannelMsg>),
}

impl Sender {
    async fn send(&mut self, batch: &mut MessageBatch<ChannelMsg>) -> Result<(), SendError> {
        match self {
            Self::Connection(connection) => connection.queue_all(batch).await,
            Self::Handle(handle) | Self::Local(handle) => handle.queue_all(batch).await,
        }
    }

    /// Waits until all of it is sent, or lost.
    async fn finish(self) {
        match self {
            Self::Connection(connection) => {
                let _ = connection.flushed().await;
            }
            Self::Handle(handle) => {
                let _ = handle.flushed().await;
            }
            Self::Local(handle) => {
                let _ = handle.flushed().await;
                // What is flushed is with the hub, which routes it in a task of its own.
                sleep(ROUTING).await;
            }
        }
    }
}

/// Sends what waits, until the channel is closed at either end.
async fn write(
    mut sender: Sender,
    mut messages: mpsc::UnboundedReceiver<ChannelMsg>,
    bytes: Arc<AtomicUsize>,
) {
    let mut batch = MessageBatch::new();
    while let Some(msg) = messages.recv().await {
        let mut size = msg.size();
        batch.push(msg);
        while batch.len() < TOGETHER
            && let Ok(msg) = messages.try_recv()
        {
            size += msg.size();
            batch.push(msg);
        }
        if sender.send(&mut batch).await.is_err() {
            return;
        }
        bytes.fetch_sub(size, Ordering::Relaxed);
    }
    sender.finish().await;
}

#[cfg(test)]
mod tests {
    use kyneta_uds_core::{DocEntry, DocId, ReplicaType, SchemaHash};
    use tower::{Service as _, ServiceExt as _};

    use super::*;

    /// On several threads, so often that where nothing keeps the order it is another one.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_member_of_the_hub_is_announced_before_what_it_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let ignore = service_fn(async |_: Incoming| Ok::<_, Infallible>(()));
        let server = Server::builder(dir.path().join("bus.sock")).listen(ignore);
        let server = server.await.unwrap();
        let other = service_fn(async |_: ChannelMsg| Ok::<_, Infallible>(()));
        let mut other = server.local_member(other).unwrap();
        let plain = ReplicaType::new("plain", 1.0, 0.0).unwrap();
        let hash = SchemaHash::new("00").unwrap();
        let entry = DocEntry::new(DocId::new("doc").unwrap(), plain, hash);
        let present = ChannelMsg::Present(vec![entry]);
        other.ready().await.unwrap().call(present).await.unwrap();

        let role = Role::Server(server.clone());
        for turn in 0..2000 {
            let ((sender, mut inbox), (renew, _)) = (mpsc::channel(4), mpsc::unbounded_channel());
            let me = Identity::service("me").unwrap();
            let attach = Attach::new(sender, renew, me);
            attach.look(&role).await;
            let first = inbox.recv().await;
            assert!(
                matches!(first, Some(LinkEvent::Up { .. })),
                "{turn}: {first:?}"
            );
            let next = inbox.recv().await;
            assert!(
                matches!(next, Some(LinkEvent::Message(..))),
                "{turn}: {next:?}"
            );
        }
        server.dispose().await;
    }

    struct World {
        dir: tempfile::TempDir,
        attach: Attach,
        inbox: mpsc::Receiver<LinkEvent>,
        renew: mpsc::UnboundedReceiver<ChannelKey>,
    }

    impl World {
        fn new() -> Self {
            let ((sender, inbox), (renews, renew)) = (mpsc::channel(64), mpsc::unbounded_channel());
            Self {
                dir: tempfile::tempdir().unwrap(),
                attach: Attach::new(sender, renews, Identity::service("me").unwrap()),
                inbox,
                renew,
            }
        }

        async fn server(&self, name: &str) -> Server {
            let ignore = service_fn(async |_: Incoming| Ok::<_, Infallible>(()));
            let server = Server::builder(self.dir.path().join(name));
            server.listen(ignore).await.unwrap()
        }
    }

    async fn up(inbox: &mut mpsc::Receiver<LinkEvent>) -> (ChannelKey, Outbox) {
        match inbox.recv().await {
            Some(LinkEvent::Up { key, outbox, .. }) => (key, outbox),
            other => panic!("{other:?}"),
        }
    }

    async fn down(inbox: &mut mpsc::Receiver<LinkEvent>) -> ChannelKey {
        match inbox.recv().await {
            Some(LinkEvent::Down(key)) => key,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_place_in_a_hub_that_has_ended_is_none_in_the_hub_that_comes_next() {
        let mut world = World::new();
        let (first, second) = (world.server("first").await, world.server("second").await);
        world.attach.look(&Role::Server(first.clone())).await;
        let (before, outbox) = up(&mut world.inbox).await;
        // What a role has does not show that it had none in between.
        first.dispose().await;
        world.attach.look(&Role::Server(second)).await;
        assert_eq!(down(&mut world.inbox).await, before);
        let (after, _) = up(&mut world.inbox).await;
        assert_ne!(before, after);
        drop(outbox);
    }

    #[tokio::test]
    async fn a_place_that_a_hub_has_ended_is_taken_again() {
        let mut world = World::new();
        let server = world.server("bus.sock").await;
        let (events, role) = (server.events(), Role::Server(server));
        let follower = tokio::spawn(world.attach.clone().follow(role, events, world.renew));
        let (before, outbox) = up(&mut world.inbox).await;
        let current = world.attach.shared.current.lock().await;
        let [
            Attached {
                to: To::Local(_, handle),
                ..
            },
        ] = &current[..]
        else {
            panic!("{current:?}");
        };
        // As when its router panics.
        handle.upgrade().unwrap().abort();
        drop(current);
        assert_eq!(down(&mut world.inbox).await, before);
        let (after, _) = up(&mut world.inbox).await;
        assert_ne!(before, after);
        drop((outbox, world.inbox));
        // It ends with the exchange.
        follower.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_is_met_anew_often_has_one_task_that_waits_for_its_end() {
        let mut world = World::new();
        let server = world.server("bus.sock").await;
        let ignore = service_fn(async |_: Incoming| Ok::<_, Infallible>(()));
        let client = Client::builder(world.dir.path().join("bus.sock"));
        let client = client.connect(ignore).await.unwrap();
        let connection = client.connection().unwrap();
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        let mut after_one = None;
        for _ in 0..50 {
            let key = world.attach.dialed(connection.clone()).await.unwrap();
            let (up, outbox) = up(&mut world.inbox).await;
            assert_eq!(up, key);
            drop(outbox);
            sleep(Duration::from_millis(1)).await;
            after_one.get_or_insert_with(tasks);
            world.attach.shared.current.lock().await.clear();
        }
        sleep(Duration::from_millis(20)).await;
        assert!(Some(tasks()) <= after_one, "{} > {after_one:?}", tasks());
        client.dispose().await;
        server.dispose().await;
    }
}
