//! Processes with a member each, hubs, connections and links, and everything that may happen to them.
//!
//! A connection is two queues. When it is cut, each end may read any part of what is on its way before it notices.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroU32,
};

use kyneta_uds_bus::{
    ConnectionKey, Copies, DownFrame, Hub, HubEffect, HubEvent, LinkFrame, MachineId, Member,
    MemberConfig, MemberEffect, MemberEvent, MemberId, MemberQueue, Route, SeqNo, SlowPolicy,
    UpFrame,
};

use crate::observer::{Body, Observer, Who};

pub(crate) const WINDOW: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) machine: usize,
    pub(crate) life: u8,
    pub(crate) slow: SlowPolicy,
    pub(crate) member: Option<Member<Body>>,
    /// What waits for the user.
    inbox: VecDeque<(MemberId, SeqNo)>,
    /// The connection that the member reads.
    pub(crate) connection: Option<u64>,
}

/// What a member has written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Up {
    Frame(UpFrame<Body>),
    Copies(Copies),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    pub(crate) process: usize,
    pub(crate) machine: usize,
    up: VecDeque<Up>,
    down: MemberQueue<Body>,
    /// The ends that have not noticed an end.
    pub(crate) member_open: bool,
    pub(crate) hub_open: bool,
    pub(crate) cut: bool,
}

impl Connection {
    /// The member writes no more: copies that are not drawn, and what stands behind them, never went out.
    fn end_writing(&mut self) {
        let undrawn = self.up.iter().position(|up| matches!(up, Up::Copies(_)));
        self.up.truncate(undrawn.unwrap_or(self.up.len()));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Link {
    pub(crate) ends: [usize; 2],
    /// What each end has to read.
    inbound: [VecDeque<LinkFrame<Body>>; 2],
    pub(crate) open: [bool; 2],
    pub(crate) cut: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HubAt {
    pub(crate) host: usize,
    pub(crate) hub: Hub,
}

/// How a world behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    /// Members that live may be declared left.
    pub(crate) departures: bool,
    /// Copies are drawn when the hub reads them, not when they are written.
    pub(crate) lazy: bool,
    /// A member acknowledges after each frame, not at events of their own.
    pub(crate) ack_always: bool,
    /// What is delivered waits for the user.
    pub(crate) inbox: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    rules: Rules,
    pub(crate) processes: Vec<Process>,
    pub(crate) hubs: Vec<Option<HubAt>>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) links: Vec<Link>,
    next_connection: u64,
    pub(crate) observer: Observer,
    /// The first thing that must not be.
    pub(crate) broken: Option<String>,
}

impl World {
    pub(crate) fn new(rules: Rules, machines: usize) -> Self {
        Self {
            rules,
            processes: Vec::new(),
            hubs: vec![None; machines],
            connections: BTreeMap::new(),
            links: Vec::new(),
            next_connection: 0,
            observer: Observer::default(),
            broken: None,
        }
    }

    /// A process joins. Its first life is 0.
    pub(crate) fn join(&mut self, machine: usize, newest: Option<u32>) {
        let slow = newest
            .and_then(NonZeroU32::new)
            .map_or(SlowPolicy::Wait, SlowPolicy::Newest);
        self.processes.push(Process {
            machine,
            life: 0,
            slow,
            member: None,
            inbox: VecDeque::new(),
            connection: None,
        });
        self.start(self.processes.len() - 1);
    }

    fn start(&mut self, process: usize) {
        let who = self.who(process);
        let at = &mut self.processes[process];
        let config = MemberConfig::default().max_messages(WINDOW).slow(at.slow);
        at.member = Some(Member::new(who.id(at.machine), config));
        at.inbox.clear();
        at.connection = None;
    }

    pub(crate) fn restart(&mut self, process: usize) {
        self.processes[process].life += 1;
        self.start(process);
    }

    pub(crate) fn who(&self, process: usize) -> Who {
        Who {
            process: u8::try_from(process).unwrap(),
            life: self.processes[process].life,
        }
    }

