//! Accepts sessions that other machines open.
//!
//! In: a consumer. Out: byte streams. May touch: the server, a task of its own.

use std::sync::Arc;

use async_nats::{Subscriber, jetstream::consumer::PullConsumer};
use kyneta_uds_machines::{Accept, Accepted};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::{
    consume::{Arrival, Consumer},
    drive::LINGER,
    hub::Hub,
    names::machine_key,
    session::End,
    stream::NatsStream,
};

/// How many sessions may wait to be taken.
const BACKLOG: usize = 64;

/// Accepts for a machine at a server; see [`NatsEngine::acceptor`](crate::NatsEngine::acceptor). While it is there, this
/// machine gets what others send to it.
#[derive(Debug)]
pub struct NatsAcceptor {
    hub: Arc<Hub>,
    consumer: Consumer,
    arrivals: mpsc::Receiver<Arrival>,
    task: JoinHandle<()>,
}

impl NatsAcceptor {
    pub(crate) fn start(
        hub: Arc<Hub>,
        consumer: Consumer,
        pull: PullConsumer,
        live: Subscriber,
    ) -> Self {
        let (to_user, arrivals) = mpsc::channel(BACKLOG);
        let task = tokio::spawn(consumer.clone().run(pull, live, to_user));
        Self {
            hub,
            consumer,
            arrivals,
            task,
        }
    }
}

impl Drop for NatsAcceptor {
    fn drop(&mut self) {
        self.task.abort();
        self.hub.end_all(End::Closed);
    }
}

impl Accept for NatsAcceptor {
    type Io = NatsStream;

    async fn accept(&mut self) -> Option<Accepted<NatsStream>> {
        let Arrival { machine, session } = self.arrivals.recv().await?;
        let key = machine_key(&machine);
        let stream = NatsStream::new(session, machine);
        Some(Accepted::new(key, async { Ok(stream) }))
    }

    async fn close(&mut self) {
        // Streams that are held on to end with the rest.
        if timeout(LINGER, self.hub.ended()).await.is_err() {
            self.hub.end_all(End::Closed);
        }
        self.task.abort();
        let delete = timeout(LINGER / 2, self.consumer.delete()).await;
        if let Ok(Err(error)) = delete {
            tracing::debug!(%error, "the consumer was not deleted");
        }
        let _ = timeout(LINGER / 4, self.hub.client.flush()).await;
    }
}
