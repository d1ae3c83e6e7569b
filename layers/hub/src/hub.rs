//! The hub: a line of events, and the router for the one task that routes them.
//!
//! In: members that come and go, their messages. Out: what [`Routing`] makes of them. May touch: the line's lock,
//! tokio's spawn. No code of a user runs under the lock: the task at work has taken the router out of it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, Weak, mpsc},
    time::Duration,
};

use kyneta_uds_core::{Message, ignore_poison};
use kyneta_uds_queue::Handle;
use kyneta_uds_relay::{MemberFacts, MemberKey, Router};
use tokio::{runtime, sync::oneshot, task::yield_now, time::sleep};

use crate::{
    event::HubEvent,
    gate::Gate,
    member::Member,
    rates::{Metered, Rates},
    round::Sent,
    routing::{Event, Inspect, OnEvent, Routing},
};

/// How many messages one task routes for others before a task of its own goes on with them.
const MAX_TURNS: usize = 64;

/// While documents are shown, before others are.
pub(crate) const PART_PAUSE: Duration = Duration::from_millis(1);

/// How long a status waits for the task that routes at this moment.
const INSPECT_TIMEOUT: Duration = Duration::from_millis(20);

/// The members of a listener, and the router between them. Cloneable; see the [crate](crate).
pub struct Hub<M> {
    pub(crate) inner: Arc<Inner<M>>,
}

pub(crate) struct Inner<M> {
    pub(crate) line: Mutex<Line<M>>,
    make_router: Box<MakeRouter<M>>,
    on_event: OnEvent,
    pub(crate) rates: Rates,
}

type MakeRouter<M> = dyn Fn() -> Box<dyn Router<M>> + Send + Sync;

pub(crate) struct Line<M> {
    events: VecDeque<Event<M>>,
    /// Messages of which not all parts are routed, and what waits for that.
    in_parts: usize,
    after_parts: Vec<Event<M>>,
    /// Members leave in parts, and others that come wait for that: what they brought would be shown to those that leave, and
    /// make each leave longer than the one before.
    is_leaving: bool,
    after_leaves: VecDeque<Event<M>>,
    /// Absent while a task is at work.
    pub(crate) routing: Option<Box<Routing<M>>>,
    /// Nothing is routed until all members of another process have entered.
    pub(crate) is_held: bool,
    /// Of the last member.
    pub(crate) next_key: u64,
    timer_runs: bool,
    is_closed: bool,
    status: HubStatus,
}

/// What a hub has and has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HubStatus {
    /// Members: connections and local ones.
    pub members: usize,
    /// Messages queued for members since the start, each counted once a receiver.
    pub routed: u64,
}

impl<M: Metered> Hub<M> {
    /// Without members. `make_router` makes the first router, and another after a panic of one.
    pub fn new(make_router: impl Fn() -> Box<dyn Router<M>> + Send + Sync + 'static) -> Self {
        Self::build(Box::new(make_router), Rates::default(), Arc::new(|_| {}))
    }

    fn build(make_router: Box<MakeRouter<M>>, rates: Rates, on_event: OnEvent) -> Self {
        let routing = Box::new(Routing::new(make_router()));
        Self {
            inner: Arc::new(Inner {
                line: Mutex::new(Line {
                    events: VecDeque::new(),
                    in_parts: 0,
                    after_parts: Vec::new(),
                    is_leaving: false,
                    after_leaves: VecDeque::new(),
                    routing: Some(routing),
                    is_held: false,
                    next_key: 0,
                    timer_runs: false,
                    is_closed: false,
                    status: HubStatus::default(),
                }),
                make_router,
                on_event,
                rates,
            }),
        }
    }

    /// A hub as [`new`](Self::new), whose members may send as much as `rates` say and whose events go to `on_event`.
    /// It is called by the task that routes: be quick.
    pub fn with(
        make_router: impl Fn() -> Box<dyn Router<M>> + Send + Sync + 'static,
        rates: Rates,
        on_event: impl Fn(&HubEvent) + Send + Sync + 'static,
    ) -> Self {
        Self::build(Box::new(make_router), rates, Arc::new(on_event))
    }

