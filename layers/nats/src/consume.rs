//! What the server has for this machine: a durable consumer, and signs of life.
//!
//! In: messages of the server. Out: frames for sessions, new sessions. May touch: the server, the clock.

use std::{sync::Arc, time::Duration};

use async_nats::{
    Subscriber,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
        context::ConsumerInfoErrorKind,
        stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
    },
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use kyneta_uds_core::BoxError;
use kyneta_uds_machines::MachineName;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    frame::{Frame, SessionId},
    hub::Hub,
    names::{ALL_STORED, STREAM, Subjects, sender, token},
    session::Session,
};

/// How long the server keeps what is not taken: a machine that is gone for longer has no session any more.
const MAX_AGE: Duration = Duration::from_secs(60);

/// How much the server keeps for all machines together. Then it takes nothing more, and senders wait.
const MAX_BYTES: i64 = 256 * 1024 * 1024;

/// How long the server waits until it gives a message again that was not acknowledged.
const ACK_WAIT: Duration = Duration::from_millis(500);

/// How many messages are asked for at once, and how many may be given that are not acknowledged.
const BATCH: usize = 128;
const MAX_ACK_PENDING: i64 = 1024;

/// How long the server may say nothing on a request for messages, and how long the request stands.
const HEARTBEAT: Duration = Duration::from_millis(500);
const EXPIRES: Duration = Duration::from_secs(5);

/// The pause before the server is looked at again.
const AGAIN: Duration = Duration::from_millis(50);

/// A session that another machine has opened.
pub(crate) struct Arrival {
    pub(crate) machine: MachineName,
    pub(crate) session: Arc<Session>,
}

/// The consumer of a machine at the server. `process` differs from process to process.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    hub: Arc<Hub>,
    process: String,
}

impl Consumer {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        let process = format!("process {:016x}", fastrand::u64(..));
        Self { hub, process }
    }

    /// Takes the place of any consumer of this machine: nothing that was meant for a process before comes to this one.
    pub(crate) async fn replace(&self) -> Result<PullConsumer, BoxError> {
        let stream = self.hub.server.get_or_create_stream(config()).await?;
        match stream.consumer_info(token(&self.hub.me)).await {
            Ok(_) => {
                stream.delete_consumer(&token(&self.hub.me)).await?;
            }
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.create(&stream).await?)
    }

    async fn create<I>(
        &self,
        stream: &jetstream::stream::Stream<I>,
    ) -> Result<PullConsumer, jetstream::stream::ConsumerError> {
        let config = pull::Config {
            durable_name: Some(token(&self.hub.me)),
            description: Some(self.process.clone()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            filter_subject: Subjects::to(&self.hub.me).data,
            max_ack_pending: MAX_ACK_PENDING,
            inactive_threshold: MAX_AGE,
            ..pull::Config::default()
        };
        stream.create_consumer(config).await
    }

    /// The consumer as it is now; made anew if the server has lost it. `None` if a newer process of this machine has it.
    async fn find(&self) -> Result<Option<PullConsumer>, BoxError> {
        let stream = self.hub.server.get_or_create_stream(config()).await?;
        let found = stream.consumer_info(token(&self.hub.me)).await;
        match found {
            Ok(info) if info.config.description.as_deref() != Some(&self.process) => Ok(None),
            Ok(_) => Ok(Some(stream.get_consumer(&token(&self.hub.me)).await?)),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
                tracing::warn!(machine = %self.hub.me, "the server has lost the consumer: it is made anew");
                Ok(Some(self.create(&stream).await?))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes messages until this task is dropped, or another process has the name.
    pub(crate) async fn run(
        self,
        mut consumer: PullConsumer,
        mut live: Subscriber,
        arrivals: mpsc::Sender<Arrival>,
    ) {
        loop {
            let why = self.take(&consumer, &mut live, &arrivals).await;
            tracing::debug!(machine = %self.hub.me, error = %why, "no messages: the server is looked at");
            consumer = loop {
                sleep(AGAIN).await;
                if !self.hub.is_connected() {
                    continue;
                }
                match self.find().await {
                    Ok(Some(consumer)) => break consumer,
                    Ok(None) => {
                        tracing::warn!(machine = %self.hub.me, "another process uses the name of this machine at the NATS server: this one has no links any more");
                        return self.hub.replaced();
                    }
                    Err(error) => tracing::debug!(%error, "the consumer is not to be had"),
                }
            };
        }
    }

    /// Takes messages while that goes well.
    async fn take(
        &self,
        consumer: &PullConsumer,
        live: &mut Subscriber,
        arrivals: &mpsc::Sender<Arrival>,
    ) -> BoxError {
        let request = consumer.stream().max_messages_per_batch(BATCH);
        let request = request.heartbeat(HEARTBEAT).expires(EXPIRES);
        let mut messages = match request.messages().await {
            Ok(messages) => messages,
            Err(error) => return error.into(),
        };
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(Ok(message)) => {
                        self.message(&message.subject, message.payload.clone(), arrivals).await;
                        if let Err(error) = message.ack().await {
                            return error;
                        }
                    }
                    Some(Err(error)) => return error.into(),
                    None => return "the messages have ended".into(),
                },
                message = live.next() => match message {
                    Some(message) => self.message(&message.subject, message.payload, arrivals).await,
                    None => return "the signs of life have ended".into(),
                },
            }
        }
    }

    async fn message(&self, subject: &str, payload: Bytes, arrivals: &mpsc::Sender<Arrival>) {
        let Some(machine) = sender(subject) else {
            return tracing::warn!(%subject, "a message comes from no machine: it is ignored");
        };
        let (id, frame) = match Frame::decode(payload) {
            Ok(decoded) => decoded,
            Err(error) => {
                return tracing::warn!(%machine, %error, "a message is no frame: it is ignored");
            }
        };
        if let Some(session) = self.hub.session(&machine, id) {
            return session.frame(frame);
        }
        match frame {
            Frame::Open => self.open(machine, id, arrivals).await,
            // A session of the process before this one, or one that has ended.
            Frame::Part { .. } => self.hub.reset(&machine, id).await,
            Frame::Reset | Frame::Alive(_) => {}
        }
    }

    async fn open(&self, machine: MachineName, id: SessionId, arrivals: &mpsc::Sender<Arrival>) {
        let Ok(place) = arrivals.try_reserve() else {
            tracing::warn!(%machine, "too many sessions wait: one is refused");
            return self.hub.reset(&machine, id).await;
        };
        match self.hub.begin(&machine, id, false) {
            Some(session) => place.send(Arrival { machine, session }),
            None => {
                tracing::warn!(%machine, "too many sessions: one is refused");
                self.hub.reset(&machine, id).await;
            }
        }
    }

    /// Gives the consumer up: what others send is not kept any more.
    pub(crate) async fn delete(&self) -> Result<(), BoxError> {
        if self.find().await?.is_some() {
            let stream = self.hub.server.get_stream_no_info(STREAM).await?;
            stream.delete_consumer(&token(&self.hub.me)).await?;
        }
        Ok(())
    }
}

/// The stream of all machines: what every consumer that wants it has had is removed.
fn config() -> Config {
    Config {
        name: STREAM.to_owned(),
        subjects: vec![ALL_STORED.to_owned()],
        retention: RetentionPolicy::Interest,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes: MAX_BYTES,
        max_age: MAX_AGE,
        duplicate_window: MAX_AGE,
        num_replicas: 1,
        ..Config::default()
    }
}
