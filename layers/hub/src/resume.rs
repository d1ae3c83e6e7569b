//! A hub that goes on where the one of another process was.
//!
//! In: a router that knows its members, the members. Out: the hub. May touch: the line's lock.

use std::sync::Arc;

use kyneta_uds_queue::Handle;
use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Router};

use crate::{
    hub::Hub,
    member::Member,
    rates::Metered,
    routing::{Event, Routing},
};

impl<M: Metered> Hub<M> {
    /// The key of the last member that has entered, for [`resume`](Self::resume) in another process.
    pub fn last_key(&self) -> MemberKey {
        MemberKey(self.inner.lock().next_key)
    }

    /// Goes on with a router that knows members already ([`Router::resume`]), and with the effects of that. No key up to
    /// `last_key` is given to another member. For a hub without members: they enter with [`enter_as`](Self::enter_as),
    /// and nothing is routed until [`go_on`](Self::go_on).
    pub fn resume(&self, router: Box<dyn Router<M>>, effects: Vec<Effect<M>>, last_key: MemberKey) {
        let routing = Box::new(Routing::resume(router, effects));
        let mut line = self.inner.lock();
        let former = line.routing.replace(routing);
        line.is_held = true;
        line.next_key = line.next_key.max(last_key.0);
        drop(line);
        drop(former);
    }

    /// As [`enter`](Self::enter), for a member that the router knows under this key. Between
    /// [`resume`](Self::resume) and [`go_on`](Self::go_on).
    pub fn enter_as(&self, key: MemberKey, facts: MemberFacts, handle: Handle<M>) -> Member<M> {
        let facts = Arc::new(facts);
        if let Some(routing) = &mut self.inner.lock().routing {
            routing.enter(key, facts.clone(), handle);
        }
        Member::new(key, facts, self.inner.clone(), self.inner.rates)
    }

    /// Routes what has come since [`resume`](Self::resume), and goes on.
    pub fn go_on(&self) {
        let mut line = self.inner.lock();
        line.is_held = false;
        let routing = line.routing.take();
        drop(line);
        if let Some(routing) = routing {
            // An event without effects: those of the resumption are carried out with it.
            let first = Event::Inspect(Box::new(|_| ()));
            self.inner.work(routing, Some(first));
        }
    }
}
