//! What happens on a bus after a while.
//!
//! In: what waits. Out: the event that its time is over. May touch: one task of tokio's for each, which does not keep
//! the bus alive.

use std::{future::Future, sync::Arc, time::Duration};

use kyneta_uds_bus::{ConnectionKey, HubEvent, MemberId};
use kyneta_uds_core::SharedError;
use kyneta_uds_negotiate::machine::reminder_pause;
use kyneta_uds_unix::Pause;
use tokio::{
    runtime,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use super::Shared;
use crate::{
    bus::{event::BusEvent, refusal::refused},
    waiting::Waiting,
};

/// How long a connection may take to greet.
const GREETING: Duration = Duration::from_secs(5);

/// After how long it is tried again where a bus is being handed over.
const FROZEN: Duration = Duration::from_millis(5);

/// The listener has admitted the connection, and sent no more.
#[derive(Debug, thiserror::Error)]
#[error(
    "the process that listens at the path does not welcome this member: it is stopped, or has messages of its own and no bus"
)]
struct NotWelcomed;

impl Shared {
    /// A hub that does not welcome this member is reported, with pauses that grow.
    pub(super) fn expect_welcome(self: &Arc<Self>, number: u64) {
        self.remind_of_welcome(number, Instant::now());
    }

    fn remind_of_welcome(self: &Arc<Self>, number: u64, since: Instant) {
        // As long as the time that has passed.
        let pause = since
            .elapsed()
            .clamp(reminder_pause(0), reminder_pause(u8::MAX));
        let pause = async move { sleep(pause).await };
        self.later(pause, move |shared| {
            let is_unwelcome = shared.turn(|core, turn| {
                let is_unwelcome = core.is_up(number) && !core.meeting.is_welcomed();
                if is_unwelcome {
                    let waiting = Waiting::new(SharedError::new(NotWelcomed), since);
                    turn.after.events.push(BusEvent::Waiting(waiting));
                }
                is_unwelcome
            });
            if is_unwelcome {
                shared.remind_of_welcome(number, since);
            }
        });
    }

    /// A connection that says nothing is closed.
    pub(super) fn expect_greeting(self: &Arc<Self>, key: ConnectionKey) {
        let then = move |shared: &Arc<Self>| shared.end_silent(key);
        let timer = self.later(async { sleep(GREETING).await }, then);
        // Not kept once it has greeted: a timer that pends costs something in each turn of the runtime.
        self.lock()
            .greets_within(key, timer.map(AbortOnDropHandle::new));
    }

    /// A member that has no connection may come back for a while.
    pub(super) fn wait_for(self: &Arc<Self>, member: MemberId, number: u64, pause: Duration) {
        self.later(async move { sleep(pause).await }, move |shared| {
            shared.turn(|core, turn| {
                if core.awaited.get(&member).is_some_and(|of| of.0 == number) {
                    core.awaited.remove(&member);
                    turn.hub(HubEvent::WaitOver(member));
                }
            });
        });
    }

    /// Members that acknowledge nothing are removed, as long as any owes something: mostly some do.
    pub(super) fn watch_stalls(self: &Arc<Self>) {
        self.later(Pause::new(self.settings.stall / 4), Self::end_stalled);
    }

    fn later(
        self: &Arc<Self>,
        pause: impl Future<Output = ()> + Send + 'static,
        then: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Option<JoinHandle<()>> {
        // Without a runtime there are no connections.
        let runtime = runtime::Handle::try_current().ok()?;
        let shared = Arc::downgrade(self);
        let task = runtime.spawn(async move {
            pause.await;
            // What is handed over does not change.
            while shared.upgrade().is_some_and(|of| of.is_frozen()) {
                sleep(FROZEN).await;
            }
            if let Some(shared) = shared.upgrade() {
                then(&shared);
            }
        });
        Some(task)
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
