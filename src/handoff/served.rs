//! The handoffs of a server while it is served: what was taken over, successors that ask, and how it leaves.
//!
//! In: the server, its acceptor. Out: whether another process goes on. May touch: both.

use std::{io, time::Duration};

use kyneta_uds_core::{Channel, ChannelMsg, DisconnectReason};
use kyneta_uds_handoff::{Asking, Refusal};
use kyneta_uds_negotiate::{AcceptHandler, Acceptor, MakeChannel};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::{
    Offering, TakenMembers, YIELD, hand_over::Handover, members::Members, not_handed_over,
};
use crate::{accept_handler::RoleAcceptHandler, handler::MakeHandler, server::Server};

/// How long the connection tasks may take to end: they have nothing more to do.
const END: Duration = Duration::from_secs(1);

/// What a server has taken over.
pub(crate) struct Taken<C> {
    pub(crate) members: TakenMembers<C>,
    /// Told when they are served.
    pub(crate) served: oneshot::Sender<()>,
}

pub(crate) struct Handoffs {
    server: Server,
    members: Members,
    offering: Option<Offering>,
}

impl Handoffs {
    /// Goes on with what was taken over.
    pub(crate) async fn start<M, C>(
        server: &Server,
        offering: Option<Offering>,
        taken: Option<Taken<C>>,
        handler: RoleAcceptHandler<M>,
    ) -> Self
    where
        M: MakeHandler,
        C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
    {
        let this = Self {
            server: server.clone(),
            members: Members {
                peers: server.peers().clone(),
                hub: server.hub().cloned(),
            },
            offering,
        };
        if let Some(taken) = taken {
            taken.members.go_on(handler).await;
            // An error: the caller does not wait.
            let _ = taken.served.send(());
        }
        this
    }

    /// The next successor that asks; pending where nothing is offered.
    ///
    /// Cancel safe.
    pub(crate) async fn asked(&self) -> Asking {
        match &self.offering {
            Some(offering) => offering.asked().await,
            None => std::future::pending().await,
        }
    }

    /// True when the successor goes on; else this process serves on.
    pub(crate) async fn hand_over<S, A>(
        &self,
        asking: Asking,
        acceptor: &mut Acceptor<S, A, ChannelMsg>,
    ) -> bool
    where
        S: MakeChannel,
        A: AcceptHandler<S::Channel, S::MakeError, ChannelMsg>,
    {
        let Some(offering) = &self.offering else {
            return false;
        };
        let held = acceptor.hold().map(|listener| listener.hand_over());
        let held = held.unwrap_or_else(|| Err(io::Error::other("the listener is closed")));
        let handed_over = match held.and_then(|listener| Handover::new(offering, listener)) {
            Ok(handover) => {
                settle(acceptor, offering).await;
                handover.run(asking, &self.members).await
            }
            Err(error) => Err(Refusal::Other(error.to_string())),
        };
        match handed_over {
            Ok(pid) => self.server.event_sender().handed_over(pid),
            Err(why) => {
                acceptor.release();
                not_handed_over(self.server.event_sender(), why);
                return false;
            }
        }
        true
    }

    /// Ends, after a handoff: no file is removed, no lock given up, no connection shut down.
    pub(crate) async fn leave<S, A>(self, acceptor: Acceptor<S, A, ChannelMsg>, tasks: &TaskTracker)
    where
        S: MakeChannel,
        A: AcceptHandler<S::Channel, S::MakeError, ChannelMsg>,
    {
        sleep(YIELD).await;
        if let Some(listener) = acceptor.into_listener() {
            listener.leave();
        }
        self.members.abort();
        tasks.close();
        let _ = timeout(END, tasks.wait()).await;
        self.server.ended(DisconnectReason::Intentional);
    }

    /// No more is offered.
    pub(crate) fn close(self) {
        if let Some(offering) = self.offering {
            offering.close();
        }
    }
}

/// Handshakes under way become connections, or end.
async fn settle<S, A>(acceptor: &mut Acceptor<S, A, ChannelMsg>, offering: &Offering)
where
    S: MakeChannel,
    A: AcceptHandler<S::Channel, S::MakeError, ChannelMsg>,
{
    let deadline = Instant::now() + offering.policy.handlers;
    while acceptor.handshakes() > 0 {
        if timeout_at(deadline, acceptor.next()).await.is_err() {
            return;
        }
    }
}
