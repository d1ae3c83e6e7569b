//! The state of a bus in this process: its member, the hub while it listens, and what goes between them and the
//! connections.
//!
//! In: connections that come and end, their payloads, messages of the user's. Out: frames in the outboxes of
//! connections, deliveries in the inbox, futures that are resolved. May touch: one lock, tokio's timers. No code of a
//! user runs under the lock: wakers and futures are woken after it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds_bus::{
    ConnectionKey, Copies, DownFrame, Hub, HubEffect, HubEvent, Member, MemberConfig, MemberEffect,
    MemberEvent, MemberId, NotAccepted, SeqNo, SlowPolicy, UpFrame,
};
use kyneta_uds_core::{Credentials, PeerId, ignore_poison};
use kyneta_uds_negotiate::Role;
use kyneta_uds_queue::Handle;
use tokio::{
    runtime,
    sync::{Notify, Semaphore, oneshot, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    channel::{MAGIC, hello},
    event::{BusCounts, BusEvent, BusEvents},
    inbox::{Delivery, Inbox},
    info::MemberInfo,
    input::{DownInput, Input, UpInput},
    outbox::{DownBox, Up, UpBox},
    refusal::{NotAdmittedToBus, refused},
    request::{Answered, Requests},
    stall::Stall,
    wire::{Body, Greeting, Introduction, Kind, Observation, Passed, VERSIONS, Welcome, Wire},
};
use crate::owners::Owners;

/// The connection of this process's own member, in memory.
const OWN: ConnectionKey = ConnectionKey(0);

/// What an observer has not read yet: beyond it messages are missed.
const MAX_OBSERVED: usize = 1024;

/// How many frames may wait for a member that is to be disconnected when it is slow.
const MAX_BEHIND: usize = 1024;

/// How long a connection may take to greet.
const GREETING: Duration = Duration::from_secs(5);

/// While a member keeps fewer messages than this, it asks for acknowledgements at once.
const FEW: usize = 16;

/// What does not change.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) me: MemberInfo,
    pub(crate) protocols: Vec<String>,
    pub(crate) member: MemberConfig,
    /// How many messages may wait for acknowledgements.
    pub(crate) window: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_message: usize,
    pub(crate) regroup: Duration,
    pub(crate) stall: Duration,
    pub(crate) fast: bool,
}

/// Shared by the handles, the connections and the task that delivers.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Settings,
    core: Mutex<Core>,
    pub(crate) window: Arc<Semaphore>,
    /// Something that was kept is resolved.
    pub(crate) room: Arc<Notify>,
    /// The bytes that are kept.
    pub(crate) kept_bytes: AtomicUsize,
    pub(crate) inbox: Inbox,
    pub(crate) events: BusEvents,
    /// The members that are listed.
    pub(crate) present: watch::Sender<Arc<Present>>,
    /// Why this member was not admitted.
    pub(crate) refused: watch::Sender<Option<NotAdmittedToBus>>,
    /// Cancelled when it has ended.
    pub(crate) ended: CancellationToken,
}

/// The members that are listed, by id.
pub(crate) type Present = BTreeMap<PeerId, Arc<MemberInfo>>;

#[derive(Debug)]
struct Core {
    member: Member<Body>,
    hub: Option<Hub>,
    /// The connection that this side has made.
    up: Option<(u64, Arc<UpBox>)>,
    connections: HashMap<ConnectionKey, Connection>,
    members: HashMap<MemberId, Arc<MemberInfo>>,
    owners: Owners,
    resolving: HashMap<SeqNo, oneshot::Sender<Vec<MemberId>>>,
    requests: Requests,
    next: u64,
    /// The number of other members that the hub has spoken of, once it has welcomed this one.
    welcomed: Option<u32>,
    watches_stalls: bool,
    role: Role,
}

/// An accepted connection.
#[derive(Debug)]
struct Connection {
    outbox: Arc<DownBox>,
    handle: Handle<Wire>,
    credentials: Option<Credentials>,
    member: Option<MemberId>,
    protocol: String,
    slow: SlowPolicy,
    stall: Stall,
    /// How many messages a tap has missed; `None` for all others.
    tap: Option<u64>,
}

