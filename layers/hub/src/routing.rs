//! The router and the members' queues: what the one task works with that routes at a time.
//!
//! In: events. Out: messages in the members' queues, reports. May touch: those queues.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use kyneta_uds_core::Message;
use kyneta_uds_queue::Handle;
use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, MemberMap, Router};

use crate::{
    event::{HubEvent, RouterPanicked},
    gate::Gate,
    hub::HubStatus,
};

/// What happens to a hub.
pub(crate) enum Event<M> {
    /// A member is there.
    Established {
        key: MemberKey,
        facts: Arc<MemberFacts>,
        handle: Handle<M>,
    },
    /// It has sent something.
    Received {
        from: MemberKey,
        msg: M,
        /// What holds it back; absent while the event is routed.
        gate: Option<Arc<Gate<M>>>,
        /// Its size, if it has waited in the line.
        waits: Option<usize>,
    },
    /// It is gone.
    Left(MemberKey),
    /// The router's time has passed.
    Woken,
    /// Something looks at the router.
    Inspect(Box<Inspect<M>>),
}

pub(crate) type Inspect<M> = dyn FnOnce(&dyn Router<M>) + Send;

impl<M: Message> Event<M> {
    /// It waits in the line: a message holds its member back.
    pub(crate) fn waiting(mut self) -> Self {
        if let Self::Received {
            msg,
            gate: Some(gate),
            waits,
            ..
        } = &mut self
        {
            let size = msg.size();
            gate.handed_in(size);
            *waits = Some(size);
        }
        self
    }
}

pub(crate) type OnEvent = Arc<dyn Fn(&HubEvent) + Send + Sync>;

pub(crate) struct Routing<M> {
    router: Box<dyn Router<M>>,
    members: MemberMap<Member<M>>,
    effects: Vec<Effect<M>>,
    /// The queues that the present event has filled.
    full: Vec<(MemberKey, Handle<M>)>,
    /// Messages queued for members since the start.
    sent: u64,
}

struct Member<M> {
    facts: Arc<MemberFacts>,
    handle: Handle<M>,
}

impl<M: Message> Routing<M> {
    pub(crate) fn new(router: Box<dyn Router<M>>) -> Self {
        Self {
            router,
            members: MemberMap::default(),
            effects: Vec::new(),
            full: Vec::new(),
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
        self.members.insert(key, Member { facts, handle });
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

    /// Routes one event. A router that panics is replaced by a new one, without members.
    pub(crate) fn turn(
        &mut self,
        mut event: Event<M>,
        make_router: &(dyn Fn() -> Box<dyn Router<M>> + Send + Sync),
        on_event: &OnEvent,
    ) {
        let sender = match &mut event {
            Event::Received { waits, gate, .. } => gate.take().map(|gate| (*waits, gate)),
            _ => None,
        };
        let routed = catch_unwind(AssertUnwindSafe(|| self.route(event)));
        match routed {
            Ok(()) => self.carry_out(on_event),
            Err(panic) => {
                self.effects.clear();
                for member in mem::take(&mut self.members).into_values() {
                    member.handle.abort();
                }
                self.router = make_router();
                let panic = RouterPanicked::new(&*panic);
                tracing::error!(%panic, "all members are disconnected");
                on_event(&HubEvent::RouterPanicked(panic));
            }
        }
        if let Some((waited, gate)) = sender
            && (waited.is_some() || !self.full.is_empty())
        {
            gate.routed(waited, &mut self.full);
        }
        // Nothing waits for what other events have filled.
        self.full.clear();
    }

    fn route(&mut self, event: Event<M>) {
        let Self {
            router,
            members,
            effects,
            ..
        } = self;
        match event {
            Event::Established { key, facts, handle } => {
                router.established(key, &facts, effects);
                members.insert(key, Member { facts, handle });
            }
            // A member is not known after a panic of the router: it is about to leave.
            Event::Received { from, msg, .. } if members.contains_key(&from) => {
                router.received(from, msg, effects);
            }
            Event::Left(key) if members.remove(&key).is_some() => router.left(key, effects),
            Event::Received { .. } | Event::Left(_) => {}
            Event::Woken => router.woken(effects),
            Event::Inspect(look) => look(&**router),
        }
    }

    fn carry_out(&mut self, on_event: &OnEvent) {
        let mut effects = mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to, msg, .. } => self.send(to, msg),
                Effect::Close { member } => {
                    if let Some(member) = self.members.get(&member) {
                        member.handle.close();
                    }
                }
                Effect::Report {
                    diagnostic,
                    member,
                    doc,
                } => {
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

    fn send(&mut self, to: MemberKey, msg: M) {
        let Some(member) = self.members.get(&to) else {
            return;
        };
        // A member whose connection has ended is about to leave.
        if let Ok(has_room) = member.handle.queue_now(msg) {
            self.sent += 1;
            if !has_room && !self.full.iter().any(|(known, _)| *known == to) {
                self.full.push((to, member.handle.clone()));
            }
        }
    }
}
