//! The task that hands messages to the user's handler, one after the other.
//!
//! In: the inbox. Out: calls of the handler, events, acknowledgements. May touch: the user's handler, tokio's clock
//! while something is not acknowledged yet.

use std::{
    future::{Future, poll_fn},
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use kyneta_uds_bus::{Message, SeqNo};
use kyneta_uds_core::{BoxError, SharedError};
use kyneta_uds_unix::Pause;
use serde::de::DeserializeOwned;
use tokio::{
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    bundle,
    event::BusEvent,
    event_log::is_logged,
    hand_over::panicked,
    handlers::Handlers,
    inbox::Delivery,
    incoming::{BusIncoming, Responder},
    info::MemberInfo,
    looking::{Looking, Shown},
    shared::Shared,
    trace::TraceParent,
    usual,
    wire::{Body, Kind},
};

/// After this long, what was handed over is acknowledged.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(1);

/// A request or an answer is acknowledged with what is written next, or after this long, of real time.
const ACKNOWLEDGE_LAZILY_AFTER: Duration = Duration::from_millis(10);

/// After this many messages, too.
const ACKNOWLEDGE_EACH: usize = 256;

/// Of a handler that does not wait, the clock is read after each so many messages.
const LOOK_EACH: usize = 8;

/// A handler that is slow acknowledges so often: it is not one that is stuck.
const ACKNOWLEDGE_SLOWLY_AFTER: Duration = Duration::from_millis(100);

/// Bytes for texts that a message's type borrows while it is read. Longer ones are no such texts.
const SCRATCH: usize = 4096;

/// What is handed over and not acknowledged.
#[derive(Default)]
struct Open {
    messages: usize,
    at_once: bool,
    since: Option<Instant>,
    /// Since when a request or an answer is not acknowledged.
    lazily: Option<std::time::Instant>,
    /// The handler takes long and does not wait: the task that writes the acknowledgement may need this thread.
    gives_way: bool,
}

/// When something is to be acknowledged.
#[derive(Clone, Copy)]
struct Due {
    /// Messages.
    soon: Option<Instant>,
    /// Requests and answers: later than at any time before.
    lazily: Option<std::time::Instant>,
}

/// One timer for all messages that are to be acknowledged: set a thousand times a second at most, not for each. And one for
/// requests and answers, which mostly pends and passes for nothing: the runtime knows nothing of it.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    pause: Option<Pause>,
}

impl Alarm {
    /// The output of `work`; `None` when what is `due` has come first.
    async fn rings_before<T>(&mut self, due: Due, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            match self.rings_soon(due.soon, cx) || self.rings_lazily(due.lazily, cx) {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        })
        .await
    }

    fn rings_soon(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(due) = due else { return false };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= due {
                return true;
            }
            sleep.as_mut().reset(due);
        }
        false
    }

    fn rings_lazily(&mut self, due: Option<std::time::Instant>, cx: &mut Context<'_>) -> bool {
        let Some(due) = due else { return false };
        let left = || due.saturating_duration_since(std::time::Instant::now());
        let pause = self.pause.get_or_insert_with(|| Pause::new(left()));
        while Pin::new(&mut *pause).poll(cx).is_ready() {
            let left = left();
            if left.is_zero() {
                self.pause = None;
                return true;
            }
            *pause = Pause::new(left);
        }
        false
    }
}

