//! Handles the accepted connections of a server, or of a peer that listens, and reports its events.
//!
//! In: accepted channels, reports. Out: a connection task for each channel; events. May touch: the peers.

use kyneta_uds_core::{Channel, ChannelMsg, SharedError};
use kyneta_uds_handshake::HandshakeError;
use kyneta_uds_hub::{Hub, RelayHandler};
use kyneta_uds_negotiate::{AcceptHandler, AcceptPanicked, Entrance, Role, RoleWait};
use kyneta_uds_queue::{Handle, QueueConfig};
use kyneta_uds_relay::MemberKey;
use kyneta_uds_unix::{ConnectionPermit, DirectoryRisk, RejectReason};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    connection::Connection, connection_task::ConnectionTask, event::Event, handler::MakeHandler,
    looking::MayLook, peer_channel::PeerChannel, peers::Peers, relay::facts, waiting::Waiting,
};

/// Makes a handler for each accepted connection, and starts its connection task.
#[derive(Clone)]
pub(crate) struct RoleAcceptHandler<M> {
    pub(crate) make: M,
    /// Absent where nothing is handed over.
    pub(crate) handoff: Option<crate::handoff::Handoff>,
    /// Absent where nothing is relayed.
    pub(crate) hub: Option<Hub<ChannelMsg>>,
    /// The key of a connection of another process, whose hub goes on here.
    pub(crate) member: Option<MemberKey>,
    pub(crate) queue: QueueConfig,
    pub(crate) peers: Peers,
    /// The connection tasks.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when connections are no longer served.
    pub(crate) disposing: CancellationToken,
}

impl<M, C> AcceptHandler<PeerChannel<C>, HandshakeError, ChannelMsg> for RoleAcceptHandler<M>
where
    M: MakeHandler,
    C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
{
    async fn accept(
        self,
        channel: PeerChannel<C>,
        permit: ConnectionPermit,
        entrance: Entrance<ChannelMsg>,
    ) {
        self.serve(channel, permit, |handle| entrance.enter(handle))
            .await;
    }

    fn accept_failed(&self, error: HandshakeError) {
        self.peers.events().handshake_failed(error);
    }

    fn panicked(&self, error: AcceptPanicked) {
        self.peers.events().not_established(error);
    }

    fn rejected(&self, reason: &RejectReason) {
        self.peers.events().rejected(*reason);
    }

    fn directory_risk(&self, risk: &DirectoryRisk) {
        self.peers.events().unsafe_directory(risk.clone());
    }

    fn unheard(&self) {
        self.peers.events().unheard();
    }

    fn role_changed(&self, role: Role) {
        if role != Role::Listener {
            self.peers.events().observers().end();
        }
        self.peers.events().send(Event::Role(role));
    }

    fn waiting(&self, waiting: &RoleWait) {
        let waiting = Waiting::for_role(waiting);
        self.peers.events().send(Event::Waiting(waiting));
    }

    fn in_the_way(&self, error: &SharedError) {
        let error = error.clone();
        let causes: &(dyn std::error::Error + 'static) = error.get_ref();
        tracing::warn!(error = causes, "there is an obstacle at the path");
        self.peers.events().send(Event::InTheWay { error });
    }
}

impl<M: MakeHandler> RoleAcceptHandler<M> {
    /// Has a channel driven. Its handle is entered before its connection can be seen.
    pub(crate) async fn serve<C>(
        self,
        channel: PeerChannel<C>,
        permit: ConnectionPermit,
        enter: impl FnOnce(Handle<ChannelMsg>),
    ) where
        C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
    {
        let events = self.peers.events();
        let channel = channel.into_inner();
        if let Some(what) = channel.peer().establish().observe {
            let members = self.peers.introductions();
            let hub = self.hub.as_ref();
            events
                .observers()
                .serve(channel, what, members, hub, permit);
            if self.disposing.is_cancelled() {
                // Too late to end with the others.
                events.observers().end();
            }
            return;
        }
        let task = ConnectionTask::new(channel, &self.queue, events);
        let task = task.saved_by(self.handoff.as_ref().and_then(|handoff| handoff.save()));
        let connection = task.connection.clone();
        // Before user code sees the connection, and once more when it is entered.
        if let Err(error) = self.peers.check_owner(connection.peer()) {
            events.not_established(error);
            return;
        }
        let handler = match self.make.oneshot(Connection::clone(&connection)).await {
            Ok(handler) => handler,
            Err(error) => {
                events.not_established(error);
                return;
            }
        };
        let entry = match self.peers.enter_accepted(connection.clone(), enter) {
            Ok(entry) => entry,
            Err(error) => {
                events.not_established(error);
                return;
            }
        };
        if self.disposing.is_cancelled() {
            // Too late to be sent `depart` with the others.
            connection.handle().close();
        }
        let handler = MayLook(handler);
        let handler = match &self.hub {
            Some(hub) => {
                let facts = facts(connection.peer());
                let handle = connection.handle().clone();
                let member = match self.member {
                    Some(key) => hub.enter_as(key, facts, handle),
                    None => hub.enter(facts, handle),
                };
                connection.set_member(member.key());
                RelayHandler::new(handler, member)
            }
            None => RelayHandler::off(handler),
        };
        // In a task of its own: this one is as large as the handshake was.
        task.spawn(handler, entry, (permit, self.tasks.token()));
    }
}
