//! The router and the members' queues: what the one task works with that routes at a time.
//!
//! In: events. Out: messages in the members' queues, reports. May touch: those queues.

use std::{
    any::Any,
    collections::BTreeSet,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use kyneta_uds_core::Message;
use kyneta_uds_queue::{Handle, MessageBatch};
use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, MemberMap, Router};

use crate::{
    event::{HubEvent, RouterPanicked},
    gate::{After, Gate, Waiting},
    hub::HubStatus,
    outgoing::{Outgoing, Place},
    rates::Metered,
    round::Sent,
};

/// What a message counts besides the documents that it shows: its member is woken for it.
const MESSAGE: usize = 3;

/// What happens to a hub.
pub(crate) enum Event<M> {
    /// A member is there.
    Established {
        key: MemberKey,
        facts: Arc<MemberFacts>,
        handle: Handle<M>,
        /// What holds it back until the event is routed.
        gate: Arc<Gate<M>>,
        /// What it was, if it has waited in the line.
        waits: Option<Waiting>,
    },
    /// It has sent something.
    Received {
        from: MemberKey,
        sent: Sent<M>,
        /// What holds it back; absent while the event is routed.
        gate: Option<Arc<Gate<M>>>,
        /// What it was, if it has waited in the line.
        waits: Option<Waiting>,
    },
    /// It is gone.
    Left(MemberKey),
    /// The router's time has passed.
    Woken,
    /// Something looks at the router.
    Inspect(Box<Inspect<M>>),
    /// The same, between whole messages.
    InspectWhole(Box<Inspect<M>>),
}

pub(crate) type Inspect<M> = dyn FnOnce(&dyn Router<M>) + Send;

impl<M: Message> Event<M> {
    /// It waits in the line: a message holds its member back, and that a member comes, too. So the line has no more than
    /// each connection may have in it, however many come and go.
    pub(crate) fn waiting(mut self) -> Self {
        let (gate, waits, waiting) = match &mut self {
            Self::Received {
                sent,
                gate: Some(gate),
                waits: waits @ None,
                ..
            } => (gate, waits, sent.waiting()),
            Self::Established {
                gate,
                waits: waits @ None,
                ..
            } => (gate, waits, Waiting::SHUT),
            _ => return self,
        };
        gate.handed_in(waiting);
        *waits = Some(waiting);
        self
    }

    /// How many messages it is about; one without any counts as one.
    pub(crate) fn messages(&self) -> usize {
        match self {
            Self::Received { sent, .. } => sent.len(),
            _ => 1,
        }
    }

    /// It is not routed, and holds its member back no more.
    pub(crate) fn give_up(self) {
        match self {
            Self::Received {
                gate: Some(gate),
                waits,
                ..
            }
            | Self::Established { gate, waits, .. } => gate.over(waits),
            _ => {}
        }
    }

    /// The parts of a message.
    pub(crate) const fn is_in_parts(&self) -> bool {
        matches!(
            self,
            Self::Received {
                sent: Sent::Parts(_),
                ..
            }
        )
    }

    /// That a member comes, this one.
    pub(crate) fn is_coming_of(&self, member: MemberKey) -> bool {
        matches!(self, Self::Established { key, .. } if *key == member)
    }
}

/// What a panic of the router said, if there was one.
type Routed = Result<(), Box<dyn Any + Send>>;

pub(crate) type OnEvent = Arc<dyn Fn(&HubEvent) + Send + Sync>;

pub(crate) struct Routing<M> {
    router: Box<dyn Router<M>>,
    members: MemberMap<Member<M>>,
    effects: Vec<Effect<M>>,
    outgoing: Outgoing<M>,
    /// Members that leave in parts.
    leaving: BTreeSet<MemberKey>,
    /// What the present event has led to.
    after: After<M>,
    /// What the present event has left to be done. Boxed: it is taken after each event.
    rest: Option<Box<Event<M>>>,
    /// Messages queued for members since the start.
    sent: u64,
}

struct Member<M> {
    facts: Arc<MemberFacts>,
    handle: Handle<M>,
    place: Place,
}

impl<M: Metered> Routing<M> {
    pub(crate) fn new(router: Box<dyn Router<M>>) -> Self {
        Self {
            router,
            members: MemberMap::default(),
            effects: Vec::new(),
            outgoing: Outgoing::new(),
            leaving: BTreeSet::new(),
            after: After::NOTHING,
            rest: None,
            sent: 0,
        }
    }

    /// Goes on where another router was; `effects` are carried out with those of the next event.
    pub(crate) fn resume(router: Box<dyn Router<M>>, effects: Vec<Effect<M>>) -> Self {
        Self {
            effects,
            ..Self::new(router)
        }
    }

