//! The task of a session: has the server store its frames, and says what has come.
//!
//! In: a session. Out: messages at the server. May touch: the server, the clock.

use std::{pin::Pin, time::Duration};

use async_nats::{Subject, jetstream::message::PublishMessage};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use kyneta_uds_machines::MachineName;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::{
    frame::{Frame, SessionId},
    hub::Hub,
    names::{Subjects, token},
    session::{End, Session, Turn},
};

/// How long a stream that was dropped may take until the server has what was written.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// The pause before the server is given a message again that it has not stored.
const AGAIN: Duration = Duration::from_millis(50);

/// Until the session ends.
pub(crate) async fn drive(hub: &Hub, session: &Session, machine: &MachineName, id: SessionId) {
    let since = Instant::now();
    let subjects = Subjects::new(&hub.me, machine);
    let (data, live) = (Subject::from(subjects.data), Subject::from(subjects.live));
    let period = hub.settings.beat();
    let mut clock = interval_at(since + period, period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut storing: FuturesUnordered<Pin<Box<dyn Future<Output = u64> + Send + '_>>> =
        FuturesUnordered::new();
    let mut beat = true;
    loop {
        match session.turn(&mut beat) {
            Turn::Store(frame) => {
                let Frame::Part { number, .. } = &frame else {
                    continue;
                };
                let (number, payload) = (*number, frame.encode(id));
                let once = format!("{}.{:016x}.{number}", token(&hub.me), id.0);
                let data = data.clone();
                storing.push(Box::pin(async move {
                    store(hub, data, payload, once).await;
                    number
                }));
                continue;
            }
            Turn::Tell(alive) => {
                // Without a server it would only wait, and come late.
                if hub.is_connected() {
                    let payload = Frame::Alive(alive).encode(id);
                    if let Err(error) = hub.client.publish(live.clone(), payload).await {
                        tracing::debug!(%machine, %error, "a sign of life was not sent");
                    }
                }
                continue;
            }
            Turn::Wait => {}
            Turn::Over(end) => return over(hub, machine, id, end).await,
        }
        tokio::select! {
            () = session.changed() => {}
            Some(number) = storing.next(), if !storing.is_empty() => session.stored(number),
            _ = clock.tick() => {
                beat = true;
                session.tick(since, hub.settings.idle_timeout, LINGER);
            }
        }
    }
}

/// The other side is told, unless it knows.
async fn over(hub: &Hub, machine: &MachineName, id: SessionId, end: Option<End>) {
    let Some(end) = end else {
        return;
    };
    tracing::debug!(%machine, %end, "a session has ended before its time");
    if !matches!(end, End::Reset | End::Replaced) && hub.is_connected() {
        hub.reset(machine, id).await;
    }
}

/// Until the server has stored it, again and again: with the same id, so that it stores it once.
async fn store(hub: &Hub, subject: Subject, payload: Bytes, id: String) {
    loop {
        if hub.is_connected() {
            let message = PublishMessage::build().payload(payload.clone());
            let message = message.message_id(&id);
            let stored = async {
                hub.server
                    .send_publish(subject.clone(), message)
                    .await?
                    .await
            };
            match stored.await {
                Ok(_) => return,
                Err(error) => tracing::debug!(%subject, %error, "not stored: sent again"),
            }
        }
        sleep(AGAIN).await;
    }
}