/// Delivers until the bus has ended.
pub(crate) async fn deliver<M, H>(shared: Arc<Shared>, mut handler: H)
where
    M: DeserializeOwned + Send + 'static,
    H: Handlers<M>,
{
    let (mut open, mut alarm) = (Open::default(), Alarm::default());
    let mut scratch = vec![0; SCRATCH];
    let mut deliveries = Vec::new();
    loop {
        if shared.inbox.is_held() {
            if open.since.is_some() || shared.inbox.owed_lazily() > 0 {
                acknowledge(&shared, &mut open);
            }
            shared.inbox.rest(std::mem::take(&mut deliveries)).await;
        }
        shared.inbox.take(&mut deliveries);
        if deliveries.is_empty() {
            if open.at_once {
                acknowledge(&shared, &mut open);
            }
            if shared.inbox.is_closed() {
                return;
            }
            match open.due(&shared) {
                None => shared.inbox.changed().await,
                Some(due) => {
                    let changed = shared.inbox.changed();
                    if alarm.rings_before(due, changed).await.is_none() {
                        acknowledge(&shared, &mut open);
                    }
                }
            }
            continue;
        }
        let mut left = deliveries.len();
        let mut not_got = Vec::new();
        for delivery in deliveries.drain(..) {
            left -= 1;
            // Once held, it stays so for all behind: they are in order.
            if !not_got.is_empty() || shared.inbox.is_held() {
                not_got.push(delivery);
                continue;
            }
            match delivery {
                Delivery::Event(event) => {
                    if let BusEvent::Left(member) = &event {
                        handler.left(member);
                    }
                    shared.events.send(event);
                }
                Delivery::Message {
                    from,
                    message,
                    request,
                } => {
                    let mut of = Of {
                        from: &from,
                        seq: message.n,
                        to_me: message.addressed,
                        data: &message.body.data,
                        whole: &message.body.data,
                        trace: message.body.trace.as_deref(),
                        responder: request.map(|cancel| {
                            Responder::new(shared.clone(), from.clone(), message.n, cancel)
                        }),
                    };
                    let is_request = of.responder.is_some();
                    match is_request {
                        true => open.take_request(&shared),
                        false => open.take(message.body.at_once),
                    }
                    shared.inbox.got(&from, message.n);
                    let is_last = left == 0;
                    if let Some(looking) = handler.looking(&from) {
                        let mut hand_over =
                            || open.hand_over(&shared, None, is_last && !is_request);
                        match look_at(looking, of, &shared, &mut hand_over) {
                            None => continue,
                            Some(unseen) => of = unseen,
                        }
                    }
                    match decode(of.data, of.whole, &mut scratch) {
                        Ok(message) => {
                            open.hand_over(&shared, None, is_last && !is_request);
                            let mut handled = pin!(handler.handle(of.saying(message), &shared));
                            let first = poll_fn(|cx| Poll::Ready(handled.as_mut().poll(cx))).await;
                            let handled = match first {
                                Poll::Ready(handled) => handled,
                                Poll::Pending => {
                                    // The answer may take longer than the stall limit.
                                    if is_request && is_last {
                                        acknowledge(&shared, &mut open);
                                    }
                                    let at_work = AtWork(&mut open, &mut alarm, &shared);
                                    at_work.done(handled).await
                                }
                            };
                            handled.unwrap_or_else(|error| failed(&shared, &from, error));
                        }
                        Err(error) => of.not_understood(&shared, error),
                    }
                }
                Delivery::Run(from, run) => {
                    let mut more = left + run.len();
                    let mut rest = Vec::new();
                    let last = run.last().map(|message| message.n);
                    let mut got = None;
                    for message in run {
                        more -= 1;
                        if !rest.is_empty() {
                            rest.push(message);
                            continue;
                        }
                        let mut inside = Inside::new(&message);
                        while let Some((seq, data)) = inside.next() {
                            if shared.inbox.is_held() {
                                let left = message.n.0 - seq.0 + 1;
                                rest.push(bundle::newest(message.clone(), left));
                                break;
                            }
                            let mut of = Of {
                                from: &from,
                                seq,
                                to_me: message.addressed,
                                data,
                                whole: &message.body.data,
                                trace: message.body.trace.as_deref(),
                                responder: None,
                            };
                            open.take(message.body.at_once);
                            got = Some(seq);
                            if std::mem::take(&mut open.gives_way) {
                                yield_now().await;
                            }
                            let is_last = more == 0 && inside.is_empty();
                            if let Some(looking) = handler.looking(&from) {
                                let mut hand_over =
                                    || open.hand_over(&shared, Some((&from, seq)), is_last);
                                match look_at(looking, of, &shared, &mut hand_over) {
                                    None => continue,
                                    Some(unseen) => of = unseen,
                                }
                            }
                            match decode(of.data, of.whole, &mut scratch) {
                                Ok(message) => {
                                    open.hand_over(&shared, Some((&from, seq)), is_last);
                                    let handled = handler.handle(of.saying(message), &shared);
                                    let mut handled = pin!(handled);
                                    let first =
                                        poll_fn(|cx| Poll::Ready(handled.as_mut().poll(cx))).await;
                                    let handled = match first {
                                        Poll::Ready(handled) => handled,
                                        Poll::Pending => {
                                            shared.inbox.got(&from, seq);
                                            let at_work = AtWork(&mut open, &mut alarm, &shared);
                                            at_work.done(handled).await
                                        }
                                    };
                                    handled.unwrap_or_else(|error| failed(&shared, &from, error));
                                }
                                Err(error) => of.not_understood(&shared, error),
                            }
                        }
                    }
                    // What a bundle lacks does not come.
                    if let Some(got) = if rest.is_empty() { last } else { got } {
                        shared.inbox.got(&from, got);
                    }
                    if !rest.is_empty() {
                        not_got.push(Delivery::Run(from, rest));
                    }
                }
            }
        }
        if !not_got.is_empty() {
            shared.inbox.rest(not_got).await;
        }
    }
}