/// What is done after the lock is released.
#[derive(Default)]
struct After {
    resolved: Vec<(oneshot::Sender<Vec<MemberId>>, Vec<MemberId>)>,
    answered: Vec<Answered>,
    released: usize,
    kept_bytes: usize,
    ups: Option<Arc<UpBox>>,
    downs: Vec<Arc<DownBox>>,
    closed: Vec<Handle<Wire>>,
    awaited: Vec<MemberId>,
    events: Vec<BusEvent>,
    present: Option<Arc<Present>>,
    refused: Option<NotAdmittedToBus>,
    delivered: bool,
    watch_stalls: bool,
    cancelled: Vec<CancellationToken>,
}

enum Work {
    Hub(HubEvent<Body>),
    Member(MemberEvent<Body>),
}

/// A message that is accepted.
pub(crate) struct Accepted {
    pub(crate) seq: SeqNo,
    /// The members that left before they had it.
    pub(crate) done: oneshot::Receiver<Vec<MemberId>>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, events: BusEvents) -> Arc<Self> {
        let id = settings.me.member_id();
        let window = Arc::new(Semaphore::new(settings.window));
        let core = Core {
            member: Member::new(id.clone(), settings.member.clone()),
            hub: None,
            up: None,
            connections: HashMap::new(),
            members: HashMap::from([(id, Arc::new(settings.me.clone()))]),
            owners: Owners::default(),
            resolving: HashMap::new(),
            requests: Requests::default(),
            next: 1,
            welcomed: None,
            watches_stalls: false,
            role: Role::Negotiating,
        };
        Arc::new(Self {
            settings,
            core: Mutex::new(core),
            window,
            room: Arc::default(),
            kept_bytes: AtomicUsize::new(0),
            inbox: Inbox::default(),
            events,
            present: watch::Sender::new(Arc::default()),
            refused: watch::Sender::new(None),
            ended: CancellationToken::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        ignore_poison(self.core.lock())
    }

    pub(crate) fn me(&self) -> &MemberInfo {
        &self.settings.me
    }

    pub(crate) fn protocols(&self) -> &[String] {
        &self.settings.protocols
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How a hub introduces a member.
    pub(crate) fn introduction(&self, member: &MemberId) -> Introduction {
        let core = self.lock();
        match core.members.get(member) {
            Some(info) => info.introduction(),
            None => Introduction {
                id: member.peer.as_str().to_owned(),
                inc: member.incarnation.0,
                name: None,
                kind: String::new(),
                pid: None,
                uid: None,
                since_ms: None,
                waits: None,
            },
        }
    }

    pub(crate) fn welcome(&self, key: ConnectionKey, hub: &MemberId, present: u32) -> Welcome {
        let core = self.lock();
        let connection = core.connections.get(&key);
        Welcome {
            version: VERSIONS.1,
            protocol: connection.map(|of| of.protocol.clone()).unwrap_or_default(),
            hub: (hub.peer.as_str().to_owned(), hub.incarnation.0),
            present,
        }
    }

    pub(crate) fn next_copy(&self, copies: &mut Copies) -> Option<UpFrame<Body>> {
        self.lock().member.next_copy(copies)
    }

    /// What is kept until it is acknowledged: messages and bytes.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let counts = self.lock().member.counts();
        (counts.kept, counts.kept_bytes)
    }

    /// The last number that was given to a message.
    pub(crate) fn last(&self) -> SeqNo {
        self.lock().member.last()
    }

    /// The member of an id that is listed.
    pub(crate) fn find(&self, id: &PeerId) -> Option<MemberId> {
        let core = self.lock();
        let mut listed = core.member.listed();
        listed.find(|of| of.id.peer == *id).map(|of| of.id.clone())
    }

    /// True when each member that the hub has spoken of is listed.
    pub(crate) fn has_met_all(&self) -> bool {
        let core = self.lock();
        let listed = core.member.listed().filter(|of| of.is_live).count();
        match (&core.hub, core.welcomed) {
            (Some(_), _) => true,
            (None, Some(present)) => listed >= present as usize,
            (None, None) => false,
        }
    }

    /// Accepts a message, whose slot in the window is taken already.
    pub(crate) fn accept(
        self: &Arc<Self>,
        to: Option<MemberId>,
        kind: Kind,
        data: bytes::Bytes,
        request: Option<oneshot::Sender<Result<bytes::Bytes, super::request::RequestError>>>,
    ) -> Result<Accepted, NotAccepted> {
        let (done, receiver) = oneshot::channel();
        let mut after = After::default();
        let mut core = self.lock();
        let at_once = core.member.counts().kept < FEW;
        let size = data.len();
        let body = Body {
            kind,
            at_once,
            data,
        };
        let mut out = Vec::new();
        let seq = core.member.accept(to.clone(), body, size, &mut out)?;
        core.resolving.insert(seq, done);
        if let (Some(request), Some(to)) = (request, to) {
            core.requests.asked(seq, to, request);
        }
        let mut work = VecDeque::new();
        core.member_effects(out, &mut work, &mut after, self);
        core.run(work, &mut after, self);
        drop(core);
        self.carry_out(after);
        Ok(Accepted {
            seq,
            done: receiver,
        })
    }

    /// Answers a request of a member.
    pub(crate) fn answer(
        self: &Arc<Self>,
        to: &MemberId,
        seq: SeqNo,
        kind: Kind,
        data: bytes::Bytes,
    ) {
        if self.lock().requests.cancelled(to, seq).is_some() {
            self.send_beyond(to, kind, data);
        }
    }

    /// A request's answer is not waited for any more.
    pub(crate) fn give_up(self: &Arc<Self>, seq: SeqNo) {
        let of = self.lock().requests.gave_up(seq);
        if let Some(of) = of {
            self.send_beyond(&of, Kind::Cancel(seq.0), bytes::Bytes::new());
        }
    }

    /// Sends beyond the window, to a member that may have left: there are at most as many of these as requests.
    fn send_beyond(self: &Arc<Self>, to: &MemberId, kind: Kind, data: bytes::Bytes) {
        let mut after = After::default();
        let mut core = self.lock();
        let size = data.len();
        let body = Body {
            kind,
            at_once: true,
            data,
        };
        let (mut out, mut work) = (Vec::new(), VecDeque::new());
        if core
            .member
            .accept(Some(to.clone()), body, size, &mut out)
            .is_ok()
        {
            core.member_effects(out, &mut work, &mut after, self);
            core.run(work, &mut after, self);
        }
        drop(core);
        self.carry_out(after);
    }

    /// Messages were handed to the user: their senders are told.
    pub(crate) fn acknowledge(self: &Arc<Self>) {
        self.work([Work::Member(MemberEvent::Acknowledge)]);
    }

    /// This side's connection to a hub is used from now on.
    pub(crate) fn connected(self: &Arc<Self>) -> (u64, Arc<UpBox>) {
        let outbox = Arc::new(UpBox::default());
        let mut after = After::default();
        let mut core = self.lock();
        core.next += 1;
        let number = core.next;
        core.up = Some((number, outbox.clone()));
        core.welcomed = None;
        core.run(
            [Work::Member(MemberEvent::Connected)].into(),
            &mut after,
            self,
        );
        drop(core);
        self.carry_out(after);
        (number, outbox)
    }

    /// It has ended.
    pub(crate) fn disconnected(self: &Arc<Self>, number: u64) {
        let mut after = After::default();
        let mut core = self.lock();
        if core.up.as_ref().is_none_or(|(up, _)| *up != number) {
            return;
        }
        core.up = None;
        core.welcomed = None;
        core.run(
            [Work::Member(MemberEvent::Disconnected)].into(),
            &mut after,
            self,
        );
        drop(core);
        self.carry_out(after);
    }

    /// This process listens from now on, or does not any more.
    pub(crate) fn role(self: &Arc<Self>, role: Role) {
        let mut after = After::default();
        let mut core = self.lock();
        core.role = role;
        after.events.push(BusEvent::Role(role));
        if role == Role::Listener && core.hub.is_none() {
            let me = core.member.id().clone();
            core.up = None;
            core.hub = Some(Hub::new(me));
            core.run(
                [Work::Member(MemberEvent::Connected)].into(),
                &mut after,
                self,
            );
        } else if role != Role::Listener && core.hub.take().is_some() {
            for connection in std::mem::take(&mut core.connections).into_values() {
                after.closed.push(connection.handle);
            }
            core.run(
                [Work::Member(MemberEvent::Disconnected)].into(),
                &mut after,
                self,
            );
        }
        drop(core);
        self.carry_out(after);
    }

    /// A connection was accepted.
    pub(crate) fn accepted(
        self: &Arc<Self>,
        handle: Handle<Wire>,
        credentials: Option<Credentials>,
    ) -> (ConnectionKey, Arc<DownBox>) {
        let outbox = Arc::new(DownBox::new());
        let mut core = self.lock();
        core.next += 1;
        let key = ConnectionKey(core.next);
        let connection = Connection {
            outbox: outbox.clone(),
            handle,
            credentials,
            member: None,
            protocol: String::new(),
            slow: SlowPolicy::Wait,
            stall: Stall::default(),
            tap: None,
        };
        core.connections.insert(key, connection);
        drop(core);
        self.expect_greeting(key);
        (key, outbox)
    }

    /// A connection that says nothing is closed.
    fn expect_greeting(self: &Arc<Self>, key: ConnectionKey) {
        let shared = Arc::downgrade(self);
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            sleep(GREETING).await;
            if let Some(shared) = shared.upgrade() {
                shared.end_silent(key);
            }
        });
    }

    fn end_silent(&self, key: ConnectionKey) {
        let core = self.lock();
        let silent = core.connections.get(&key);
        let silent = silent.filter(|of| of.member.is_none() && of.tap.is_none());
        let Some(handle) = silent.map(|of| of.handle.clone()) else {
            return;
        };
        drop(core);
        handle.close();
        let why = format!("the connection has not greeted within {GREETING:?}");
        self.events.send(BusEvent::Refused {
            id: String::new(),
            error: refused("silent", why).into(),
        });
    }

    /// An accepted connection has ended.
    pub(crate) fn ended(self: &Arc<Self>, key: ConnectionKey) {
        let mut after = After::default();
        let mut core = self.lock();
        if core.connections.remove(&key).is_none() {
            return;
        }
        core.run([Work::Hub(HubEvent::Ended(key))].into(), &mut after, self);
        drop(core);
        self.carry_out(after);
    }

    /// A connection has brought something.
    pub(crate) fn input(self: &Arc<Self>, input: Input) {
        match input {
            Input::Up(key, input) => self.up(key, input),
            Input::Down(number, input) => self.down(number, input),
        }
    }

    fn up(self: &Arc<Self>, key: ConnectionKey, input: UpInput) {
        let mut after = After::default();
        let mut core = self.lock();
        if !core.connections.contains_key(&key) {
            return;
        }
        let mut work = VecDeque::new();
        match input {
            UpInput::Greet(greeting) => core.greet(key, &greeting, &mut work, &mut after, self),
            UpInput::Observe(observation) => core.observe(key, &observation, &mut after),
            UpInput::Acks(acks) => {
                if let Some(connection) = core.connections.get_mut(&key) {
                    for (sender, k) in &acks {
                        connection.stall.acked(sender, *k, Instant::now);
                    }
                }
                work.extend(acks.into_iter().map(|(sender, k)| {
                    let frame = UpFrame::Ack { sender, k };
                    Work::Hub(HubEvent::Frame { from: key, frame })
                }));
            }
            UpInput::Frame(frame) => {
                core.show_taps(key, &frame, &mut after);
                work.push_back(Work::Hub(HubEvent::Frame { from: key, frame }));
            }
        }
        core.run(work, &mut after, self);
        drop(core);
        self.carry_out(after);
    }

    fn down(self: &Arc<Self>, number: u64, input: DownInput) {
        let mut after = After::default();
        let mut core = self.lock();
        if core.up.as_ref().is_none_or(|(up, _)| *up != number) {
            return;
        }
        let mut work = VecDeque::new();
        let mut frame = |frame| work.push_back(Work::Member(MemberEvent::Frame(frame)));
        match input {
            DownInput::Welcome(welcome) => {
                core.welcomed = Some(welcome.present);
                if let Ok(peer) = PeerId::new(welcome.hub.0) {
                    let hub = MemberId::new(peer, kyneta_uds_bus::Incarnation(welcome.hub.1));
                    let present = welcome.present;
                    frame(DownFrame::Welcome { hub, present });
                }
            }
            DownInput::Refused(refused) => {
                after.refused = Some((*refused).into());
            }
            DownInput::Introduced(info) => {
                core.members.insert(info.member_id(), Arc::new(*info));
            }
            DownInput::Acks(acks) => {
                for (receiver, k) in acks {
                    frame(DownFrame::Acked { receiver, k });
                }
            }
            DownInput::Frame(of) => frame(of),
        }
        core.run(work, &mut after, self);
        drop(core);
        self.carry_out(after);
    }

    /// The member leaves for good.
    pub(crate) fn bye(self: &Arc<Self>) {
        let mut after = After::default();
        let mut core = self.lock();
        if let Some((_, outbox)) = &core.up {
            outbox.push(Up::Frame(UpFrame::Bye));
            after.ups = Some(outbox.clone());
        }
        let work = HubEvent::Frame {
            from: OWN,
            frame: UpFrame::Bye,
        };
        if core.hub.is_some() {
            core.run([Work::Hub(work)].into(), &mut after, self);
        }
        drop(core);
        self.carry_out(after);
    }

    /// All is over: whoever waits is told.
    pub(crate) fn over(&self) {
        let mut core = self.lock();
        let resolving = std::mem::take(&mut core.resolving);
        let requests = std::mem::take(&mut core.requests);
        drop(core);
        self.ended.cancel();
        self.window.close();
        self.inbox.close();
        self.room.notify_waiters();
        drop((resolving, requests));
    }

    fn work<const N: usize>(self: &Arc<Self>, work: [Work; N]) {
        let mut after = After::default();
        let mut core = self.lock();
        core.run(work.into(), &mut after, self);
        drop(core);
        self.carry_out(after);
    }

    /// A member that has no connection may come back for a while.
    fn wait_for(self: &Arc<Self>, member: MemberId) {
        let shared = Arc::downgrade(self);
        let regroup = self.settings.regroup;
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            sleep(regroup).await;
            if let Some(shared) = shared.upgrade() {
                shared.work([Work::Hub(HubEvent::WaitOver(member))]);
            }
        });
    }

    /// Members that acknowledge nothing are removed, as long as any owes something.
    fn watch_stalls(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        let stall = self.settings.stall;
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            loop {
                sleep(stall / 4).await;
                let Some(shared) = shared.upgrade() else {
                    break;
                };
                if !shared.end_stalled() {
                    break;
                }
            }
        });
    }

    /// False when none owes anything.
    fn end_stalled(self: &Arc<Self>) -> bool {
        let mut after = After::default();
        let mut core = self.lock();
        let mut work = VecDeque::new();
        let mut owes = false;
        for connection in core.connections.values() {
            let Some(since) = connection.stall.since() else {
                continue;
            };
            owes = true;
            if since.elapsed() >= self.settings.stall
                && let Some(member) = &connection.member
            {
                tracing::warn!(member = ?member.peer, "the member acknowledges nothing: it is disconnected");
                if let Some(info) = core.members.get(member) {
                    after.events.push(BusEvent::Stalled(info.clone()));
                }
                after.closed.push(connection.handle.clone());
                work.push_back(Work::Hub(HubEvent::Removed(member.clone())));
            }
        }
        core.watches_stalls = owes;
        core.run(work, &mut after, self);
        drop(core);
        self.carry_out(after);
        owes
    }

    fn carry_out(self: &Arc<Self>, after: After) {
        self.kept_bytes.store(after.kept_bytes, Ordering::Release);
        if after.released > 0 {
            self.window.add_permits(after.released);
            self.room.notify_waiters();
        }
        for (done, left) in after.resolved {
            let _ = done.send(left);
        }
        for answered in after.answered {
            answered.tell();
        }
        after.cancelled.iter().for_each(CancellationToken::cancel);
        if let Some(outbox) = after.ups {
            outbox.wake();
        }
        after.downs.iter().for_each(|outbox| outbox.wake());
        after.closed.iter().for_each(Handle::close);
        if let Some(present) = after.present {
            self.present.send_replace(present);
        }
        for event in after.events {
            self.events.send(event);
        }
        if let Some(refused) = after.refused {
            self.refused.send_replace(Some(refused));
        }
        if after.delivered {
            self.inbox.wake();
        }
        for member in after.awaited {
            self.wait_for(member);
        }
        if after.watch_stalls {
            self.watch_stalls();
        }
    }

    pub(crate) fn counts(&self) -> BusCounts {
        self.events.counts()
    }
}

