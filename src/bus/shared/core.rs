//! What the lock guards: this process's member, the hub while it listens, the members' infos and the connections.
//!
//! In: what a [`Turn`] holds. Out: frames in the outboxes of connections, deliveries in the inbox, and what is to be
//! done after the lock is released. May touch: nothing else.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use kyneta_uds_bus::{
    ConnectionKey, DownFrame, Hub, HubEffect, HubEvent, MachineId, Meeting, Member, MemberEffect,
    MemberEvent, MemberId, Message, SeqNo, SlowPolicy,
};
use kyneta_uds_core::Credentials;
use kyneta_uds_queue::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Aside, Present,
    own::Own,
    turn::{After, Turn, Work},
    windows::load,
};
use crate::{
    bus::{
        event::BusEvent,
        inbox::Delivery,
        info::MemberInfo,
        load::Load,
        outbox::{DownBox, Up, UpBox},
        quick::QuickMap,
        receipts::{Receipt, Receipts},
        refusal,
        request::{RequestError, Requests},
        stall::Stall,
        wire::{Body, Kind, Wire},
    },
    owners::Owners,
};

/// The connection of this process's own member, in memory.
pub(super) const OWN: ConnectionKey = ConnectionKey(0);

/// How many frames may wait for a member that is to be disconnected when it is slow.
pub(super) const MAX_BEHIND: usize = 1024;

/// How many members that are gone stay known: their messages may still wait for others.
const MAX_GONE: usize = 1024;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) member: Member<Body>,
    pub(super) hub: Option<Hub>,
    /// The connection that this side has made.
    pub(super) up: Option<UpBox>,
    /// The accepted ones.
    pub(super) connections: QuickMap<ConnectionKey, Connection>,
    /// Connections that look on, and how many messages each has missed.
    pub(super) taps: BTreeMap<ConnectionKey, u64>,
    #[cfg(feature = "machines")]
    pub(super) links: super::links::Links,
    /// Members that are awaited, the number of the wait that counts, and its start.
    pub(super) awaited: HashMap<MemberId, (u64, Instant)>,
    pub(super) members: QuickMap<MemberId, Arc<MemberInfo>>,
    /// Of these, those that left, or whose connections have ended: the oldest first.
    gone: VecDeque<MemberId>,
    pub(super) owners: Owners,
    pub(super) receipts: Receipts,
    pub(super) requests: Requests,
    /// Connections that are handed over.
    pub(super) aside: HashMap<ConnectionKey, Aside>,
    /// The last message of the state that is handed over.
    pub(super) frozen_at: Option<SeqNo>,
    /// Messages of the process that was here before, whose receipts are not asked for yet.
    pub(super) inherited: Vec<(SeqNo, Receipt)>,
    /// The last number that was given to a connection.
    pub(super) last: u64,
    /// With those that were there when the hub welcomed this member.
    pub(super) meeting: Meeting,
    pub(super) watches_stalls: bool,
    pub(super) own: Own,
    /// Members that have sent more than any window allows: the oldest first.
    pub(super) beyond_window: VecDeque<MemberId>,
    /// The members that are listed, as handles see it.
    pub(super) listed: Present,
    /// What a turn is to run, and lists of effects: empty between uses, their memory is kept.
    pub(super) work: VecDeque<Work>,
    pub(super) member_out: Vec<MemberEffect<Body>>,
    hub_out: Vec<HubEffect<Body>>,
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) outbox: Arc<DownBox>,
    pub(super) handle: Handle<Wire>,
    pub(super) credentials: Option<Credentials>,
    /// Ends it unless it greets in time.
    pub(super) greeting: Option<AbortOnDropHandle<()>>,
    pub(super) member: Option<MemberId>,
    pub(super) protocol: String,
    pub(super) slow: SlowPolicy,
    pub(super) stall: Stall,
    /// It was told all that it is told: what else it says is left out.
    pub(super) is_closing: bool,
}

impl Core {
    pub(super) fn new(member: Member<Body>, me: MemberInfo) -> Self {
        Self {
            members: QuickMap::from_iter([(member.id().clone(), Arc::new(me))]),
            member,
            hub: None,
            up: None,
            connections: QuickMap::default(),
            taps: BTreeMap::new(),
            #[cfg(feature = "machines")]
            links: super::links::Links::default(),
            awaited: HashMap::new(),
            gone: VecDeque::new(),
            owners: Owners::default(),
            receipts: Receipts::default(),
            requests: Requests::default(),
            aside: HashMap::new(),
            frozen_at: None,
            inherited: Vec::new(),
            last: 0,
            meeting: Meeting::default(),
            watches_stalls: false,
            own: Own::default(),
            beyond_window: VecDeque::new(),
            listed: Present::default(),
            work: VecDeque::new(),
            member_out: Vec::new(),
            hub_out: Vec::new(),
        }
    }

