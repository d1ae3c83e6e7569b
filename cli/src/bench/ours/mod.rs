//! The same work through the public API, with CBOR and aliasing on, as a user would send it.
//!
//! The server's handler returns each offer of the document `echo`, and answers an offer of `sink` that
//! asks for it; for `fan` see [`fan`]. The client's handler counts the answers and, in `rtt` and `pipe`,
//! sends the next message.

mod fan;
mod messages;

use std::{
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use kyneta_uds::{
    BoxError, ChannelMsg, Client, Connection, Event, Identity, Incoming, Offer, PeerChange,
    QueueConfig, ReconnectPolicy, Server,
};
use tokio::sync::{Notify, mpsc};
use tower::service_fn;

use self::messages::{announcement, offer};
use super::{
    figures::{Figures, Stopwatch},
    work::{IN_FLIGHT, Task, Work},
};

const ECHO: &str = "echo";
const SINK: &str = "sink";

/// The server half; `ready` is called once it accepts connections. Ends with its first client.
pub(super) async fn serve(
    path: &Path,
    queue: QueueConfig,
    ready: impl FnOnce(),
) -> Result<(), BoxError> {
    let builder = Server::builder(path)
        .identity(Identity::service("bench-server")?)
        .queue(queue)
        .relay(false);
    let mut events = builder.events();
    let (order, mut orders) = mpsc::channel(1);
    let answering = service_fn(move |incoming: Incoming| {
        // A clone for each message would slow the other measurements down.
        let order = fan::is_order(&incoming.message).then(|| order.clone());
        answer(incoming, order)
    });
    let server = builder.listen(answering).await?;
    ready();
    loop {
        tokio::select! {
            Some(order) = orders.recv() => fan::broadcast(&server, &mut events, order).await?,
            event = events.recv() => if has_ended(event) {
                break;
            }
        }
    }
    server.dispose().await;
    Ok(())
}

fn has_ended(event: Option<Event>) -> bool {
    let Some(event) = event else {
        return true;
    };
    matches!(
        event,
        Event::Peer {
            change: PeerChange::Departed | PeerChange::Disconnected(_),
            ..
        }
    )
}

/// `order` takes an offer that starts a broadcast, which would block the handler for too long.
async fn answer(incoming: Incoming, order: Option<mpsc::Sender<Offer>>) -> Result<(), Infallible> {
    if let ChannelMsg::Offer(offer) = &incoming.message {
        // The sends fail if the client has disconnected.
        if let Some(order) = order {
            let _ = order.send(offer.clone()).await;
        } else if offer.doc.as_str() == ECHO {
            let _ = incoming.from().queue(incoming.message).await;
        } else if offer.reciprocate == Some(true) {
            let received = ChannelMsg::Dismiss(offer.doc.clone());
            let _ = incoming.from().queue(received).await;
        }
    }
    Ok(())
}

/// The client half.
pub(super) async fn run(path: &Path, task: Task, queue: QueueConfig) -> Result<Figures, BoxError> {
    let (doc, window) = match task.work {
        Work::Rtt => (ECHO, 1),
        Work::Pipe => (ECHO, IN_FLIGHT),
        Work::Stream | Work::Bulk => (SINK, 0),
        Work::Fan => return fan::run(path, task, queue).await,
    };
    let meter = Arc::new(Meter::default());
    let client = {
        let meter = meter.clone();
        Client::builder(path)
            .identity(Identity::service("bench-client")?)
            .queue(queue)
            .reconnect(ReconnectPolicy::off())
            .connect(service_fn(move |incoming: Incoming| {
                let meter = meter.clone();
                async move { meter.received(incoming).await }
            }))
            .await?
    };
    let mut connection = client
        .connection()
        .ok_or("the server has ended the connection")?;
    connection.queue(announcement(&[ECHO, SINK])?).await?;
    meter
        .echo(&mut connection, offer(ECHO, task)?, task.warm_up(), 1)
        .await?;
    meter.restart();
    let offer = offer(doc, task)?;
    if doc == ECHO {
        meter
            .echo(&mut connection, offer, task.count, window)
            .await?;
    } else {
        meter.push(&mut connection, offer, task.count).await?;
    }
    let figures = meter.stop(task);
    client.dispose().await;
    figures.ok_or_else(|| "the clock was never started".into())
}

/// Counts the answers.
#[derive(Default)]
struct Meter {
    state: Mutex<Progress>,
    done: Notify,
}

#[derive(Default)]
struct Progress {
    /// Messages that the handler has still to send.
    to_send: u64,
    /// Answers still to be received.
    to_come: u64,
    /// When the message in flight was sent, if there is only one.
    left: Option<Instant>,
    watch: Option<Stopwatch>,
}

impl Meter {
    /// `count` offers out and back, `window` of them in flight.
    async fn echo(
        &self,
        connection: &mut Connection,
        offer: Offer,
        count: u64,
        window: u64,
    ) -> Result<(), BoxError> {
        let first = window.min(count);
        self.with(|progress| {
            progress.to_send = count - first;
            progress.to_come = count;
            progress.left = (window == 1).then(Instant::now);
        });
        for _ in 0..first {
            connection.queue(offer.clone().into()).await?;
        }
        self.done(connection).await
    }

    /// `count` offers one way, one answer at the end.
    async fn push(
        &self,
        connection: &mut Connection,
        offer: Offer,
        count: u64,
    ) -> Result<(), BoxError> {
        self.with(|progress| progress.to_come = 1);
        for _ in 1..count {
            connection.queue(offer.clone().into()).await?;
        }
        connection.queue(offer.reciprocate(true).into()).await?;
        self.done(connection).await
    }

    /// An answer was received.
    async fn received(&self, incoming: Incoming) -> Result<(), Infallible> {
        let send = self.with(|progress| {
            if let (Some(watch), Some(left)) = (&mut progress.watch, &mut progress.left) {
                watch.lap(*left);
                *left = Instant::now();
            }
            progress.to_come = progress.to_come.saturating_sub(1);
            if progress.to_come == 0 {
                self.done.notify_one();
            }
            let send = progress.to_send > 0;
            progress.to_send -= u64::from(send);
            send
        });
        if send {
            // If the connection is lost, the measuring loop ends with the error.
            let _ = incoming.from().queue(incoming.message).await;
        }
        Ok(())
    }

    async fn done(&self, connection: &Connection) -> Result<(), BoxError> {
        tokio::select! {
            () = self.done.notified() => Ok(()),
            reason = connection.closed() => Err(reason.into()),
        }
    }

    fn restart(&self) {
        self.with(|progress| progress.watch = Some(Stopwatch::start()));
    }

    fn stop(&self, task: Task) -> Option<Figures> {
        self.with(|progress| Some(progress.watch.take()?.stop("kyneta-uds", task)))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