    pub(crate) fn is_alive(&self, process: usize) -> bool {
        self.processes[process].member.is_some()
    }

    pub(crate) fn living(&self) -> BTreeSet<Who> {
        let all = 0..self.processes.len();
        let living = all.filter(|process| self.is_alive(*process));
        living.map(|process| self.who(process)).collect()
    }

    fn fail(&mut self, result: Result<(), String>) {
        if let Err(why) = result
            && self.broken.is_none()
        {
            self.broken = Some(why);
        }
    }

    // Processes.

    pub(crate) fn die(&mut self, process: usize) {
        let who = self.who(process);
        self.observer.died(who);
        let at = &mut self.processes[process];
        at.member = None;
        if let Some(key) = at.connection.take() {
            self.close_member_end(key);
        }
        let machine = self.processes[process].machine;
        if self.hubs[machine]
            .as_ref()
            .is_some_and(|hub| hub.host == process)
        {
            self.hubs[machine] = None;
            let keys = self
                .connections
                .iter()
                .filter(|(_, at)| at.machine == machine && at.hub_open);
            let keys: Vec<_> = keys.map(|(key, _)| *key).collect();
            keys.into_iter().for_each(|key| self.close_hub_end(key));
            for link in &mut self.links {
                for end in 0..2 {
                    if link.ends[end] == machine {
                        link.open[end] = false;
                        link.cut = true;
                    }
                }
            }
            self.links.retain(|link| link.open != [false; 2]);
        }
    }

    /// Says goodbye, and ends.
    pub(crate) fn bye(&mut self, process: usize) {
        if let Some(key) = self.processes[process].connection {
            self.write(key, Up::Frame(UpFrame::Bye));
        }
        self.die(process);
    }

    /// A process listens. Its own member is connected first, over a queue in memory that ends with the process.
    pub(crate) fn become_hub(&mut self, process: usize) {
        let machine = self.processes[process].machine;
        let hub = Hub::new(self.who(process).id(machine));
        let host = process;
        self.hubs[machine] = Some(HubAt { host, hub });
        self.connect(process);
        let key = self.processes[process].connection;
        key.into_iter().for_each(|key| self.read_up(key));
    }

    pub(crate) fn connect(&mut self, process: usize) {
        let at = &mut self.processes[process];
        let key = self.next_connection;
        self.next_connection += 1;
        self.connections.insert(
            key,
            Connection {
                process,
                machine: at.machine,
                up: VecDeque::new(),
                down: MemberQueue::new(at.slow),
                member_open: true,
                hub_open: true,
                cut: false,
            },
        );
        if let Some(last) = at.connection.replace(key) {
            self.close_member_end(last);
        }
        self.tell_member(process, MemberEvent::Connected);
    }

    /// The user gets what waits longest. False when nothing waits.
    pub(crate) fn take(&mut self, process: usize) -> bool {
        let me = self.who(process);
        let at = &mut self.processes[process];
        let (Some(member), Some((sender, n))) = (&mut at.member, at.inbox.pop_front()) else {
            return false;
        };
        member.got(&sender, n);
        self.observer.got(me, Who::of(&sender), n.0);
        true
    }

    pub(crate) fn acknowledge(&mut self, process: usize) {
        self.tell_member(process, MemberEvent::Acknowledge);
    }

    /// A member accepts a message, if it has room.
    pub(crate) fn publish(&mut self, process: usize, to: Option<usize>) {
        let sender = self.who(process);
        let to = to.map(|to| self.who(to).id(self.processes[to].machine));
        let Some(member) = &mut self.processes[process].member else {
            return;
        };
        let listed: BTreeSet<Who> = member
            .listed()
            .map(|receiver| Who::of(receiver.id))
            .collect();
        let n = member.last().0 + 1;
        let (audience, owed) = match &to {
            Some(to) => {
                let one: BTreeSet<_> = listed
                    .into_iter()
                    .filter(|who| *who == Who::of(to))
                    .collect();
                (one.clone(), one)
            }
            None => {
                let keeps_all = |who: &Who| {
                    matches!(
                        self.processes[usize::from(who.process)].slow,
                        SlowPolicy::Wait
                    )
                };
                let owed = listed.iter().copied().filter(keeps_all).collect();
                (listed, owed)
            }
        };
        let Some(member) = &mut self.processes[process].member else {
            return;
        };
        let mut out = Vec::new();
        if member.accept(to, (sender, n), 1, &mut out).is_ok() {
            self.observer.accepted(sender, n, audience, owed);
            self.member_effects(process, out);
        }
    }