/// The messages of a bundle to all, or one that is none.
struct Inside<'a> {
    is_bundle: bool,
    numbers: RangeInclusive<u64>,
    rest: &'a [u8],
}

impl<'a> Inside<'a> {
    fn new(message: &'a Message<Body>) -> Self {
        Self {
            is_bundle: matches!(message.body.kind, Kind::Bundle(_)),
            numbers: bundle::first(message).0..=message.n.0,
            rest: &message.body.data,
        }
    }

    fn next(&mut self) -> Option<(SeqNo, &'a [u8])> {
        let seq = SeqNo(self.numbers.next()?);
        match self.is_bundle {
            true => Some((seq, bundle::next(&mut self.rest, false)?.1)),
            false => Some((seq, self.rest)),
        }
    }

    fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// A message that is to be understood.
pub(super) struct Of<'a> {
    pub(super) from: &'a Arc<MemberInfo>,
    pub(super) seq: SeqNo,
    pub(super) to_me: bool,
    /// What it says, and the body that this is a part of.
    pub(super) data: &'a [u8],
    whole: &'a Bytes,
    pub(super) trace: Option<&'a TraceParent>,
    pub(super) responder: Option<Responder>,
}

/// Shows a message to a handler that looks. Gives it back if it is to be handled by value.
#[inline]
fn look_at<'a, M>(
    looking: &Looking<M>,
    of: Of<'a>,
    shared: &Shared,
    hand_over: &mut dyn FnMut(),
) -> Option<Of<'a>> {
    let from = of.from;
    match looking.show(of, hand_over) {
        Shown::Handled(handled) => {
            handled.unwrap_or_else(|error| failed(shared, from, error));
            None
        }
        Shown::Not(of) => Some(of),
    }
}

impl Of<'_> {
    /// What the handler gets.
    #[inline]
    fn saying<M>(self, message: M) -> BusIncoming<M> {
        BusIncoming {
            from: self.from.clone(),
            seq: self.seq.0,
            to_me: self.to_me,
            message,
            trace: self.trace.copied(),
            request: self.responder,
        }
    }

    #[cold]
    fn not_understood(self, shared: &Shared, error: BoxError) {
        let (from, seq) = (self.from, self.seq.0);
        let error = SharedError::new(error);
        let count = shared.counts().not_understood;
        if is_logged(count) {
            tracing::warn!(%error, from = ?from.id, seq, "a message is not understood");
        }
        if let Some(request) = self.responder {
            request.fail(&format!(
                "{} does not understand the message: {error}",
                shared.me()
            ));
        }
        let from = from.clone();
        shared.events.send(BusEvent::NotUnderstood { from, error });
    }
}