    /// A connection is a member from now on, until the [`Member`] is dropped. `handle` is its queue, which stays open
    /// as long. A queue with [`Overflow::Fail`](kyneta_uds_queue::Overflow) is not bounded here: use another policy.
    pub fn enter(&self, facts: MemberFacts, handle: Handle<M>) -> Member<M> {
        let facts = Arc::new(facts);
        let key = {
            let mut line = self.inner.lock();
            line.next_key += 1;
            MemberKey(line.next_key)
        };
        let member = Member::new(key, facts.clone(), self.inner.clone(), self.inner.rates);
        self.inner.submit(Event::Established {
            key,
            facts,
            handle,
            gate: member.gate(),
            waits: None,
        });
        member
    }

    /// Routes nothing any more: what members send from now on goes to their handlers alone. For a listener that
    /// ends: the others need not be told of each member that leaves.
    pub fn close(&self) {
        let mut line = self.inner.lock();
        line.is_closed = true;
        let events = line.take();
        let routing = line.routing.take();
        drop(line);
        drop(routing);
        events.into_iter().for_each(Event::give_up);
    }

    /// What it has and has done. What the router keeps is [`Router::counts`], by [`inspect`](Self::inspect).
    pub fn status(&self) -> HubStatus {
        self.inner.lock().status
    }

    /// Lets `look` see the router, between two events. `None` when the hub is closed, or when another task has not
    /// finished an event within 20 ms.
    pub fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Router<M>) -> R + Send + 'static,
    ) -> Option<R> {
        self.seen(look, Event::Inspect)
    }

    /// As [`inspect`](Self::inspect), but between two whole messages: when a member shows many documents in one message, the
    /// router gets it in parts, with other events between. `None` also as long as it has not got all of them.
    ///
    /// ```
    /// use kyneta_uds_hub::Hub;
    /// use kyneta_uds_relay::{Switch, SwitchConfig};
    ///
    /// let hub = Hub::new(|| Box::new(Switch::new(SwitchConfig::default())));
    /// let state = hub.inspect_whole(|router| router.save()).flatten();
    /// assert!(state.is_some()); // for another process
    /// ```
    pub fn inspect_whole<R: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Router<M>) -> R + Send + 'static,
    ) -> Option<R> {
        self.seen(look, Event::InspectWhole)
    }

    fn seen<R: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Router<M>) -> R + Send + 'static,
        event: impl FnOnce(Box<Inspect<M>>) -> Event<M>,
    ) -> Option<R> {
        let (seen, result) = mpsc::sync_channel(1);
        self.inner.submit(event(Box::new(move |router| {
            let _ = seen.try_send(look(router));
        })));
        result.recv_timeout(INSPECT_TIMEOUT).ok()
    }

    /// As [`inspect`](Self::inspect), but waits for the task that routes, however long it takes. `None` when the hub is
    /// closed.
    pub async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Router<M>) -> R + Send + 'static,
    ) -> Option<R> {
        let (seen, result) = oneshot::channel();
        self.inner.submit(Event::Inspect(Box::new(move |router| {
            // The other side may not wait any more.
            let _ = seen.send(look(router));
        })));
        result.await.ok()
    }
}

impl<M: Message> Line<M> {
    /// What is at the front and waits for something else, is put aside.
    #[cold]
    fn put_off(&mut self) {
        while self
            .events
            .front()
            .is_some_and(|event| self.puts_off(event))
        {
            match self.events.pop_front() {
                Some(event @ Event::InspectWhole(_)) => self.after_parts.push(event),
                event => self.after_leaves.extend(event),
            }
        }
    }

