//! What happens on a bus after a while.
//!
//! In: what waits. Out: the event that its time is over. May touch: one task of tokio's for each, which does not keep
//! the bus alive.

use std::{sync::Arc, time::Duration};

use kyneta_uds_bus::{ConnectionKey, HubEvent, MemberId};
use tokio::{runtime, time::sleep};

use super::Shared;
use crate::bus::{event::BusEvent, refusal::refused};

/// How long a connection may take to greet.
const GREETING: Duration = Duration::from_secs(5);

/// After how long it is tried again where a bus is being handed over.
const FROZEN: Duration = Duration::from_millis(5);

impl Shared {
    /// A connection that says nothing is closed.
    pub(super) fn expect_greeting(self: &Arc<Self>, key: ConnectionKey) {
        self.later(GREETING, move |shared| shared.end_silent(key));
    }

    /// A member that has no connection may come back for a while.
    pub(super) fn wait_for(self: &Arc<Self>, member: MemberId, number: u64, pause: Duration) {
        self.later(pause, move |shared| {
            shared.turn(|core, turn| {
                if core.awaited.get(&member).is_some_and(|of| of.0 == number) {
                    core.awaited.remove(&member);
                    turn.hub(HubEvent::WaitOver(member));
                }
            });
        });
    }

    /// Members that acknowledge nothing are removed, as long as any owes something.
    pub(super) fn watch_stalls(self: &Arc<Self>) {
        self.later(self.settings.stall / 4, Self::end_stalled);
    }

    fn later(self: &Arc<Self>, pause: Duration, then: impl FnOnce(&Arc<Self>) + Send + 'static) {
        // Without a runtime there are no connections.
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        let shared = Arc::downgrade(self);
        runtime.spawn(async move {
            sleep(pause).await;
            // What is handed over does not change.
            while shared.upgrade().is_some_and(|of| of.is_frozen()) {
                sleep(FROZEN).await;
            }
            if let Some(shared) = shared.upgrade() {
                then(&shared);
            }
        });
    }

    fn end_silent(self: &Arc<Self>, key: ConnectionKey) {
        self.turn(|core, turn| {
            let Some(handle) = core.silent(key) else {
                return;
            };
            turn.after.closed.push(handle);
            let why = format!("the connection has not greeted within {GREETING:?}");
            turn.after.events.push(BusEvent::Refused {
                id: String::new(),
                error: refused("silent", why).into(),
            });
        });
    }

    fn end_stalled(self: &Arc<Self>) {
        self.turn(|core, turn| core.end_stalled(turn));
    }
}