    /// A member that the router knows.
    pub(crate) fn enter(&mut self, key: MemberKey, facts: Arc<MemberFacts>, handle: Handle<M>) {
        self.members.insert(key, Member::new(facts, handle));
    }

    /// A member leaves in parts.
    pub(crate) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    pub(crate) fn wake_after(&self) -> Option<Duration> {
        self.router.wake_after()
    }

    pub(crate) fn status(&self) -> HubStatus {
        HubStatus {
            members: self.members.len(),
            routed: self.sent,
        }
    }

    /// What the last event has left to be done, after other events.
    pub(crate) const fn take_rest(&mut self) -> Option<Box<Event<M>>> {
        self.rest.take()
    }

    /// Routes one event, or a part of it. Returns the memory of its messages.
    pub(crate) fn turn(
        &mut self,
        mut event: Event<M>,
        make_router: &(dyn Fn() -> Box<dyn Router<M>> + Send + Sync),
        on_event: &OnEvent,
    ) -> Vec<M> {
        let mut memory = Vec::new();
        let mut sender = match &mut event {
            Event::Received { waits, gate, .. } => gate.take().map(|gate| (*waits, gate)),
            _ => None,
        };
        let routed = match event {
            // A member is not known after a panic of the router: it is about to leave.
            Event::Received { from, .. } if !self.members.contains_key(&from) => Ok(()),
            Event::Received {
                from,
                sent: Sent::Several(msgs),
                ..
            } => {
                memory = msgs;
                self.route_all(from, &mut memory, on_event)
            }
            Event::Received {
                from,
                sent: Sent::One(msg),
                ..
            } => {
                let routed = self.receive(from, msg);
                self.carry_out(on_event, Self::send);
                routed
            }
            Event::Received {
                from,
                sent: Sent::Parts(mut parts),
                waits,
                ..
            } => {
                let routed = match parts.pop_front() {
                    Some(part) => {
                        self.call(|router, _, effects| router.received(from, part, effects))
                    }
                    None => Ok(()),
                };
                if let Some((waited, gate)) = sender
                    .as_mut()
                    .filter(|_| routed.is_ok() && !parts.is_empty())
                {
                    *waited = None;
                    self.rest = Some(Box::new(Event::Received {
                        from,
                        sent: Sent::Parts(parts),
                        gate: Some(gate.clone()),
                        waits,
                    }));
                }
                self.carry_out(on_event, Self::send);
                routed
            }
            Event::Left(key) if self.members.contains_key(&key) => {
                let routed = self.leave(key);
                self.carry_out(on_event, Self::send);
                routed
            }
            event => {
                let gate = match &event {
                    Event::Established { gate, waits, .. } => Some((*waits, gate.clone())),
                    _ => None,
                };
                let routed = self.route(event);
                self.carry_out(on_event, Self::send);
                if let Some((waited, gate)) = gate {
                    gate.over(waited);
                }
                routed
            }
        };
        self.queue_all();
        if let Err(panic) = routed {
            self.start_anew(make_router(), &*panic, on_event);
        }
        if let Some((waited, gate)) = sender
            && (waited.is_some() || !self.after.is_nothing())
        {
            gate.routed(waited, &mut self.after);
        }
        // Nothing waits for what other events have led to.
        self.after.full.clear();
        self.after.refusals = 0;
        self.after.shown = 0;
        memory
    }

    /// Routes messages in order. The effects of each are carried out before the next: so there are never more of them.
    fn route_all(&mut self, from: MemberKey, msgs: &mut Vec<M>, on_event: &OnEvent) -> Routed {
        for msg in msgs.drain(..) {
            self.receive(from, msg)?;
            self.carry_out(on_event, Self::collect);
        }
        Ok(())
    }

    fn route(&mut self, event: Event<M>) -> Routed {
        self.call(|router, members, effects| match event {
            Event::Established {
                key, facts, handle, ..
            } => {
                // First: a router that panics costs this one, too.
                members.insert(key, Member::new(facts.clone(), handle));
                router.established(key, &facts, effects);
            }
            Event::Received { .. } | Event::Left(_) => {}
            Event::Woken => router.woken(effects),
            Event::Inspect(look) | Event::InspectWhole(look) => look(router),
        })
    }

    /// One message, and how much the router shows because of it.
    fn receive(&mut self, from: MemberKey, msg: M) -> Routed {
        let shows = msg.load().presents > 0;
        self.call(|router, _, effects| router.received(from, msg, effects))?;
        if shows {
            for effect in &self.effects {
                if let Effect::Send { msg, .. } = effect
                    && let presents @ 1.. = msg.load().presents
                {
                    self.after.shown += presents as usize + MESSAGE;
                }
            }
        }
        Ok(())
    }