    /// What looks at the router between whole messages comes after all parts of one; a member that comes, and its
    /// leave, after those that leave already.
    fn puts_off(&self, event: &Event<M>) -> bool {
        match event {
            Event::InspectWhole(_) => self.in_parts > 0,
            Event::Established { .. } => self.is_leaving,
            Event::Left(member) => self.after_leaves.iter().any(|of| of.is_coming_of(*member)),
            _ => false,
        }
    }

    /// As of the last event that was routed.
    fn leaving(&mut self, is_leaving: bool) {
        self.is_leaving = is_leaving;
        while !is_leaving && let Some(event) = self.after_leaves.pop_back() {
            self.events.push_front(event);
        }
    }

    /// All that is not routed any more.
    fn take(&mut self) -> VecDeque<Event<M>> {
        let mut events = std::mem::take(&mut self.events);
        events.append(&mut self.after_leaves);
        events
    }

    /// The last part of a message is routed.
    fn ends_parts(&mut self) {
        self.in_parts -= 1;
        if self.in_parts == 0 {
            self.events.extend(self.after_parts.drain(..));
        }
    }
}

impl<M: Metered> Inner<M> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Line<M>> {
        ignore_poison(self.line.lock())
    }

    pub(crate) fn report(&self, event: &HubEvent) {
        (self.on_event)(event);
    }

    /// How many members there are, as of the last time that nothing was routed.
    pub(crate) fn members(&self) -> usize {
        self.lock().status.members
    }

    /// A member has sent messages. Their memory, if they are routed already.
    pub(crate) fn received(
        self: &Arc<Self>,
        from: MemberKey,
        sent: Sent<M>,
        gate: &Arc<Gate<M>>,
    ) -> Vec<M> {
        let waits = None;
        let gate = Some(gate.clone());
        self.submit(Event::Received {
            from,
            sent,
            waits,
            gate,
        })
    }

    /// A member has sent a message that is routed in parts.
    pub(crate) fn received_parts(
        self: &Arc<Self>,
        from: MemberKey,
        parts: Vec<M>,
        gate: &Arc<Gate<M>>,
    ) {
        let event = Event::Received {
            from,
            sent: Sent::Parts(parts.into()),
            waits: None,
            gate: Some(gate.clone()),
        };
        self.lock().in_parts += 1;
        self.submit(event.waiting());
    }

    /// A member is gone.
    pub(crate) fn left(self: &Arc<Self>, key: MemberKey) {
        self.submit(Event::Left(key));
    }

    /// Routes an event and those that come meanwhile; or puts it in the line, if another task is at work. Returns memory of
    /// messages that were routed.
    fn submit(self: &Arc<Self>, event: Event<M>) -> Vec<M> {
        let mut line = self.lock();
        if line.is_closed {
            drop(line);
            event.give_up();
            return Vec::new();
        }
        if line.is_held {
            line.events.push_back(event.waiting());
            return Vec::new();
        }
        match (line.events.is_empty(), line.routing.take()) {
            (true, Some(routing)) if !line.puts_off(&event) => {
                drop(line);
                self.work(routing, Some(event))
            }
            (_, routing) => {
                line.events.push_back(event.waiting());
                drop(line);
                routing.map_or_else(Vec::new, |routing| self.work(routing, None))
            }
        }
    }

    pub(crate) fn work(
        self: &Arc<Self>,
        routing: Box<Routing<M>>,
        mut first: Option<Event<M>>,
    ) -> Vec<M> {
        let mut at_work = AtWork {
            inner: self,
            routing: Some(routing),
        };
        let (mut turns, mut memory) = (0, Vec::new());
        while let Some(event) = first.take().or_else(|| at_work.next(turns)) {
            turns += event.messages();
            let is_part = event.is_in_parts();
            if let Some(routing) = &mut at_work.routing {
                let emptied = routing.turn(event, &*self.make_router, &self.on_event);
                match routing.take_rest() {
                    Some(rest) => first = self.put_off(*rest),
                    None if is_part => self.ends_parts(),
                    None => {}
                }
                if memory.capacity() == 0 {
                    memory = emptied;
                }
            }
        }
        memory
    }

    #[cold]
    fn ends_parts(&self) {
        self.lock().ends_parts();
    }

    /// Goes on with a part of an event later, in a task of its own. Without a runtime what is in parts are members that leave
    /// with it: gives the event back, for now.
    #[cold]
    fn put_off(self: &Arc<Self>, rest: Event<M>) -> Option<Event<M>> {
        let Ok(runtime) = runtime::Handle::try_current() else {
            return Some(rest);
        };
        let pauses = rest.is_in_parts();
        let rest = Rest {
            inner: self.clone(),
            event: Some(rest),
        };
        runtime.spawn(async move {
            // Dropped at the end, or with its runtime: members may be on several.
            let _rest = rest;
            match pauses {
                // The members that it shows documents to read them meanwhile.
                true => sleep(PART_PAUSE).await,
                false => yield_now().await,
            }
        });
        None
    }

    /// Goes on with the line in a task of its own.
    fn go_on_later(self: &Arc<Self>) {
        let inner = self.clone();
        let go_on = move || {
            let routing = inner.lock().routing.take();
            if let Some(routing) = routing {
                inner.work(routing, None);
            }
        };
        match runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                yield_now().await;
                go_on();
            })),
            // What waits are members that leave with their runtime.
            Err(_) => go_on(),
        }
    }

    /// Wakes the router after some time. Keeps no hub alive.
    fn wake_router_after(self: &Arc<Self>, after: Duration) {
        let Ok(runtime) = runtime::Handle::try_current() else {
            self.lock().timer_runs = false;
            return;
        };
        let hub: Weak<Self> = Arc::downgrade(self);
        runtime.spawn(async move {
            sleep(after).await;
            if let Some(inner) = hub.upgrade() {
                inner.lock().timer_runs = false;
                inner.submit(Event::Woken);
            }
        });
    }
}