impl Core {
    /// Runs the machines until they are still.
    fn run(&mut self, mut work: VecDeque<Work>, after: &mut After, shared: &Shared) {
        while let Some(next) = work.pop_front() {
            match next {
                Work::Hub(event) => {
                    let mut out = Vec::new();
                    if let Some(hub) = &mut self.hub {
                        hub.handle(event, &mut out);
                    }
                    self.hub_effects(out, &mut work, after);
                }
                Work::Member(event) => {
                    let mut out = Vec::new();
                    self.member.handle(event, &mut out);
                    self.member_effects(out, &mut work, after, shared);
                }
            }
        }
        after.kept_bytes = self.member.counts().kept_bytes;
    }

    fn hub_effects(
        &mut self,
        effects: Vec<HubEffect<Body>>,
        work: &mut VecDeque<Work>,
        after: &mut After,
    ) {
        for effect in effects {
            match effect {
                HubEffect::Send { to: OWN, frame } => {
                    work.push_back(Work::Member(MemberEvent::Frame(frame)));
                }
                HubEffect::Send { to, frame } => {
                    let Some(connection) = self.connections.get_mut(&to) else {
                        continue;
                    };
                    match &frame {
                        DownFrame::Msg { sender, message } => {
                            let owes = connection.stall.sent(sender, message.n, Instant::now);
                            if owes && !std::mem::replace(&mut self.watches_stalls, true) {
                                after.watch_stalls = true;
                            }
                        }
                        DownFrame::Left(member) => connection.stall.forget(member),
                        _ => {}
                    }
                    let waiting = connection.outbox.push(frame);
                    after.downs.push(connection.outbox.clone());
                    if waiting > MAX_BEHIND
                        && connection.slow == SlowPolicy::Disconnect
                        && let Some(member) = &connection.member
                    {
                        work.push_back(Work::Hub(HubEvent::Removed(member.clone())));
                    }
                }
                HubEffect::Close(key) => {
                    if let Some(connection) = self.connections.remove(&key) {
                        after.closed.push(connection.handle);
                    }
                }
                HubEffect::Awaited(member) => after.awaited.push(member),
                HubEffect::Left(member) => {
                    if let Some(uid) = self.members.get(&member).and_then(|info| info.uid) {
                        self.owners.departed(&member.peer, uid);
                    }
                }
                // There are no links, and there may be more effects.
                _ => {}
            }
        }
    }