impl Open {
    /// When what is handed over is to be acknowledged.
    fn due(&mut self, shared: &Shared) -> Option<Due> {
        self.lazily = match shared.inbox.owed_lazily() {
            0 => None,
            _ => Some(self.lazily.unwrap_or_else(std::time::Instant::now)),
        };
        let soon = self.since.map(|since| since + ACKNOWLEDGE_AFTER);
        let lazily = self.lazily.map(|since| since + ACKNOWLEDGE_LAZILY_AFTER);
        (soon.is_some() || lazily.is_some()).then_some(Due { soon, lazily })
    }

    fn take_request(&mut self, shared: &Arc<Shared>) {
        if shared.inbox.owe_lazily() >= ACKNOWLEDGE_EACH {
            acknowledge(shared, self);
        }
    }

    fn take(&mut self, at_once: bool) {
        self.messages += 1;
        self.at_once |= at_once;
        self.since.get_or_insert_with(Instant::now);
    }

    /// A message is handed over now, one of a run `of` a sender. `is_last`: none waits behind it.
    fn hand_over(
        &mut self,
        shared: &Arc<Shared>,
        of: Option<(&Arc<MemberInfo>, SeqNo)>,
        is_last: bool,
    ) {
        let is_owed = self.at_once || shared.inbox.owed_lazily() > 0;
        let is_slow = self.is_slow();
        if is_last && is_owed || self.messages >= ACKNOWLEDGE_EACH || is_slow {
            // It counts as handed over: a handler that publishes and waits must not be waited for.
            if let Some((from, seq)) = of {
                shared.inbox.got(from, seq);
            }
            acknowledge(shared, self);
            self.gives_way = is_slow;
        }
        shared.events.received();
    }

    fn is_slow(&self) -> bool {
        let looks = self.messages.is_multiple_of(LOOK_EACH);
        looks && (self.since).is_some_and(|since| since.elapsed() >= ACKNOWLEDGE_SLOWLY_AFTER)
    }
}

fn acknowledge(shared: &Arc<Shared>, open: &mut Open) {
    *open = Open::default();
    shared.acknowledge();
}

/// Waits for a handler that is at work on a message: what it has got is acknowledged meanwhile.
struct AtWork<'a>(&'a mut Open, &'a mut Alarm, &'a Arc<Shared>);

impl AtWork<'_> {
    async fn done<T>(self, mut handled: Pin<&mut impl Future<Output = T>>) -> T {
        let Self(open, alarm, shared) = self;
        loop {
            let Some(due) = open.due(shared) else {
                return handled.await;
            };
            match alarm.rings_before(due, handled.as_mut()).await {
                Some(done) => return done,
                None => acknowledge(shared, open),
            }
        }
    }
}

#[cold]
fn failed(shared: &Shared, from: &Arc<MemberInfo>, error: SharedError) {
    let from = from.clone();
    shared.events.send(BusEvent::HandlerFailed { from, error });
}

#[inline]
fn decode<M: DeserializeOwned + 'static>(
    data: &[u8],
    whole: &Bytes,
    scratch: &mut [u8],
) -> Result<M, BoxError> {
    let decoding = || match usual::part(data, whole).or_else(|| usual::read(data)) {
        Some(message) => Ok(message),
        None => decode_unusual(data, scratch),
    };
    // Code of the user's. What a panic leaves of the scratch memory is overwritten.
    match catch_unwind(AssertUnwindSafe(decoding)) {
        Ok(decoded) => decoded,
        Err(panic) => Err(panicked("decoding it", &*panic).into()),
    }
}

#[cold]
fn decode_unusual<M: DeserializeOwned>(data: &[u8], scratch: &mut [u8]) -> Result<M, BoxError> {
    let mut rest = data;
    // Zeroed once, not for each message.
    let message = ciborium::de::from_reader_with_buffer(&mut rest, scratch)?;
    match rest.is_empty() {
        true => Ok(message),
        false => Err("bytes after the message".into()),
    }
}