/// What is left of an event: it goes on when this is dropped.
struct Rest<M: Metered> {
    inner: Arc<Inner<M>>,
    event: Option<Event<M>>,
}

impl<M: Metered> Drop for Rest<M> {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            self.inner.submit(event);
        }
    }
}

/// The task at work has the router. Puts it back, whatever happens.
struct AtWork<'a, M: Metered> {
    inner: &'a Arc<Inner<M>>,
    routing: Option<Box<Routing<M>>>,
}

impl<M: Metered> AtWork<'_, M> {
    /// The next event; `None` when there is none, or when a task of its own goes on.
    fn next(&mut self, turns: usize) -> Option<Event<M>> {
        let routing = self.routing.as_ref()?;
        let (status, wake_after) = (routing.status(), routing.wake_after());
        let is_leaving = routing.is_leaving();
        let mut line = self.inner.lock();
        if line.is_closed {
            let events = line.take();
            drop(line);
            drop(self.routing.take());
            events.into_iter().for_each(Event::give_up);
            return None;
        }
        if is_leaving || line.is_leaving {
            line.leaving(is_leaving);
        }
        if is_leaving || line.in_parts > 0 {
            line.put_off();
        }
        if turns < MAX_TURNS
            && let Some(event) = line.events.pop_front()
        {
            return Some(event);
        }
        line.status = status;
        line.routing = self.routing.take();
        let starts_timer = wake_after.filter(|_| !line.timer_runs);
        line.timer_runs |= starts_timer.is_some();
        let is_left = !line.events.is_empty();
        drop(line);
        if let Some(after) = starts_timer {
            self.inner.wake_router_after(after);
        }
        if is_left {
            self.inner.go_on_later();
        }
        None
    }
}

impl<M: Metered> Drop for AtWork<'_, M> {
    fn drop(&mut self) {
        if let Some(routing) = self.routing.take() {
            self.inner.lock().routing = Some(routing);
        }
    }
}

impl<M> Clone for Hub<M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<M> fmt::Debug for Hub<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for Inner<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}