    fn tell_member(&mut self, process: usize, event: MemberEvent<Body>) {
        let Some(member) = &mut self.processes[process].member else {
            return;
        };
        let mut out = Vec::new();
        member.handle(event, &mut out);
        self.member_effects(process, out);
    }

    fn member_effects(&mut self, process: usize, out: Vec<MemberEffect<Body>>) {
        let me = self.who(process);
        for effect in out {
            match effect {
                MemberEffect::Send(frame) => self.write_of(process, Up::Frame(frame)),
                MemberEffect::SendCopies(copies) if self.rules.lazy => {
                    self.write_of(process, Up::Copies(copies));
                }
                MemberEffect::SendCopies(mut copies) => {
                    while let Some(frame) = self.next_copy(process, &mut copies) {
                        self.write_of(process, Up::Frame(frame));
                    }
                }
                MemberEffect::Deliver { sender, message } => {
                    let (n, who) = (message.n, Who::of(&sender));
                    let result = self.observer.delivered(me, who, n.0, message.body);
                    self.fail(result);
                    let at = &mut self.processes[process];
                    if let (true, Some(member)) = (self.rules.inbox, &mut at.member) {
                        member.waits(&sender, n);
                        at.inbox.push_back((sender, n));
                    } else {
                        self.observer.got(me, who, n.0);
                    }
                }
                MemberEffect::Resolved { numbers, left } => {
                    let left = left.iter().map(Who::of).collect();
                    for n in numbers.start().0..=numbers.end().0 {
                        let result = self.observer.resolved(me, n, &left);
                        self.fail(result);
                    }
                }
                // The places are compared before and after each frame.
                _ => {}
            }
        }
    }

    fn next_copy(&self, process: usize, copies: &mut Copies) -> Option<UpFrame<Body>> {
        let member = self.processes[process].member.as_ref()?;
        member.next_copy(copies)
    }

    fn write_of(&mut self, process: usize, up: Up) {
        if let Some(key) = self.processes[process].connection {
            self.write(key, up);
        }
    }

    fn write(&mut self, key: u64, up: Up) {
        if let Some(at) = self.connections.get_mut(&key)
            && at.hub_open
            && !at.cut
        {
            at.up.push_back(up);
        }
    }

    // Connections.

    /// False for a connection that does not break.
    pub(crate) fn cut(&mut self, key: u64) -> bool {
        let Some(at) = self.connections.get_mut(&key) else {
            return false;
        };
        let hub = self.hubs[at.machine].as_ref();
        if hub.is_some_and(|hub| hub.host == at.process) {
            return false;
        }
        at.cut = true;
        at.end_writing();
        true
    }

    fn close_member_end(&mut self, key: u64) {
        if let Some(at) = self.connections.get_mut(&key) {
            at.member_open = false;
            at.end_writing();
            if !at.hub_open {
                self.connections.remove(&key);
            }
        }
    }

    fn close_hub_end(&mut self, key: u64) {
        if let Some(at) = self.connections.get_mut(&key) {
            at.hub_open = false;
            at.up.clear();
            if !at.member_open {
                self.connections.remove(&key);
            }
        }
    }

    pub(crate) fn has_up(&self, key: u64) -> bool {
        let at = self.connections.get(&key);
        at.is_some_and(|at| at.hub_open && !at.up.is_empty())
    }