    fn member_effects(
        &mut self,
        effects: Vec<MemberEffect<Body>>,
        work: &mut VecDeque<Work>,
        after: &mut After,
        shared: &Shared,
    ) {
        let own = |frame| Work::Hub(HubEvent::Frame { from: OWN, frame });
        for effect in effects {
            match effect {
                MemberEffect::Send(frame) => match &self.up {
                    Some((_, outbox)) => {
                        outbox.push(Up::Frame(frame));
                        after.ups = Some(outbox.clone());
                    }
                    None => {
                        self.show_taps(OWN, &frame, after);
                        work.push_back(own(frame));
                    }
                },
                MemberEffect::SendCopies(mut copies) => match &self.up {
                    Some((_, outbox)) => {
                        outbox.push(Up::Copies(copies));
                        after.ups = Some(outbox.clone());
                    }
                    None => {
                        while let Some(frame) = self.member.next_copy(&mut copies) {
                            work.push_back(own(frame));
                        }
                    }
                },
                MemberEffect::Deliver { sender, message } => {
                    let info = self.info(&sender);
                    match message.body.kind {
                        Kind::Answer(of) => {
                            shared.inbox.push(Delivery::Handled);
                            let answer = Ok(message.body.data);
                            let seq = SeqNo(of);
                            after
                                .answered
                                .extend(self.requests.answered(seq, &sender, answer));
                        }
                        Kind::Failure(of) => {
                            shared.inbox.push(Delivery::Handled);
                            let text = String::from_utf8_lossy(&message.body.data).into_owned();
                            let failed = Err(super::request::RequestError::Failed(text));
                            let seq = SeqNo(of);
                            after
                                .answered
                                .extend(self.requests.answered(seq, &sender, failed));
                        }
                        Kind::Cancel(of) => {
                            shared.inbox.push(Delivery::Handled);
                            after
                                .cancelled
                                .extend(self.requests.cancelled(&sender, SeqNo(of)));
                        }
                        Kind::Plain | Kind::Request => {
                            let cancel = match message.body.kind {
                                Kind::Request => Some(self.requests.asks(&sender, message.n)),
                                _ => None,
                            };
                            shared.inbox.push(Delivery::Message {
                                from: info,
                                seq: message.n,
                                to_me: message.addressed,
                                at_once: message.body.at_once,
                                data: message.body.data,
                                request: cancel,
                            });
                        }
                    }
                    after.delivered = true;
                }
                MemberEffect::Missed { sender, count } => {
                    let info = self.info(&sender);
                    shared
                        .inbox
                        .push(Delivery::Event(BusEvent::Missed { from: info, count }));
                    after.delivered = true;
                }
                MemberEffect::Resolved { n, left } => {
                    if let Some(done) = self.resolving.remove(&n) {
                        after.resolved.push((done, left));
                        after.released += 1;
                    }
                }
                MemberEffect::Present(member) => {
                    let info = self.info(&member);
                    self.list(after);
                    shared.inbox.push(Delivery::Event(BusEvent::Joined(info)));
                    after.delivered = true;
                }
                MemberEffect::Absent(member) => {
                    let info = self.info(&member);
                    after.answered.extend(self.requests.left(&member));
                    self.list(after);
                    shared.inbox.push(Delivery::Event(BusEvent::Left(info)));
                    after.delivered = true;
                    if self.hub.is_none() {
                        self.members.remove(&member);
                    }
                }
                MemberEffect::Refused(why) => {
                    after.refused = Some(super::refusal::of_hub(why).into());
                }
                // There may be more effects.
                _ => {}
            }
        }
    }