    /// A number that no connection has had.
    pub(super) const fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What is known of a member.
    pub(super) fn info(&self, member: &MemberId) -> Arc<MemberInfo> {
        let known = self.members.get(member).cloned();
        known.unwrap_or_else(|| Arc::new(MemberInfo::of_unknown(member)))
    }

    /// The queue of a connection that has neither greeted nor looks on.
    pub(super) fn silent(&self, key: ConnectionKey) -> Option<Handle<Wire>> {
        let connection = self.connections.get(&key)?;
        let is_silent = connection.member.is_none() && !self.taps.contains_key(&key);
        is_silent.then(|| connection.handle.clone())
    }

    /// A connection that is still silent has `timer` end it.
    pub(super) fn greets_within(
        &mut self,
        key: ConnectionKey,
        timer: Option<AbortOnDropHandle<()>>,
    ) {
        if self.silent(key).is_some()
            && let Some(connection) = self.connections.get_mut(&key)
        {
            connection.greeting = timer;
        }
    }

    /// Forgets an accepted connection, and returns what was known of it.
    pub(super) fn remove(&mut self, key: ConnectionKey) -> Option<Connection> {
        self.taps.remove(&key);
        let connection = self.connections.remove(&key)?;
        if let Some(member) = &connection.member {
            self.gone(member.clone());
        }
        Some(connection)
    }

    /// Removes members that have acknowledged nothing for too long, and goes on watching while any owes something.
    pub(super) fn end_stalled(&mut self, turn: &mut Turn<'_>) {
        self.watches_stalls = false;
        for connection in self.connections.values() {
            let Some(since) = connection.stall.since() else {
                continue;
            };
            self.watches_stalls = true;
            if since.elapsed() >= turn.shared.settings.stall
                && let Some(member) = &connection.member
            {
                if let Some(info) = self.members.get(member) {
                    let stalled = BusEvent::Stalled(info.clone());
                    turn.after.events.push(stalled);
                }
                turn.after.closed.push(connection.handle.clone());
                turn.hub(HubEvent::Removed(member.clone()));
            }
        }
        self.end_own_if_stalled(turn);
        turn.after.watch_stalls = self.watches_stalls;
    }

    /// Runs the machines until they are still.
    pub(super) fn run(&mut self, turn: &mut Turn<'_>) {
        while let Some(next) = turn.work.pop_front() {
            match next {
                Work::Hub(event) => {
                    let mut out = std::mem::take(&mut self.hub_out);
                    if let Some(hub) = &mut self.hub {
                        hub.handle(event, &mut out);
                    }
                    self.hub_effects(&mut out, turn);
                    self.hub_out = out;
                }
                Work::Member(MemberEvent::Frame(DownFrame::Msg { sender, message }))
                    if matches!(message.body.kind, Kind::Bundle(_)) =>
                {
                    self.receive_run(&sender, vec![message], turn);
                }
                Work::Member(event) => {
                    match &event {
                        MemberEvent::Frame(DownFrame::Left(member)) => {
                            self.end_requests(member, turn);
                            self.gone(member.clone());
                        }
                        MemberEvent::Frame(DownFrame::Peer(peer))
                            if self.member.is_forgotten(peer) =>
                        {
                            self.end_requests(&peer.receiver, turn);
                        }
                        _ => {}
                    }
                    let mut out = std::mem::take(&mut self.member_out);
                    self.member.handle(event, &mut out);
                    self.member_effects(&mut out, turn);
                    self.member_out = out;
                }
            }
        }
    }

    /// A member has left, or was told that this one has: neither answers the other.
    fn end_requests(&mut self, member: &MemberId, turn: &mut Turn<'_>) {
        let (answered, cancelled) = self.requests.left(member);
        turn.after.answered.extend(answered);
        turn.after.cancelled.extend(cancelled);
    }

    /// A member is awaited, for so long already.
    pub(super) fn await_since(&mut self, member: &MemberId, number: u64, ago: Duration) {
        let now = Instant::now();
        let since = now.checked_sub(ago).unwrap_or(now);
        self.awaited.insert(member.clone(), (number, since));
    }

