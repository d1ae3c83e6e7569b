//! The connections of a role that listens, and the hub between them: frozen, thawed, and gone on with.
//!
//! In: the peers of a role; what another process has handed over of its own. Out: their state; connections. May touch:
//! the connections and the hub. No byte of a connection before it is this process's.

use std::time::Duration;

use kyneta_uds_core::{AHEAD, Bytes, Channel, ChannelMsg, Resume, Saved, SavedBytes, SavedError};
use kyneta_uds_handoff::Refusal;
use kyneta_uds_handshake::{Established, Handshake};
use kyneta_uds_hub::Hub;
use kyneta_uds_queue::Handle;
use kyneta_uds_relay::MemberKey;
use kyneta_uds_unix::{ConnectionPermit, Listener};
use tokio::{
    net::UnixStream,
    runtime,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Halts, HandoffPolicy, MEMBER, RELAY, VERSION,
    hand_over::{Freeze, State},
    in_parallel::in_parallel,
    take_over::{Pause, Received},
};
use crate::{
    accept_handler::RoleAcceptHandler,
    connection::Connection,
    event::Event,
    handler::MakeHandler,
    peer_channel::PeerChannel,
    peers::Peers,
    relay::{LAST_KEY, ROUTER, Relay, ResumedRouter, facts},
    stack::MakeChannel,
};

/// A connection that has less to write, in bytes, gives it with its state: that takes less than a millisecond.
const AHEAD_FROM: usize = 256 << 10;

/// What all of them may give ahead, in bytes: 1 GiB, as much as a state may be large.
const MOST_AHEAD: usize = 1 << 30;

/// How many connections are put aside at once while they are served, some 250 us of work.
const ASIDE_AT_ONCE: usize = 64;

/// After how long a router that was at work is asked again.
const AGAIN: Duration = Duration::from_millis(1);

/// The accepted connections of a role, and its hub.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    pub(crate) peers: Peers,
    pub(crate) hub: Option<Hub<ChannelMsg>>,
}

impl Members {
    fn connections(&self) -> Vec<Connection> {
        let mut connections = self.peers.connections();
        // One that this side has made shares its queue with the role.
        connections.retain(|connection| !connection.is_dialed());
        connections
    }

    /// Another process goes on with them. Connections that only look on are not handed over: they end.
    pub(crate) fn abort(&self) {
        self.peers.events().observers().end();
        for connection in self.connections() {
            connection.handle().abort();
        }
    }

    /// Those that are idle, a few at a time: others go on in between. To encode their states would take half of a pause.
    pub(crate) async fn put_aside(&self, within: Duration) {
        let deadline = Instant::now() + within;
        for some in self.connections().chunks(ASIDE_AT_ONCE) {
            let are_aside = Halts::of(some, |connection, answer| {
                connection
                    .handle()
                    .put_aside(|is_aside| answer.is(is_aside));
            });
            // Those that are not aside are halted as the busy ones.
            if timeout_at(deadline, are_aside.all()).await.is_err() {
                return;
            }
        }
    }

    /// What waits for slow readers is encoded, and given to the successor while it is written: to copy it would take most of
    /// a pause.
    pub(crate) async fn ahead(&self, at_most: usize, within: Duration) -> Vec<Vec<Bytes>> {
        let deadline = Instant::now() + within;
        let mut left = MOST_AHEAD;
        let mut slow = self.connections();
        slow.retain(|connection| {
            let (_, waits) = connection.handle().queued();
            let goes = (AHEAD_FROM..=left).contains(&waits);
            left -= if goes { waits } else { 0 };
            goes
        });
        slow.truncate(at_most);
        let are_ahead = Halts::of(&slow, |connection, answer| {
            connection
                .handle()
                .send_ahead(|is_ahead| answer.is(is_ahead));
        });
        let _ = timeout_at(deadline, are_ahead.all()).await;
        let mut ahead = Vec::with_capacity(slow.len());
        for connection in &slow {
            match connection.take_ahead(ahead.len() as u64) {
                Some(bytes) => ahead.push(bytes),
                // Too late, or it is ending.
                None => connection.thaw(),
            }
        }
        ahead
    }