    pub(crate) fn has_down(&self, key: u64) -> bool {
        let at = self.connections.get(&key);
        at.is_some_and(|at| at.member_open && !at.down.is_empty())
    }

    pub(crate) fn member_may_notice(&self, key: u64) -> bool {
        let at = self.connections.get(&key);
        at.is_some_and(|at| at.member_open && (at.cut || !at.hub_open))
    }

    pub(crate) fn hub_may_notice(&self, key: u64) -> bool {
        let at = self.connections.get(&key);
        at.is_some_and(|at| at.hub_open && (at.cut || !at.member_open))
    }

    pub(crate) fn member_notices(&mut self, key: u64) {
        let Some(process) = self.connections.get(&key).map(|at| at.process) else {
            return;
        };
        self.close_member_end(key);
        self.processes[process].connection = None;
        self.tell_member(process, MemberEvent::Disconnected);
    }

    pub(crate) fn hub_notices(&mut self, key: u64) {
        let Some(machine) = self.connections.get(&key).map(|at| at.machine) else {
            return;
        };
        self.close_hub_end(key);
        self.tell_hub(machine, HubEvent::Ended(ConnectionKey(key)));
    }

    /// The hub reads a frame.
    pub(crate) fn read_up(&mut self, key: u64) {
        let Some(at) = self.connections.get_mut(&key) else {
            return;
        };
        let (process, machine) = (at.process, at.machine);
        let frame = match at.up.pop_front() {
            None => return,
            Some(Up::Frame(frame)) => frame,
            Some(Up::Copies(mut copies)) => {
                let is_current = self.processes[process].connection == Some(key);
                let frame = is_current
                    .then(|| self.next_copy(process, &mut copies))
                    .flatten();
                let Some(frame) = frame else { return };
                if let Some(at) = self.connections.get_mut(&key) {
                    at.up.push_front(Up::Copies(copies));
                }
                frame
            }
        };
        let from = ConnectionKey(key);
        self.tell_hub(machine, HubEvent::Frame { from, frame });
    }

    /// The member reads a frame.
    pub(crate) fn read_down(&mut self, key: u64) {
        let Some(at) = self.connections.get_mut(&key) else {
            return;
        };
        let process = at.process;
        let Some(frame) = at.down.pop() else { return };
        let before = self.places(process);
        let was_left = matches!(frame, DownFrame::Left(_));
        let is_start = matches!(frame, DownFrame::Start { .. });
        let told = self.told(process, &frame);
        self.tell_member(process, MemberEvent::Frame(frame));
        let after = self.places(process);
        let me = self.who(process);
        for (sender, (token, k, _)) in after {
            let Some((was, from, fresh)) = before.get(&sender) else {
                continue;
            };
            if *was == token && k > *from && !was_left {
                let excused = *fresh && is_start;
                let result = self
                    .observer
                    .advanced(me, sender, (*from, k), told, excused);
                self.fail(result);
                if told > 0 && !self.rules.departures && !excused {
                    let keeps_all = self.processes[process].slow == SlowPolicy::Wait;
                    if keeps_all && self.living().contains(&sender) {
                        self.fail(Err(format!(
                            "{me:?} missed {told} of {sender:?}, both stayed"
                        )));
                    }
                }
            }
        }
        if self.rules.ack_always {
            self.acknowledge(process);
        }
    }

    /// How many messages a frame makes a member report as missed.
    fn told(&self, process: usize, frame: &DownFrame<Body>) -> u64 {
        let Some(mut member) = self.processes[process].member.clone() else {
            return 0;
        };
        if !matches!(frame, DownFrame::Start { .. } | DownFrame::Missed { .. }) {
            return 0;
        }
        let mut out = Vec::new();
        member.handle(MemberEvent::Frame(frame.clone()), &mut out);
        let missed = out.iter().map(|effect| match effect {
            MemberEffect::Missed { count, .. } => *count,
            _ => 0,
        });
        missed.sum()
    }