    /// What others see of a turn without the lock.
    pub(super) fn settle(&mut self, turn: &mut Turn<'_>) {
        turn.after.has_room = turn.shared.store_kept(self);
        if turn.after.delivered && !self.watches_stalls && self.own_member_owes() {
            self.watches_stalls = true;
            turn.after.watch_stalls = true;
        }
        if turn.lists {
            turn.after.present = Some(self.list());
        }
    }

    fn hub_effects(&mut self, effects: &mut Vec<HubEffect<Body>>, turn: &mut Turn<'_>) {
        for effect in effects.drain(..) {
            match effect {
                HubEffect::Send { to: OWN, frame } => {
                    self.frame_to_own(&frame, turn);
                    turn.member(MemberEvent::Frame(frame));
                }
                HubEffect::Send { to, frame } => self.send_down(to, frame, turn),
                HubEffect::Close(OWN) => self.own_member_is_out(turn),
                HubEffect::Close(key) => {
                    turn.after
                        .closed
                        .extend(self.remove(key).map(|of| of.handle));
                }
                HubEffect::Awaited(member) => {
                    // An earlier wait, from which it has come back, does not count any more.
                    let number = self.number();
                    self.await_since(&member, number, Duration::ZERO);
                    turn.after.awaited.push((member, number));
                }
                HubEffect::Left(member) => {
                    let uid = self.members.get(&member).and_then(|info| info.uid);
                    if let Some(uid) = uid.filter(|_| member.machine == MachineId::default()) {
                        self.owners.departed(&member.peer, uid);
                    }
                    self.gone(member);
                }
                #[cfg(feature = "machines")]
                HubEffect::SendLink { to, frame } => self.send_link(to, frame, turn),
                #[cfg(feature = "machines")]
                HubEffect::NotTaken(member) => self.not_taken(member, turn),
                #[cfg(feature = "machines")]
                HubEffect::Outdated(member) => self.gone(member),
                // Without links there is none to send to, and there may be more effects.
                _ => {}
            }
        }
    }

    fn send_down(&mut self, to: ConnectionKey, frame: DownFrame<Body>, turn: &mut Turn<'_>) {
        let Self {
            connections,
            watches_stalls,
            ..
        } = self;
        let Some(connection) = connections.get_mut(&to) else {
            return;
        };
        let mut beyond_window = None;
        match &frame {
            DownFrame::Msg { sender, message } => {
                // What gives way to newer messages is bounded by that.
                let load = match connection.slow.keeps_newest() && !message.addressed {
                    true => Load::default(),
                    false => load(std::slice::from_ref(message)),
                };
                let sent = connection.stall.sent(sender, message.n, load, Instant::now);
                sent.watch(watches_stalls, turn);
                beyond_window = sent.is_beyond_window(turn).then(|| sender.clone());
            }
            DownFrame::Left(member) => connection.stall.forget(member),
            _ => {}
        }
        let waiting = connection.outbox.push(frame);
        turn.after.down(&connection.outbox);
        if waiting > MAX_BEHIND
            && connection.slow == SlowPolicy::Disconnect
            && let Some(member) = &connection.member
        {
            turn.hub(HubEvent::Removed(member.clone()));
        }
        if let Some(sender) = beyond_window {
            self.end_beyond_window(&sender, turn);
        }
    }

    pub(super) fn member_effects(
        &mut self,
        effects: &mut Vec<MemberEffect<Body>>,
        turn: &mut Turn<'_>,
    ) {
        for effect in effects.drain(..) {
            match effect {
                MemberEffect::Send(frame) => match &mut self.up {
                    Some(outbox) => turn.up(outbox, Up::Frame(frame)),
                    None => {
                        self.frame_of_own(&frame);
                        self.show_taps(OWN, &frame, turn);
                        turn.hub(HubEvent::Frame { from: OWN, frame });
                    }
                },
                MemberEffect::SendCopies(mut copies) => match &mut self.up {
                    Some(outbox) => turn.up(outbox, Up::Copies(copies)),
                    None => {
                        while let Some(frame) = self.member.next_copy(&mut copies) {
                            turn.hub(HubEvent::Frame { from: OWN, frame });
                        }
                    }
                },
                MemberEffect::Deliver { sender, message } => self.deliver(&sender, message, turn),
                MemberEffect::Missed { sender, count } => {
                    let from = self.info(&sender);
                    turn.deliver(Delivery::Event(BusEvent::Missed { from, count }));
                }
                MemberEffect::Resolved { numbers, left } => {
                    let After { slots, wakers, .. } = &mut turn.after;
                    *slots += self.receipts.resolve(numbers, left, wakers);
                }
                MemberEffect::Present(member) => {
                    turn.lists = true;
                    turn.deliver(Delivery::Event(BusEvent::Joined(self.info(&member))));
                }
                MemberEffect::Absent(member) => {
                    turn.lists = true;
                    turn.deliver(Delivery::Event(BusEvent::Left(self.info(&member))));
                }
                MemberEffect::Refused(why) => {
                    turn.after.refused = Some(refusal::of_hub(why).into());
                }
                // There may be more effects.
                _ => {}
            }
        }
    }