    /// First all are quiet, so that what one's handler sends to another is in the other's state; then it waits for
    /// `paused`, after which the role sends nothing.
    pub(crate) async fn freeze(
        &self,
        policy: HandoffPolicy,
        paused: impl Future<Output = ()>,
    ) -> Result<State, Refusal> {
        let deadline = Instant::now() + policy.handlers;
        let connections = self.connections();
        let quiet = Halts::of(&connections, |connection, answer| {
            connection.handle().quiesce(|is_quiet| answer.is(is_quiet));
        });
        let handles = connections.iter().map(Connection::handle);
        // Those that have not answered are looked for below.
        let _ = quiet.all_quiet(handles, deadline).await;
        let mut still = Vec::with_capacity(connections.len());
        for (connection, quiet) in connections.iter().zip(quiet.answers()) {
            match quiet {
                Some(true) => still.push(connection),
                // It is ending.
                Some(false) => {}
                None => {
                    let (peer, limit) = (connection.peer_id(), policy.handlers);
                    let why = format!("the handler of {peer} is at work for longer than {limit:?}");
                    return Err(Refusal::Other(why));
                }
            }
        }
        paused.await;
        let mut state = State::default();
        if let Some(hub) = &self.hub {
            state.parts.push((RELAY, save_hub(hub, deadline).await?));
        }
        let frozen = Halts::of(&still, |connection, answer| {
            connection.handle().freeze(|is_frozen| answer.is(is_frozen));
        });
        let _ = timeout_at(deadline, frozen.all()).await;
        state.connections.reserve(still.len());
        for (connection, frozen) in still.into_iter().zip(frozen.answers()) {
            let aside = connection.take_aside().filter(|_| frozen == Some(true));
            if let Some(aside) = aside {
                state.connections.push(aside);
            } else if connection.is_connected() {
                let why = format!(
                    "the connection of {} does not give its state",
                    connection.peer_id()
                );
                return Err(Refusal::Other(why));
            }
        }
        Ok(state)
    }

    pub(crate) fn thaw(&self) {
        self.connections().iter().for_each(Connection::thaw);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.peers.connection_count()
    }
}

/// Of a role that sends nothing by itself.
impl Freeze for Members {
    fn connection_count(&self) -> usize {
        self.count()
    }

    async fn put_aside(&self, within: Duration) {
        Self::put_aside(self, within).await;
    }

    async fn ahead(&self, at_most: usize, within: Duration) -> Vec<Vec<Bytes>> {
        Self::ahead(self, at_most, within).await
    }

    async fn freeze(&self, policy: HandoffPolicy) -> Result<State, Refusal> {
        Self::freeze(self, policy, std::future::ready(())).await
    }

    fn thaw(&self) {
        Self::thaw(self);
    }
}

/// After all that quiet members have sent: it is routed then, and in their queues.
async fn save_hub(hub: &Hub<ChannelMsg>, deadline: Instant) -> Result<Saved, Refusal> {
    loop {
        if let Some(router) = hub.inspect_whole(|router| router.save()) {
            let why = "its router does not give its state (`Router::save`)";
            let router = router.ok_or_else(|| Refusal::Other(why.to_owned()))?;
            let saved = Saved::new(VERSION, 1).with(LAST_KEY, hub.last_key().0);
            return Ok(saved.with(ROUTER, router));
        }
        if Instant::now() >= deadline {
            let why = "its router is at work on the messages of its members";
            return Err(Refusal::Other(why.to_owned()));
        }
        sleep(AGAIN).await;
    }
}

/// A connection, and its key in the relay.
type Connected<C> = (Established<C>, ConnectionPermit, Option<MemberKey>);

/// The members of another process, decoded and registered.
pub(crate) struct TakenMembers<C> {
    connections: Vec<Connected<C>>,
    /// Its router knows the members.
    router: Option<ResumedRouter>,
    pub(crate) pid: u32,
    pub(crate) frozen: Pause,
}

