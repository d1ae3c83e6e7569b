//! The handoffs of a peer while it listens: its offer, successors that ask, and how it ends.
//!
//! In: a peer's role, its members. Out: whether another process goes on. May touch: them, and a task of tokio's.

use std::{sync::Arc, time::Duration};

use kyneta_uds_core::{Bytes, Channel, ChannelMsg, SocketPath};
use kyneta_uds_handoff::{Asking, Refusal};
use kyneta_uds_negotiate::{Held, Role, RoleWatch};
use kyneta_uds_queue::Handle;
use kyneta_uds_unix::Listener;
use tokio::{
    sync::{Mutex, watch},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    HandoffPolicy, Offering, TakenMembers, YIELD,
    hand_over::{Freeze, Handover, State},
    members::Members,
    not_handed_over,
    while_listening::WhileListening,
};
use crate::{accept_handler::RoleAcceptHandler, handler::MakeHandler};

/// How long the connection tasks may take to end: they have nothing more to do.
const END: Duration = Duration::from_secs(1);

/// The listener of another process, with its members, that a peer goes on with.
pub(crate) struct TakenRole<C> {
    pub(crate) listener: Listener,
    pub(crate) offering: Option<Offering>,
    pub(crate) members: TakenMembers<C>,
}

impl<C> TakenRole<C>
where
    C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
{
    /// What a peer begins as the listener with.
    pub(crate) async fn go_on(
        self,
        handler: RoleAcceptHandler<impl MakeHandler>,
    ) -> (Listener, Option<Offering>, Vec<Handle<ChannelMsg>>) {
        let members = self.members.go_on(handler).await;
        (self.listener, self.offering, members)
    }
}

/// What the offer of a peer is about.
pub(crate) struct PeerHandoffs {
    pub(crate) path: SocketPath,
    pub(crate) roles: RoleWatch,
    /// Of the queue above the negotiated channel.
    pub(crate) handle: Handle<ChannelMsg>,
    pub(crate) members: Members,
    /// The connection tasks.
    pub(crate) tasks: TaskTracker,
    /// Locked while it hands over, or is disposed of.
    pub(crate) at_work: Arc<Mutex<()>>,
    /// Told when it is offered, or cannot be.
    pub(crate) offered: watch::Sender<bool>,
}

impl WhileListening for PeerHandoffs {
    fn roles(&self) -> &RoleWatch {
        &self.roles
    }

    fn offer(&self, resumed: Option<Offering>, policy: HandoffPolicy) -> Option<Offering> {
        let events = self.members.peers.events();
        let offering = resumed.or_else(|| Offering::of(&self.path, policy, events));
        self.offered.send_replace(true);
        offering
    }

    async fn hand_over(&self, asking: Asking, offering: &Offering) -> bool {
        let Ok(_at_work) = self.at_work.try_lock() else {
            return false; // it is being disposed of
        };
        match self.run(asking, offering).await {
            Ok(()) => true,
            Err(why) => {
                not_handed_over(self.members.peers.events(), why);
                false
            }
        }
    }
}

impl PeerHandoffs {
    async fn run(&self, asking: Asking, offering: &Offering) -> Result<(), Refusal> {
        let (held, handover) = Handover::hold(&self.roles, offering).await?;
        let frozen = PeerMembers {
            members: &self.members,
            held: &held,
        };
        let pid = handover.run(asking, &frozen).await?;
        self.members.peers.events().handed_over(pid);
        self.leave(held).await;
        Ok(())
    }

    /// Ends: no file is removed, no lock given up, no connection shut down.
    async fn leave(&self, held: Held) {
        sleep(YIELD).await;
        self.members.abort();
        held.leave();
        self.handle.abort();
        self.roles.wait_for(|role| role == Role::Disposed).await;
        self.tasks.close();
        let _ = timeout(END, self.tasks.wait()).await;
        if let Some(hub) = &self.members.hub {
            hub.close();
        }
    }
}

/// The members of a peer that is held.
struct PeerMembers<'a> {
    members: &'a Members,
    held: &'a Held,
}

impl Freeze for PeerMembers<'_> {
    fn connection_count(&self) -> usize {
        self.members.count()
    }

    async fn put_aside(&self, within: Duration) {
        self.members.put_aside(within).await;
    }

    async fn ahead(&self, at_most: usize, within: Duration) -> Vec<Vec<Bytes>> {
        self.members.ahead(at_most, within).await
    }

    async fn freeze(&self, policy: HandoffPolicy) -> Result<State, Refusal> {
        self.members.freeze(policy, self.held.pause()).await
    }

    fn thaw(&self) {
        self.members.thaw();
        // When it is dropped, the peer sends again.
    }
}