    /// A message is for the user's handler, or about a request.
    pub(super) fn deliver(
        &mut self,
        sender: &MemberId,
        message: Message<Body>,
        turn: &mut Turn<'_>,
    ) {
        let n = message.n;
        match self.delivery(sender, message, turn) {
            Some(delivery) => self.hand_over(sender, n, delivery, turn),
            None => turn.handled(),
        }
    }

    /// Waits for the user, up to number `n` of its sender.
    pub(super) fn hand_over(
        &mut self,
        sender: &MemberId,
        n: SeqNo,
        delivery: Delivery,
        turn: &mut Turn<'_>,
    ) {
        self.member.waits(sender, n);
        turn.deliver(delivery);
    }

    /// What the user's handler gets of a message: nothing, if it is about a request.
    fn delivery(
        &mut self,
        sender: &MemberId,
        message: Message<Body>,
        turn: &mut Turn<'_>,
    ) -> Option<Delivery> {
        let request = match message.body.kind {
            Kind::Plain | Kind::Bundle(_) => None,
            Kind::Request => Some(self.requests.asks(sender, message.n)),
            Kind::Answer(of) => {
                let answered = self
                    .requests
                    .answered(SeqNo(of), sender, Ok(message.body.data));
                turn.after.answered.extend(answered);
                return None;
            }
            Kind::Failure(of) => {
                let why = String::from_utf8_lossy(&message.body.data).into_owned();
                let failed = Err(RequestError::Failed(why));
                let answered = self.requests.answered(SeqNo(of), sender, failed);
                turn.after.answered.extend(answered);
                return None;
            }
            Kind::Cancel(of) => {
                let cancelled = self.requests.cancelled(sender, SeqNo(of));
                turn.after.cancelled.extend(cancelled);
                return None;
            }
        };
        Some(Delivery::Message {
            from: self.info(sender),
            message,
            request,
        })
    }

    /// Lists the members anew.
    pub(super) fn list(&mut self) -> Present {
        let listed = self.member.listed();
        let members = listed.map(|of| (of.id.peer.clone(), self.info(of.id)));
        self.listed = Present {
            version: self.listed.version + 1,
            members: Arc::new(members.collect()),
        };
        self.listed.clone()
    }

    /// A member left, or its connection has ended. Unless it comes back, its info is forgotten when many others are
    /// gone after it.
    pub(super) fn gone(&mut self, member: MemberId) {
        self.gone.push_back(member);
        if self.gone.len() <= MAX_GONE {
            return;
        }
        let Some(member) = self.gone.pop_front() else {
            return;
        };
        let hub = self.hub.as_ref();
        let is_known = hub.is_some_and(|hub| hub.members().any(|of| *of.id == member));
        let is_listed = self.member.listed().any(|of| *of.id == member);
        if !is_known && !is_listed && member != *self.member.id() {
            self.members.remove(&member);
        }
    }

    /// Of the members that another process knew, those that are gone are forgotten when many others are gone after them.
    pub(super) fn forget_later(&mut self) {
        let connected = self
            .connections
            .values()
            .filter_map(|of| of.member.as_ref());
        let connected: HashSet<_> = connected.chain([self.member.id()]).collect();
        let gone = self.members.keys().filter(|id| !connected.contains(id));
        self.gone = gone.cloned().collect();
    }

    /// The infos that a former hub has given of members that are not known here.
    pub(super) fn forget_unknown(&mut self) {
        let member = &self.member;
        let listed = member.listed().map(|of| of.id);
        let known: HashSet<_> = listed
            .chain(member.senders().map(|of| of.id))
            .chain([member.id()])
            .collect();
        self.members.retain(|id, _| known.contains(id));
        self.gone.clear();
    }
}
