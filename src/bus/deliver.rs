//! The task that hands messages to the user's handler, one after the other.
//!
//! In: the inbox. Out: calls of the handler, events, acknowledgements. May touch: the user's handler, tokio's clock
//! while something is not acknowledged yet.

use std::{future::poll_fn, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use kyneta_uds_bus::SeqNo;
use kyneta_uds_core::{BoxError, SharedError, panic_text};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::{
    event::BusEvent,
    inbox::Delivery,
    incoming::{BusIncoming, Responder},
    info::MemberInfo,
    shared::Shared,
};

/// After this long, what was handed over is acknowledged.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(1);

/// After this many messages, too.
const ACKNOWLEDGE_EACH: usize = 256;

/// While more wait for the handler, nothing is acknowledged: the windows of the senders fill.
const MAX_WAITING: usize = 256;

/// How deeply a message may be nested.
const MAX_DEPTH: usize = 128;

/// What is handed over and not acknowledged.
#[derive(Default)]
struct Open {
    messages: usize,
    at_once: bool,
    since: Option<Instant>,
}

/// Delivers until the bus has ended.
pub(crate) async fn deliver<M, H>(shared: Arc<Shared>, mut handler: H)
where
    M: DeserializeOwned + Send + 'static,
    H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>>,
{
    let mut open = Open::default();
    loop {
        let deliveries = shared.inbox.take();
        if deliveries.is_empty() {
            if open.at_once {
                acknowledge(&shared, &mut open);
            }
            if shared.inbox.is_closed() {
                return;
            }
            match open.since {
                None => shared.inbox.changed().await,
                Some(since) => {
                    let due = since + ACKNOWLEDGE_AFTER;
                    if timeout_at(due, shared.inbox.changed()).await.is_err() {
                        acknowledge(&shared, &mut open);
                    }
                }
            }
            continue;
        }
        let mut left = deliveries.len();
        for delivery in deliveries {
            left -= 1;
            match delivery {
                Delivery::Event(event) => shared.events.send(event),
                Delivery::Handled => {
                    open.messages += 1;
                    open.at_once = true;
                }
                Delivery::Message {
                    from,
                    seq,
                    to_me,
                    at_once,
                    data,
                    request,
                } => {
                    open.messages += 1;
                    open.at_once |= at_once;
                    open.since.get_or_insert_with(Instant::now);
                    let responder = request.map(|cancel| {
                        Responder::new(shared.clone(), from.member_id(), seq, cancel)
                    });
                    let message = match decode::<M>(&data) {
                        Ok(message) => message,
                        Err(error) => {
                            not_understood(&shared, from, seq, error, responder);
                            continue;
                        }
                    };
                    let incoming = BusIncoming::new(from.clone(), seq, to_me, message, responder);
                    let is_last = left == 0 && open.at_once;
                    if is_last || open.messages >= ACKNOWLEDGE_EACH {
                        // It counts as handed over now: a handler that publishes and waits must not be waited for.
                        acknowledge(&shared, &mut open);
                    }
                    hand_over(&shared, &mut handler, incoming, from).await;
                }
            }
        }
    }
}

fn acknowledge(shared: &Arc<Shared>, open: &mut Open) {
    if shared.inbox.len() > MAX_WAITING {
        return;
    }
    *open = Open::default();
    shared.acknowledge();
}

async fn hand_over<M, H>(
    shared: &Shared,
    handler: &mut H,
    incoming: BusIncoming<M>,
    from: Arc<MemberInfo>,
) where
    H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>>,
{
    let called = async {
        poll_fn(|cx| handler.poll_ready(cx)).await?;
        handler.call(incoming).await
    };
    shared.events.received();
    let error = match AssertUnwindSafe(called).catch_unwind().await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => SharedError::new(error),
        Err(panic) => {
            let text = panic_text(&*panic).unwrap_or("no text");
            SharedError::new(BoxError::from(format!("the handler panicked: {text}")))
        }
    };
    tracing::warn!(%error, from = ?from.id, "the handler failed at a message");
    shared.events.send(BusEvent::HandlerFailed { from, error });
}

fn decode<M: DeserializeOwned>(data: &Bytes) -> Result<M, BoxError> {
    let mut rest: &[u8] = data;
    let message = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)?;
    match rest.is_empty() {
        true => Ok(message),
        false => Err("bytes after the message".into()),
    }
}

fn not_understood(
    shared: &Arc<Shared>,
    from: Arc<MemberInfo>,
    seq: SeqNo,
    error: BoxError,
    request: Option<Responder>,
) {
    let count = shared.counts().not_understood;
    // The first of many is enough for a log.
    if count < 16 || count.is_power_of_two() {
        tracing::warn!(%error, from = ?from.id, seq = seq.0, "a message is not understood");
    }
    if let Some(request) = request {
        request.fail(&format!(
            "{} does not understand the message: {error}",
            shared.me()
        ));
    }
    let error = SharedError::new(error);
    shared.events.send(BusEvent::NotUnderstood { from, error });
}