    /// A member leaves, or a part of it.
    fn leave(&mut self, key: MemberKey) -> Routed {
        let mut is_more = false;
        let routed = self.call(|router, members, effects| {
            is_more = router.leaving(key, effects);
            if !is_more {
                members.remove(&key);
                router.left(key, effects);
            }
        });
        if is_more {
            self.leaving.insert(key);
            self.rest = Some(Box::new(Event::Left(key)));
        } else {
            self.leaving.remove(&key);
        }
        routed
    }

    /// Calls the router, and forgets what it wanted if it panics.
    #[inline]
    fn call(
        &mut self,
        call: impl FnOnce(&mut dyn Router<M>, &mut MemberMap<Member<M>>, &mut Vec<Effect<M>>),
    ) -> Routed {
        let (router, members, effects) = (&mut *self.router, &mut self.members, &mut self.effects);
        let called = catch_unwind(AssertUnwindSafe(|| call(router, members, effects)));
        if called.is_err() {
            self.effects.clear();
        }
        called
    }

    /// A router that has panicked is replaced by a new one, without members.
    fn start_anew(
        &mut self,
        router: Box<dyn Router<M>>,
        panic: &(dyn Any + Send),
        on_event: &OnEvent,
    ) {
        for member in mem::take(&mut self.members).into_values() {
            member.handle.abort();
        }
        self.router = router;
        self.leaving.clear();
        let panic = RouterPanicked::new(panic);
        tracing::error!(%panic, "all members are disconnected");
        on_event(&HubEvent::RouterPanicked(panic));
    }

    #[inline]
    fn carry_out(&mut self, on_event: &OnEvent, send: impl Fn(&mut Self, MemberKey, M)) {
        let mut effects = mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to, msg, .. } => send(self, to, msg),
                Effect::Close { member } => self.close(member),
                Effect::Report {
                    diagnostic,
                    member,
                    doc,
                } => {
                    if diagnostic.is_refusal() {
                        self.after.refusals = self.after.refusals.saturating_add(1);
                    }
                    if let Some(member) = self.members.get(&member) {
                        let member = member.facts.clone();
                        on_event(&HubEvent::Diagnostic {
                            member,
                            doc,
                            diagnostic,
                        });
                    }
                }
                // `Effect` may get more variants.
                _ => {}
            }
        }
        // Its memory is used again.
        self.effects = effects;
    }

    /// Queues a message for a member whose connection has not ended: else it is about to leave.
    fn send(&mut self, to: MemberKey, msg: M) {
        if let Some(member) = self.members.get(&to)
            && let Ok(has_room) = member.handle.queue_now(msg)
        {
            self.sent += 1;
            note_full(&mut self.after.full, to, &member.handle, has_room);
        }
    }

    /// A message to be queued at the end of the turn.
    #[inline]
    fn collect(&mut self, to: MemberKey, msg: M) {
        if let Some(member) = self.members.get_mut(&to) {
            self.outgoing.push(to, &mut member.place, msg);
        }
    }

    fn close(&mut self, member: MemberKey) {
        if let Some(member) = self.members.get(&member) {
            if let Some(batch) = self.outgoing.batch(member.place) {
                self.sent += queue(&member.handle, batch).0;
            }
            member.handle.close();
        }
    }

    /// Queues what was collected.
    fn queue_all(&mut self) {
        while let Some((to, batch)) = self.outgoing.last() {
            let Some(member) = self.members.get_mut(&to) else {
                // It has left since a turn that a panic of `on_event` has ended. Its place will be another member's.
                *batch = MessageBatch::new();
                continue;
            };
            member.place = Place::default();
            let (sent, has_room) = queue(&member.handle, batch);
            self.sent += sent;
            note_full(&mut self.after.full, to, &member.handle, has_room);
        }
        self.outgoing.rest();
    }
}

impl<M> Member<M> {
    fn new(facts: Arc<MemberFacts>, handle: Handle<M>) -> Self {
        let place = Place::default();
        Self {
            facts,
            handle,
            place,
        }
    }
}

/// How many messages were queued, and whether there is room for more.
fn queue<M: Message>(handle: &Handle<M>, batch: &mut MessageBatch<M>) -> (u64, bool) {
    let count = batch.len() as u64;
    match handle.queue_all_now(batch) {
        Ok(has_room) => (count, has_room),
        // Its connection has ended: it is about to leave.
        Err(_) => {
            *batch = MessageBatch::new();
            (0, true)
        }
    }
}

fn note_full<M>(
    full: &mut Vec<(MemberKey, Handle<M>)>,
    to: MemberKey,
    handle: &Handle<M>,
    has_room: bool,
) {
    if !has_room && !full.iter().any(|(known, _)| *known == to) {
        full.push((to, handle.clone()));
    }
}