    fn places(&self, process: usize) -> BTreeMap<Who, (u64, u64, bool)> {
        let member = self.processes[process].member.iter();
        let held = member.flat_map(Member::senders);
        held.map(|held| {
            (
                Who::of(held.id),
                (held.place.token.0, held.place.k.0, held.is_fresh),
            )
        })
        .collect()
    }

    // Hubs.

    fn tell_hub(&mut self, machine: usize, event: HubEvent<Body>) {
        let Some(at) = &mut self.hubs[machine] else {
            return;
        };
        let mut out = Vec::new();
        at.hub.handle(event, &mut out);
        for effect in out {
            match effect {
                HubEffect::Send { to, frame } => {
                    if let Some(at) = self.connections.get_mut(&to.0)
                        && at.hub_open
                        && at.member_open
                        && !at.cut
                    {
                        at.down.push(frame);
                    }
                }
                HubEffect::Close(key) => self.close_hub_end(key.0),
                HubEffect::SendLink { to, frame } => {
                    let to = usize::try_from(to.0).unwrap();
                    for link in &mut self.links {
                        if link.open[0] && link.open[1] && !link.cut {
                            if link.ends == [machine, to] {
                                link.inbound[1].push_back(frame.clone());
                            } else if link.ends == [to, machine] {
                                link.inbound[0].push_back(frame.clone());
                            }
                        }
                    }
                }
                HubEffect::Left(member) => self.observer.declared(Who::of(&member)),
                _ => {}
            }
        }
    }

    /// The members that a hub awaits.
    pub(crate) fn awaited(&self, machine: usize) -> Vec<MemberId> {
        let hub = self.hubs[machine].iter();
        let members = hub.flat_map(|at| at.hub.members());
        members
            .filter(|known| known.route.is_none())
            .map(|known| known.id.clone())
            .collect()
    }

    /// The members that are connected to a hub.
    pub(crate) fn present(&self, machine: usize) -> Vec<MemberId> {
        let hub = self.hubs[machine].iter();
        let members = hub.flat_map(|at| at.hub.members());
        let is_local = |known: &kyneta_uds_bus::KnownMember<'_>| {
            matches!(known.route, Some(Route::Connection(_)))
        };
        members
            .filter(is_local)
            .map(|known| known.id.clone())
            .collect()
    }

    pub(crate) fn wait_over(&mut self, machine: usize, member: MemberId) {
        self.tell_hub(machine, HubEvent::WaitOver(member));
    }

    pub(crate) fn remove(&mut self, machine: usize, member: MemberId) {
        self.tell_hub(machine, HubEvent::Removed(member));
    }

    // Links.

    pub(crate) fn has_link(&self, a: usize, b: usize) -> bool {
        let mut links = self.links.iter();
        links.any(|link| link.ends == [a, b] && link.open == [true; 2] && !link.cut)
    }

    /// A new link; one between the same two is not read any more.
    pub(crate) fn link(&mut self, a: usize, b: usize) {
        self.links.retain(|link| link.ends != [a, b]);
        self.links.push(Link {
            ends: [a, b],
            inbound: Default::default(),
            open: [true; 2],
            cut: false,
        });
        self.tell_hub(a, HubEvent::LinkUp(MachineId(b as u64)));
        self.tell_hub(b, HubEvent::LinkUp(MachineId(a as u64)));
    }

    pub(crate) fn has_inbound(&self, link: usize, end: usize) -> bool {
        let link = &self.links[link];
        link.open[end] && !link.inbound[end].is_empty()
    }

    pub(crate) fn read_link(&mut self, link: usize, end: usize) {
        let at = &mut self.links[link];
        let Some(frame) = at.inbound[end].pop_front() else {
            return;
        };
        let (machine, from) = (at.ends[end], MachineId(at.ends[1 - end] as u64));
        self.tell_hub(machine, HubEvent::LinkFrame { from, frame });
    }

    pub(crate) fn link_may_notice(&self, link: usize, end: usize) -> bool {
        let link = &self.links[link];
        link.open[end] && (link.cut || !link.open[1 - end])
    }

