//! The handoffs of a bus while it listens: its offer, successors that ask, and how it ends.
//!
//! In: the role of a member, its state. Out: whether another process goes on. May touch: them, a task of tokio's.

use std::{sync::Arc, time::Duration};

use kyneta_uds_core::SocketPath;
use kyneta_uds_handoff::{Asking, Refusal};
use kyneta_uds_negotiate::RoleWatch;
use kyneta_uds_queue::Handle;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout_at},
};

use super::{BUS, not_handed_over};
use crate::{
    bus::{shared::Shared, wire::Wire},
    handoff::{Freeze, FrozenState, Halts, HandoffPolicy, Handover, Offering, WhileListening},
};

/// After how long it is looked again whether requests are answered.
const AGAIN: Duration = Duration::from_millis(1);

/// What the offer of a bus is about.
pub(crate) struct BusHandoffs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) path: SocketPath,
    pub(crate) roles: RoleWatch,
    /// Of the queue above the negotiated channel.
    pub(crate) handle: Handle<Wire>,
}

impl WhileListening for BusHandoffs {
    fn roles(&self) -> &RoleWatch {
        &self.roles
    }

    fn offer(&self, resumed: Option<Offering>, policy: HandoffPolicy) -> Option<Offering> {
        if resumed.is_some() {
            return resumed;
        }
        // An abstract name has no lock that could be handed over.
        match Offering::bind(self.path.as_pathname()?, policy) {
            Ok(offering) => Some(offering),
            Err(error) => {
                not_handed_over(&self.shared, error);
                None
            }
        }
    }

    async fn hand_over(&self, asking: Asking, offering: &Offering) -> bool {
        match self.run(asking, offering).await {
            Ok(()) => true,
            Err(why) => {
                not_handed_over(&self.shared, why);
                false
            }
        }
    }
}

impl BusHandoffs {
    async fn run(&self, asking: Asking, offering: &Offering) -> Result<(), Refusal> {
        let (held, handover) = Handover::hold(&self.roles, offering).await?;
        let frozen = FrozenBus {
            shared: &self.shared,
            halted: Mutex::default(),
        };
        let pid = handover.run(asking, &frozen).await?;
        // No file is removed, no lock given up, no connection shut down.
        self.shared.leave(pid);
        frozen.halted.into_inner().iter().for_each(Handle::abort);
        held.leave();
        self.handle.abort();
        Ok(())
    }
}

/// A bus whose listener is held.
struct FrozenBus<'a> {
    shared: &'a Arc<Shared>,
    /// The connections that were told to halt: what has ended meanwhile is not known to the bus any more.
    halted: Mutex<Vec<Handle<Wire>>>,
}

impl Freeze for FrozenBus<'_> {
    fn connection_count(&self) -> usize {
        self.shared.handles().len()
    }

    /// First the handler of this member is at rest, and has answered what it was asked; messages pass meanwhile. Then all
    /// connections are quiet, so that what one has brought is in the outboxes of the others.
    async fn freeze(&self, policy: HandoffPolicy) -> Result<FrozenState, Refusal> {
        let limit = policy.handlers;
        let deadline = Instant::now() + limit;
        let late = |what: &str| Refusal::Other(format!("{what} for longer than {limit:?}"));
        self.shared.inbox.hold();
        if timeout_at(deadline, self.shared.inbox.held())
            .await
            .is_err()
        {
            return Err(late("the handler is at work"));
        }
        // Requests that take longer fail, with this reason, in the successor.
        while self.shared.is_asked() && Instant::now() < deadline {
            sleep(AGAIN).await;
        }
        let deadline = Instant::now() + limit;
        let handles = self.shared.handles();
        self.halted.lock().await.clone_from(&handles);
        let quiet = Halts::of(&handles, |handle, answer| {
            handle.quiesce(|is_quiet| answer.is(is_quiet));
        });
        if !quiet.all_quiet(handles.iter(), deadline).await {
            return Err(late("a connection is at work"));
        }
        let frozen = Halts::of(&handles, |handle, answer| {
            handle.freeze(|is_frozen| answer.is(is_frozen));
        });
        let _ = timeout_at(deadline, frozen.all()).await;
        for (handle, frozen) in handles.iter().zip(frozen.answers()) {
            if frozen != Some(true) && !handle.is_closed() {
                let why = "a connection does not give its state";
                return Err(Refusal::Other(why.to_owned()));
            }
        }
        let state = self.shared.freeze();
        let no_hub = || Refusal::Other("this member does not listen any more".to_owned());
        let (saved, connections) = state.ok_or_else(no_hub)?;
        Ok(FrozenState {
            connections,
            parts: vec![(BUS, saved)],
        })
    }

    fn thaw(&self) {
        // It is not locked: nothing is frozen any more.
        if let Ok(mut halted) = self.halted.try_lock() {
            halted.drain(..).for_each(|handle| handle.thaw());
        }
        self.shared.thaw();
    }
}