    fn info(&self, member: &MemberId) -> Arc<MemberInfo> {
        self.members.get(member).cloned().unwrap_or_else(|| {
            let identity = kyneta_uds_core::Identity::new(
                member.peer.clone(),
                kyneta_uds_core::PeerType::Service,
            );
            Arc::new(MemberInfo::new(&identity, member.incarnation, None))
        })
    }

    /// The list of members has changed.
    fn list(&self, after: &mut After) {
        let listed = self.member.listed();
        let present = listed.map(|of| (of.id.peer.clone(), self.info(of.id)));
        after.present = Some(Arc::new(present.collect()));
    }

    /// A connection introduces itself as a member.
    fn greet(
        &mut self,
        key: ConnectionKey,
        greeting: &Greeting,
        work: &mut VecDeque<Work>,
        after: &mut After,
        shared: &Shared,
    ) {
        match self.admit(key, greeting, shared) {
            Ok(frame) => work.push_back(Work::Hub(HubEvent::Frame {
                from: key,
                frame: UpFrame::Hello(frame),
            })),
            Err(why) => {
                tracing::info!(member = ?greeting.me.id, why = %why.why, "a member is not admitted");
                after.events.push(BusEvent::Refused {
                    id: greeting.me.id.chars().take(256).collect(),
                    error: why.clone().into(),
                });
                if let Some(connection) = self.connections.get(&key) {
                    connection.outbox.push_wire(Wire::Refuse(Box::new(why)));
                    after.downs.push(connection.outbox.clone());
                    after.closed.push(connection.handle.clone());
                }
            }
        }
    }