    pub(crate) fn link_notices(&mut self, link: usize, end: usize) {
        let at = &mut self.links[link];
        at.open[end] = false;
        let (machine, other) = (at.ends[end], MachineId(at.ends[1 - end] as u64));
        self.tell_hub(machine, HubEvent::LinkDown(other));
        self.links.retain(|link| link.open != [false; 2]);
    }

    // What must hold.

    /// The bounds of what is held.
    pub(crate) fn check_bounds(&mut self) {
        let all = self
            .processes
            .iter()
            .map(|process| usize::from(process.life) + 1)
            .sum::<usize>();
        for process in &self.processes {
            let Some(member) = &process.member else {
                continue;
            };
            let counts = member.counts();
            if counts.kept > WINDOW || counts.places >= all || counts.listed >= all {
                self.broken = Some(format!("{counts:?} of {all}"));
            }
        }
        for at in self.hubs.iter().flatten() {
            let counts = at.hub.counts();
            let (members, most) = (counts.members, all * (all - 1));
            if members > all || counts.places > most || counts.meetings > most {
                self.broken = Some(format!("{counts:?} of {all}"));
            }
        }
    }

    /// All is quiet: each living member lists all other living ones and none else, and nothing waits.
    pub(crate) fn check_rest(&mut self) {
        let living = self.living();
        let result = self.observer.at_rest(&living, !self.rules.departures);
        self.fail(result);
        for process in 0..self.processes.len() {
            let me = self.who(process);
            let Some(member) = &self.processes[process].member else {
                continue;
            };
            let listed: BTreeSet<_> = member
                .listed()
                .map(|receiver| Who::of(receiver.id))
                .collect();
            let others: BTreeSet<_> = living.iter().copied().filter(|who| *who != me).collect();
            if listed != others {
                self.fail(Err(format!("{me:?} lists {listed:?} of {others:?}")));
            }
        }
    }

    /// One thing that brings the world to rest, if there is one.
    pub(crate) fn settle_one(&mut self) -> bool {
        let keys: Vec<u64> = self.connections.keys().copied().collect();
        for key in &keys {
            if self.has_up(*key) {
                self.read_up(*key);
            } else if self.has_down(*key) {
                self.read_down(*key);
            } else if self.member_may_notice(*key) {
                self.member_notices(*key);
            } else if self.hub_may_notice(*key) {
                self.hub_notices(*key);
            } else {
                continue;
            }
            return true;
        }
        for link in 0..self.links.len() {
            for end in 0..2 {
                if self.has_inbound(link, end) {
                    self.read_link(link, end);
                } else if self.link_may_notice(link, end) {
                    self.link_notices(link, end);
                } else {
                    continue;
                }
                return true;
            }
        }
        for process in 0..self.processes.len() {
            let at = &self.processes[process];
            let (machine, is_idle) = (at.machine, at.member.is_some() && at.connection.is_none());
            if is_idle && self.hubs[machine].is_none() {
                self.become_hub(process);
                return true;
            }
            if is_idle {
                self.connect(process);
                return true;
            }
        }
        for a in 0..self.hubs.len() {
            for b in a + 1..self.hubs.len() {
                if self.hubs[a].is_some() && self.hubs[b].is_some() && !self.has_link(a, b) {
                    self.link(a, b);
                    return true;
                }
            }
        }
        for machine in 0..self.hubs.len() {
            for member in self.awaited(machine) {
                if self.observer.is_dead(Who::of(&member)) {
                    self.wait_over(machine, member);
                    return true;
                }
            }
        }
        let before = self.written();
        for process in 0..self.processes.len() {
            while self.take(process) {}
            self.acknowledge(process);
        }
        self.written() != before
    }

    fn written(&self) -> usize {
        self.connections.values().map(|at| at.up.len()).sum()
    }

    /// Brings the world to rest.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200_000 {
            if self.broken.is_some() || !self.settle_one() {
                return;
            }
        }
        self.broken = Some("it does not come to rest".into());
    }
}