impl<C> TakenMembers<C> {
    /// Of a process that died before it had said anything of its members.
    pub(crate) fn none() -> Self {
        Self {
            connections: Vec::new(),
            router: None,
            pid: 0,
            frozen: Pause::default(),
        }
    }

    /// Goes on with them. The handles of those that are there.
    pub(crate) async fn go_on<M>(self, handler: RoleAcceptHandler<M>) -> Vec<Handle<ChannelMsg>>
    where
        M: MakeHandler,
        C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
    {
        let events = handler.peers.events().clone();
        let pause = self.frozen.until_now();
        tracing::info!(pid = self.pid, ?pause, "took over");
        let took_over = Event::TookOver {
            pid: self.pid,
            connections: self.connections.len(),
            pause,
        };
        let hub = handler.hub.clone();
        let resumed = self.router.zip(hub.as_ref()).map(|(of, hub)| {
            hub.resume(of.router, of.effects, of.last_key);
            hub
        });
        let mut handles = Vec::with_capacity(self.connections.len());
        for (channel, permit, key) in self.connections {
            let channel = PeerChannel::not_entered(channel, events.clone());
            let handler = RoleAcceptHandler {
                member: key.filter(|_| resumed.is_some()),
                ..handler.clone()
            };
            // What fails is an event.
            let enter = |handle| handles.push(handle);
            handler.serve(channel, permit, enter).await;
        }
        // After the events of many connections, which a reader may miss.
        events.send(took_over);
        if let Some(hub) = resumed {
            hub.go_on();
        }
        handles
    }
}

/// Decodes and registers members.
pub(crate) struct PrepareMembers<S> {
    pub(crate) make: Handshake<S>,
    pub(crate) relay: Relay,
    pub(crate) runtime: runtime::Handle,
}

impl<S> PrepareMembers<S>
where
    S: MakeChannel<In = ChannelMsg>
        + Resume<UnixStream, Resumed = <S as MakeChannel>::Channel>
        + Sync,
    <S as MakeChannel>::Channel: Send,
{
    pub(crate) fn prepare(
        &self,
        listener: &Listener,
        received: Received,
    ) -> Result<TakenMembers<<S as MakeChannel>::Channel>, Refusal> {
        let unusable = |error: &dyn std::fmt::Display| Refusal::Other(error.to_string());
        let Received {
            process: state,
            connections,
            ahead,
        } = received;
        let resume = |(stream, saved): (UnixStream, SavedBytes)| {
            let _inside = self.runtime.enter();
            let saved = saved.decode().and_then(|saved| with_ahead(saved, &ahead));
            let saved = saved.map_err(|error| unusable(&error))?;
            saved
                .check("a connection", 1..=VERSION)
                .map_err(|error| unusable(&error))?;
            let permit = listener.readmit(&stream);
            let channel = self.make.resume(stream, &saved);
            let key = saved
                .number_if_any(MEMBER)
                .map_err(|error| unusable(&error))?;
            let channel = channel.map_err(|error| unusable(&error))?;
            Ok((channel, permit, key.map(MemberKey)))
        };
        let connections: Vec<Connected<_>> = in_parallel(connections, resume)?;
        let router = match state.get(RELAY) {
            Some(_) => {
                let members = connections.iter();
                let members =
                    members.filter_map(|(channel, _, key)| Some(((*key)?, facts(channel.peer()))));
                let saved = state.part(RELAY).map_err(|error| unusable(&error))?;
                let router = self.relay.resume(saved, members.collect());
                router.map_err(|error| unusable(&error))?
            }
            None => None,
        };
        Ok(TakenMembers {
            connections,
            router,
            ..TakenMembers::none()
        })
    }
}

/// The state of a connection with its bytes that came ahead, if it has some.
fn with_ahead(saved: Saved, ahead: &[Bytes]) -> Result<Saved, SavedError> {
    let Some(number) = saved.number_if_any(AHEAD)? else {
        return Ok(saved);
    };
    let bytes = usize::try_from(number).ok().and_then(|at| ahead.get(at));
    let bytes = bytes.ok_or(SavedError::invalid(AHEAD, "they have not come"))?;
    Ok(saved.with(AHEAD, bytes.clone()))
}
