//! A machine at a NATS server.
//!
//! In: the address of a server, the name of this machine. Out: a connector and an acceptor. May touch: the server.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, jetstream::context::ContextBuilder};
use kyneta_uds_core::BoxError;
use kyneta_uds_machines::{Machine, MachineKey, MachineName};

use crate::{
    accept::NatsAcceptor,
    connect::NatsConnector,
    consume::Consumer,
    hub::Hub,
    names::{Subjects, machine_key},
    settings::NatsSettings,
};

/// How long the server may take for an answer.
const ANSWER: Duration = Duration::from_secs(1);

/// How often the server is asked whether it is there. After three times without an answer it counts as gone.
const PING: Duration = Duration::from_secs(1);

/// The pause before a server that is gone is dialed again.
const REDIAL: Duration = Duration::from_millis(50);

/// A machine at a NATS server. Cloneable. Only one process at a time may have the name: the newest counts.
#[derive(Debug, Clone)]
pub struct NatsEngine {
    pub(crate) hub: Arc<Hub>,
}

impl NatsEngine {
    /// Connects to a server, such as `nats://127.0.0.1:4222` or `tls://user:password@nats.example.org`. A server that is gone
    /// later is dialed again, and again.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`ServerError`]: it cannot be reached, or does not take this client.
    pub async fn connect(
        url: &str,
        name: MachineName,
        settings: NatsSettings,
    ) -> Result<Self, ServerError> {
        let options = ConnectOptions::new()
            .name(format!("kyneta-uds {name}"))
            .ping_interval(PING)
            .reconnect_delay_callback(|_| REDIAL);
        let client = options.connect(url).await.map_err(ServerError::connect)?;
        Ok(Self::new(client, name, settings))
    }

    /// Over a client that is connected otherwise: with a certificate, or with credentials.
    pub fn new(client: Client, name: MachineName, settings: NatsSettings) -> Self {
        let server = ContextBuilder::new().timeout(ANSWER).build(client.clone());
        let hub = Arc::new(Hub::new(name, client, server, settings));
        Self { hub }
    }

    /// The name of this machine.
    pub fn name(&self) -> &MachineName {
        &self.hub.me
    }

    /// Its [key](machine_key).
    pub fn key(&self) -> MachineKey {
        machine_key(&self.hub.me)
    }

    /// Another machine at the same server, as [`LinksBuilder::machine`](kyneta_uds_machines::LinksBuilder::machine) takes it.
    pub fn machine(name: MachineName) -> Machine<MachineName> {
        Machine::new(name.clone(), machine_key(&name), name)
    }

    /// Dials: a tower service.
    pub fn connector(&self) -> NatsConnector {
        NatsConnector::new(self.hub.clone())
    }

    /// Takes the name of this machine at the server: makes the stream if there is none, and the consumer of this machine
    /// anew. A process that has had the name has no session any more.
    ///
    /// It must be called inside a tokio runtime. A dropped attempt may have taken the name already.
    ///
    /// # Errors
    /// [`ServerError`]: the server has no JetStream, or no room for the stream; this client may not use it.
    pub async fn acceptor(&self) -> Result<NatsAcceptor, ServerError> {
        let subject = Subjects::to(&self.hub.me).live;
        let live = self.hub.client.subscribe(subject).await;
        let live = live.map_err(ServerError::jetstream)?;
        let consumer = Consumer::new(self.hub.clone());
        let pull = consumer.replace().await.map_err(ServerError::jetstream)?;
        Ok(NatsAcceptor::start(self.hub.clone(), consumer, pull, live))
    }
}

/// A server is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// There is no connection.
    #[error("the NATS server does not take this client: {0}")]
    Connect(BoxError),
    /// It has no stream for this machine.
    #[error(
        "the NATS server keeps no messages for this machine (is JetStream on, and may this client use it?): {0}"
    )]
    JetStream(BoxError),
}

impl ServerError {
    fn connect(error: impl Into<BoxError>) -> Self {
        Self::Connect(error.into())
    }

    fn jetstream(error: impl Into<BoxError>) -> Self {
        Self::JetStream(error.into())
    }
}
