//! Handles the connections that a listening member accepts, and what both roles report.
//!
//! In: accepted channels, reports. Out: a task for each channel; events. May touch: the state of the bus.
//! What is refused below the bus is a [`BusEvent::Refused`] without an id, since the process has not said one.

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use kyneta_uds_bus::ConnectionKey;
use kyneta_uds_core::{BoxError, Channel, DisconnectReason, SharedError};
use kyneta_uds_negotiate::{AcceptHandler, AcceptPanicked, Entrance, Role, RoleWait};
use kyneta_uds_queue::{Driver, QueueConfig, QueueEvent, queue};
use kyneta_uds_unix::{ConnectionPermit, DirectoryRisk, RejectReason};
use tower::service_fn;
use tower_service::Service;

use super::{
    channel::BusChannel, event::BusEvent, fault::fault, input::Input, refusal::refused,
    shared::Shared, wire::Wire,
};
use crate::waiting::Waiting;

/// How long the end of an accepted connection may take. What it does not bring in this time, its sender sends again to the
/// next listener; so a member that does not read is not waited for any longer.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// Registers each accepted connection with the hub.
#[derive(Debug, Clone)]
pub(crate) struct BusAcceptHandler {
    pub(crate) shared: Arc<Shared>,
}

impl<C, E> AcceptHandler<BusChannel<C>, E, Wire> for BusAcceptHandler
where
    C: Channel<Wire, In = Wire, Future: Send, Error: Send> + Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    async fn accept(
        self,
        mut channel: BusChannel<C>,
        permit: ConnectionPermit,
        entrance: Entrance<Wire>,
    ) {
        let config = config(&self.shared).drain_timeout(END_TIMEOUT);
        let (handle, driver) = queue(config);
        let credentials = channel.connection().credentials;
        entrance.enter(handle.clone());
        let (key, outbox) = self.shared.accepted(handle, credentials);
        channel.register(key, outbox);
        spawn(&self.shared, key, driver, channel, permit);
    }

    fn accept_failed(&self, error: E) {
        if let Some(error) = fault(&DisconnectReason::error(error)) {
            tracing::debug!(%error, "an accepted connection did not become a channel");
            self.refused("failed", error);
        }
    }

    fn panicked(&self, error: AcceptPanicked) {
        self.refused("failed", &error);
    }

    fn rejected(&self, reason: &RejectReason) {
        self.refused(reason.code(), reason);
    }

    fn directory_risk(&self, risk: &DirectoryRisk) {
        let risk = risk.clone();
        self.shared.events.send(BusEvent::UnsafeDirectory { risk });
    }

    fn role_changed(&self, role: Role) {
        self.shared.role(role);
    }

    fn waiting(&self, waiting: &RoleWait) {
        let waiting = Waiting::for_role(waiting);
        self.shared.events.send(BusEvent::Waiting(waiting));
    }

    fn in_the_way(&self, error: &SharedError) {
        let error = error.clone();
        self.shared.events.send(BusEvent::InTheWay { error });
    }
}

impl BusAcceptHandler {
    fn refused(&self, code: &str, why: &impl ToString) {
        self.shared.events.send(BusEvent::Refused {
            id: String::new(),
            error: refused(code, why.to_string()).into(),
        });
    }
}

/// Drives an accepted connection in a task of its own. The bus learns how it ended.
pub(crate) fn spawn<C>(
    shared: &Arc<Shared>,
    key: ConnectionKey,
    driver: Driver<Wire>,
    channel: BusChannel<C>,
    permit: ConnectionPermit,
) where
    C: Channel<Wire, In = Wire, Future: Send, Error: Send> + Send + 'static,
{
    let driving = driver.drive(channel, inputs(shared.clone()));
    let shared = shared.clone();
    tokio::spawn(driving.map(move |reason| {
        shared.ended(key, &reason);
        drop(permit);
    }));
}

/// The queue above a connection carries nothing: what waits is in the outbox. It drives the connection, and its
/// events say what was no payload of the bus's.
pub(crate) fn config(shared: &Arc<Shared>) -> QueueConfig {
    let events = shared.events.clone();
    QueueConfig::default()
        .max_messages(1)
        .on_event(move |event| {
            if let QueueEvent::Rejected(rejection) = event {
                tracing::debug!(%rejection, "a payload that is none of the bus's");
                let error = SharedError::new(rejection.clone());
                events.send(BusEvent::Rejected { error });
            }
        })
}

/// The handler of a connection: what it brings goes to the bus.
pub(crate) fn inputs(
    shared: Arc<Shared>,
) -> impl Service<Input, Response = (), Error = Infallible, Future: Send> + Send + 'static {
    service_fn(move |input: Input| {
        shared.input(input);
        ready(Ok(()))
    })
}