    fn admit(
        &mut self,
        key: ConnectionKey,
        greeting: &Greeting,
        shared: &Shared,
    ) -> Result<kyneta_uds_bus::Hello, super::wire::Refused> {
        if greeting.bus != MAGIC {
            return Err(refused(
                "not-a-bus",
                "the connection does not speak the protocol of this bus",
            ));
        }
        let (lo, hi) = (greeting.lo, greeting.hi);
        if lo > VERSIONS.1 || hi < VERSIONS.0 {
            let ours = format!("{} to {}", VERSIONS.0, VERSIONS.1);
            let why =
                format!("the listener speaks versions {ours} of the bus, this member {lo} to {hi}");
            return Err(refused("version", why));
        }
        let ours = shared.protocols();
        let Some(protocol) = greeting.protocols.iter().find(|of| ours.contains(of)) else {
            let list = |of: &[String]| {
                let named: Vec<_> = of.iter().take(8).map(|name| format!("{name:?}")).collect();
                if named.is_empty() {
                    "no protocol".to_owned()
                } else {
                    named.join(", ")
                }
            };
            let (ours, theirs) = (list(ours), list(&greeting.protocols));
            let why = format!("the listener's protocol is {ours}, this member's is {theirs}");
            return Err(refused("protocol", why));
        };
        let Some(hello) = hello(greeting) else {
            return Err(refused("id", "an id in the greeting is empty or too long"));
        };
        let Some(connection) = self.connections.get_mut(&key) else {
            return Err(refused("gone", "the connection has ended"));
        };
        let credentials = connection.credentials;
        let uid = credentials.map(|of| of.uid);
        let mut same = self
            .members
            .iter()
            .filter(|(known, _)| known.peer == hello.member.peer);
        let owner = same
            .find_map(|(_, info)| info.uid)
            .or_else(|| self.owners.uid(&hello.member.peer));
        if let Some((owner, uid)) = owner.zip(uid)
            && owner != uid
        {
            let why = format!(
                "the id {:?} belongs to uid {owner}, and this process is of uid {uid}",
                greeting.me.id
            );
            return Err(refused("id-of-another-user", why));
        }
        connection.protocol.clone_from(protocol);
        connection.member = Some(hello.member.clone());
        connection.slow = hello.slow;
        connection.outbox.slow(hello.slow);
        let introduction = Introduction {
            pid: credentials.and_then(|of| of.pid),
            uid,
            ..greeting.me.clone()
        };
        if let Ok(info) = MemberInfo::read(&introduction) {
            self.members.insert(hello.member.clone(), Arc::new(info));
        }
        Ok(hello)
    }

