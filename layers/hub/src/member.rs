//! A member's side of a hub: hands its messages in, and waits for room.
//!
//! In: what the member sends. Out: whether more may be read; its leave. May touch: the hub, the queues that its
//! messages have filled, tokio's clock while it is held back.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use kyneta_uds_queue::Handle;
use kyneta_uds_relay::{MemberFacts, MemberKey};
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service as _;

use crate::{
    event::HubEvent,
    gate::{After, Gate},
    hub::{Inner, PART_PAUSE},
    rates::{Load, Meter, Metered, Rates},
    round::{Round, Sent},
};

/// How many documents are shown at once, each counted once a member: .4 ms of the hub, and about as much of the members
/// that read them. A message that shows more is routed in parts; after messages that show as many, or ask for half as many,
/// nothing is read from their sender for a moment.
const MAX_SHOWN: usize = 1024;

/// What an interest counts. Where two holders answer, as many answers wait for the member then as a queue has room for by
/// default: while it is full, they are not read.
const INTEREST: usize = 2;

/// Messages of so many documents are never divided.
const MIN_PART: usize = 16;

/// One member of a [`Hub`](crate::Hub), for what reads its messages; dropping it is its leave. Usually inside a
/// [`RelayHandler`](crate::RelayHandler).
///
/// ```
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_hub::Member;
/// use std::future::poll_fn;
///
/// async fn read(mut member: Member<ChannelMsg>, mut inbox: tokio::sync::mpsc::Receiver<ChannelMsg>) {
///     while let Some(msg) = inbox.recv().await {
///         member.received(msg);
///         poll_fn(|cx| member.poll_ready(cx)).await; // before the next one is read
///     }
/// }
/// ```
pub struct Member<M: Metered> {
    key: MemberKey,
    facts: Arc<MemberFacts>,
    hub: Arc<Inner<M>>,
    gate: Arc<Gate<M>>,
    meter: Meter,
    round: Round<M>,
    /// Queues that its messages have filled.
    full: Vec<(MemberKey, Handle<M>)>,
    /// It has sent more than it may.
    pause: Option<Pin<Box<Sleep>>>,
    /// Documents that it has shown since it waited last, each counted once a member, and interests.
    shown: usize,
}

impl<M: Metered> Member<M> {
    pub(crate) fn new(
        key: MemberKey,
        facts: Arc<MemberFacts>,
        hub: Arc<Inner<M>>,
        rates: Rates,
    ) -> Self {
        Self {
            key,
            facts,
            hub,
            gate: Arc::new(Gate::new()),
            meter: Meter::new(rates),
            round: Round::new(),
            full: Vec::new(),
            pause: None,
            shown: 0,
        }
    }

    /// Under which key the router knows it.
    pub const fn key(&self) -> MemberKey {
        self.key
    }

    pub(crate) fn gate(&self) -> Arc<Gate<M>> {
        self.gate.clone()
    }

    /// Ready when the next message may be read: the router knows the member, the queues that the last ones have filled have
    /// room again, and the member's [`Rates`] allow more.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.full.is_empty() {
            let After {
                full,
                refusals,
                shown,
            } = ready!(self.gate.poll_open(cx));
            self.full = full;
            self.pace(shown);
            if refusals > 0 {
                self.meter(|meter, now| meter.take_refusals(refusals, now));
            }
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        while let Some((_, handle)) = self.full.last_mut() {
            // An error is its end. A permit goes back with the clone.
            let _ = ready!(handle.poll_ready(cx));
            self.full.pop();
        }
        Poll::Ready(())
    }

    /// It has sent a message. After the first one between [`round_begins`](Self::round_begins) and
    /// [`round_over`](Self::round_over) it may wait for others, at most 31 or 64 KiB of them; else it is routed at once. One
    /// that shows many documents is routed in parts: the member is not ready before the last.
    #[inline]
    pub fn received(&mut self, msg: M) {
        let load = msg.load();
        if load != Load::default() {
            self.meter(|meter, now| meter.take(load, now));
            if load.presents as usize > MIN_PART {
                return self.show(msg);
            }
            self.pace(load.interests as usize * INTEREST);
        }
        let sent = self.round.add(msg);
        self.hand_in(sent);
    }

    /// It has shown few documents or asks for one, in one of many messages perhaps.
    fn pace(&mut self, shown: usize) {
        self.shown += shown;
        if self.shown >= MAX_SHOWN {
            self.shown = 0;
            self.pause
                .get_or_insert_with(|| Box::pin(sleep(PART_PAUSE)));
        }
    }

    /// It shows many documents: in parts, if the hub has many members.
    #[cold]
    fn show(&mut self, msg: M) {
        let before = self.round.take();
        self.hand_in(before);
        let most = MAX_SHOWN / self.hub.members().max(1);
        let parts = msg.divided(most.max(MIN_PART));
        self.hub.received_parts(self.key, parts, &self.gate);
    }

    /// More will be received before [`round_over`](Self::round_over).
    #[inline]
    pub const fn round_begins(&mut self) {
        self.round.begins();
    }

    /// Nothing more is received for now: what waits is routed.
    #[inline]
    pub fn round_over(&mut self) {
        let sent = self.round.over();
        self.hand_in(sent);
    }

    #[inline]
    fn hand_in(&mut self, sent: Option<Sent<M>>) {
        if let Some(sent) = sent {
            let memory = self.hub.received(self.key, sent, &self.gate);
            self.round.give_back(memory);
        }
    }

    /// Nothing is read as long as the meter says.
    fn meter(&mut self, take: impl FnOnce(&mut Meter, Instant) -> Duration) {
        let now = Instant::now();
        let pause = take(&mut self.meter, now);
        let ends_later = |former: &Pin<Box<Sleep>>| former.deadline() >= now + pause;
        if pause.is_zero() || self.pause.as_ref().is_some_and(ends_later) {
            return;
        }
        self.pause = Some(Box::pin(sleep(pause)));
        let member = self.facts.clone();
        self.hub.report(&HubEvent::HeldBack { member, pause });
    }
}

impl<M: Metered> Drop for Member<M> {
    fn drop(&mut self) {
        self.round_over();
        self.hub.left(self.key);
    }
}

impl<M: Metered> fmt::Debug for Member<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("key", &self.key)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