    /// A connection looks on.
    fn observe(&mut self, key: ConnectionKey, observation: &Observation, after: &mut After) {
        let members = Wire::Members(self.who());
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.outbox.push_wire(members);
        after.downs.push(connection.outbox.clone());
        match observation.tap {
            true => connection.tap = Some(0),
            false => after.closed.push(connection.handle.clone()),
        }
    }

    fn who(&self) -> Vec<Introduction> {
        let Some(hub) = &self.hub else {
            return Vec::new();
        };
        let waits: HashMap<_, _> = self
            .connections
            .values()
            .filter_map(|of| Some((of.member.clone()?, of.outbox.len() as u64)))
            .collect();
        let present = hub.members().filter(|of| of.route.is_some());
        present
            .map(|of| {
                let info = self.info(of.id);
                Introduction {
                    since_ms: u64::try_from(info.since.elapsed().as_millis()).ok(),
                    waits: Some(waits.get(of.id).copied().unwrap_or(0)),
                    ..info.introduction()
                }
            })
            .collect()
    }

    /// What a member sends is shown to those that look on.
    fn show_taps(&mut self, from: ConnectionKey, frame: &UpFrame<Body>, after: &mut After) {
        let UpFrame::Msg { to, message } = frame else {
            return;
        };
        if self.connections.values().all(|of| of.tap.is_none()) {
            return;
        }
        let sender = match from {
            OWN => Some(self.member.id().clone()),
            key => self.connections.get(&key).and_then(|of| of.member.clone()),
        };
        let Some(sender) = sender else { return };
        let to: Vec<_> = match to {
            kyneta_uds_bus::Recipients::All => Vec::new(),
            kyneta_uds_bus::Recipients::Listed(members) => members
                .iter()
                .map(|of| of.peer.as_str().to_owned())
                .collect(),
        };
        for connection in self.connections.values_mut() {
            let Some(missed) = &mut connection.tap else {
                continue;
            };
            if connection.outbox.len() >= MAX_OBSERVED {
                *missed += 1;
                continue;
            }
            connection.outbox.push_wire(Wire::Passed(Box::new(Passed {
                from: sender.peer.as_str().to_owned(),
                to: to.clone(),
                n: message.n.0,
                missed: std::mem::take(missed),
                kind: message.body.kind,
                data: message.body.data.clone(),
            })));
            after.downs.push(connection.outbox.clone());
        }
    }
}
