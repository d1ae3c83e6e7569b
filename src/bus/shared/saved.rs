//! The state of a bus that listens as a value, and the same bus in another process.
//!
//! In: a bus whose connections are frozen, or its saved state. Out: the same, the other way round. May touch: the lock.
//!
//! Links to other machines are not part of it: they are dialled anew, and the machines know what to do about a link that
//! has ended.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kyneta_uds_bus::{ConnectionKey, Hub, HubEvent, Member, MemberId, SeqNo, SlowPolicy};
use kyneta_uds_core::{Credentials, PeerId, Saved, SavedBytes, SavedError, SavedValue};
use kyneta_uds_queue::{Driver, Handle, queue};

use super::{
    Settings, Shared,
    core::{Connection, Core, OWN},
};
use crate::bus::{
    accept::config,
    event::BusEvent,
    event::BusEvents,
    handoff::{
        WAITING, body, items, known_before, save_body, save_duration, save_waiting, waiting,
    },
    inbox::Delivery,
    info::MemberInfo,
    load::Load,
    outbox::DownBox,
    receipts::Receipt,
    stall::Stall,
    wire::{Kind, Wire},
};

/// What the state is of, in errors.
const PART: &str = "a bus";
const VERSION: u32 = 1;
const MEMBER: &str = "member";
const HUB: &str = "hub";
const MEMBERS: &str = "members";
const AWAITED: &str = "awaited";
const OWNERS: &str = "owners";
const REQUESTS: &str = "requests";
const CONNECTION: &str = "connection";

/// Said to a member whose request the former process has not answered.
const REPLACED: &str = "the process that was asked has been replaced before it answered";

/// A connection that nothing polls: a copy of its stream, its state.
pub(crate) type Aside = (OwnedFd, Saved);

/// A bus of another process, before it runs here.
pub(crate) struct Resumed {
    pub(crate) shared: Arc<Shared>,
    /// In the order of the states.
    pub(crate) connections: Vec<ResumedConnection>,
    /// Members whose requests are to fail.
    requests: Vec<(MemberId, SeqNo)>,
    awaited: Vec<(MemberId, Duration)>,
}

pub(crate) struct ResumedConnection {
    pub(crate) key: ConnectionKey,
    pub(crate) outbox: Arc<DownBox>,
    pub(crate) handle: Handle<Wire>,
    pub(crate) driver: Driver<Wire>,
}

/// The member that the state is of.
pub(crate) fn whose(saved: &Saved) -> Result<MemberInfo, SavedError> {
    saved.check(PART, 1..=VERSION)?;
    MemberInfo::resume(saved.part("me")?)
}

impl Shared {
    /// The accepted connections.
    pub(crate) fn handles(&self) -> Vec<Handle<Wire>> {
        let core = self.lock();
        core.connections
            .values()
            .map(|of| of.handle.clone())
            .collect()
    }

    /// A connection that nothing polls has given its state.
    pub(crate) fn set_aside(&self, key: ConnectionKey, aside: Aside) {
        self.lock().aside.insert(key, aside);
    }

    /// A connection that looks on is not shown so many messages.
    pub(crate) fn not_shown(&self, key: ConnectionKey, count: u64) {
        if let Some(missed) = self.lock().taps.get_mut(&key) {
            *missed += count;
        }
    }

    /// True when the handler has a request that it has not answered.
    pub(crate) fn is_asked(&self) -> bool {
        !self.open_requests(&self.lock()).is_empty()
    }

    /// The requests that the handler has: those that wait for it are not among them.
    fn open_requests(&self, core: &Core) -> Vec<(MemberId, SeqNo)> {
        self.inbox.look(|waiting| {
            let waits = |member: &MemberId, seq: SeqNo| {
                waiting.iter().any(|delivery| match delivery {
                    Delivery::Message {
                        from,
                        message,
                        request: Some(_),
                    } => message.n == seq && from.member_id() == *member,
                    _ => false,
                })
            };
            let asks = core.requests.open();
            let asks = asks.filter(|(member, seq)| !waits(member, *seq));
            asks.map(|(member, seq)| (member.clone(), seq)).collect()
        })
    }

    /// True from [`freeze`](Self::freeze) on: what is accepted now is not part of the state.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    /// What is handed over, when all connections are aside and the handler is held: the state, and the connections. One
    /// that is not aside has ended.
    pub(crate) fn freeze(&self) -> Option<(Saved, Vec<(OwnedFd, SavedBytes)>)> {
        let mut core = self.lock();
        core.hub.as_ref()?;
        self.frozen.store(true, Ordering::Release);
        core.frozen_at = Some(core.member.last());
        #[cfg(feature = "machines")]
        core.links.hold();
        let aside = std::mem::take(&mut core.aside);
        let aside = aside.into_iter().filter_map(|(key, (stream, saved))| {
            let connection = core.save_connection(key)?;
            let saved = saved.with(CONNECTION, connection);
            Some((stream, SavedBytes::from(&saved)))
        });
        let aside = aside.collect();
        let open = self.open_requests(&core).into_iter();
        let open = open.map(|(member, seq)| {
            SavedValue::List(vec![SavedValue::from(&member), SavedValue::from(seq.0)])
        });
        let saved = core.save(self.settings.regroup)?;
        let saved = saved
            .with(REQUESTS, open.collect::<Vec<_>>())
            .with(WAITING, self.inbox.look(save_waiting));
        Some((saved, aside))
    }

    /// It was not handed over: everything goes on.
    pub(crate) fn thaw(self: &Arc<Self>) {
        let mut core = self.lock();
        core.aside.clear();
        core.frozen_at = None;
        #[cfg(feature = "machines")]
        core.links.release();
        drop(core);
        self.frozen.store(false, Ordering::Release);
        self.inbox.release();
        self.room.notify_waiters();
        if self.leaves_later.swap(false, Ordering::AcqRel) {
            self.bye();
        }
    }

    /// Another process goes on: nothing that ends from now on is told to any member.
    pub(crate) fn leave(&self, pid: u32) {
        let _ = self.handed_over.set(pid);
        let mut core = self.lock();
        let hub = core.hub.take();
        let connections = std::mem::take(&mut core.connections);
        core.taps.clear();
        core.awaited.clear();
        #[cfg(feature = "machines")]
        core.links.end();
        drop(core);
        drop((hub, connections));
        self.inbox.take(&mut Vec::new());
        self.events.send(BusEvent::HandedOver { pid });
    }

    /// Goes on where another process was. `connections` are the states of those that are there, with what the kernel
    /// says of their processes.
    pub(crate) fn resume(
        settings: Settings,
        events: BusEvents,
        saved: &Saved,
        connections: &[(Option<Credentials>, &Saved)],
    ) -> Result<Resumed, SavedError> {
        saved.check(PART, 1..=VERSION)?;
        let shared = Self::new(settings, events);
        let mut core = shared.lock();
        let config_of_member = shared.settings.member.clone();
        core.member = Member::resume(config_of_member, saved.part(MEMBER)?, body)?;
        core.hub = Some(Hub::resume(saved.part(HUB)?)?);
        core.last = saved.number("last-connection")?;
        for value in saved.list(MEMBERS)? {
            let info = MemberInfo::resume(value.as_part(MEMBERS)?)?;
            let id = info.member_id();
            // This process knows itself.
            core.members.entry(id).or_insert_with(|| Arc::new(info));
        }
        for value in saved.list(OWNERS)? {
            match items(value) {
                [SavedValue::Text(id), SavedValue::Number(uid)] => {
                    let id = PeerId::new(id.as_str());
                    let uid = u32::try_from(*uid).ok();
                    if let (Ok(id), Some(uid)) = (id, uid) {
                        core.owners.departed(&id, uid);
                    }
                }
                _ => return Err(SavedError::invalid(OWNERS, "one is no id with a user")),
            }
        }
        let mut resumed = Vec::with_capacity(connections.len());
        for (credentials, saved) in connections {
            let saved = saved.part(CONNECTION)?;
            let (key, connection, driver) =
                Connection::resume(saved, *credentials, &shared, &mut core)?;
            resumed.push(ResumedConnection {
                key,
                outbox: connection.outbox.clone(),
                handle: connection.handle.clone(),
                driver,
            });
            if core.connections.insert(key, connection).is_some() {
                return Err(SavedError::invalid(CONNECTION, "two have one number"));
            }
        }
        let kept = core.member.unresolved().map(|kept| kept.n);
        let kept: Vec<SeqNo> = kept.collect();
        let slots = shared.window.forget_permits(kept.len());
        let inherited = kept.into_iter().enumerate();
        let inherited: Vec<(SeqNo, Receipt)> = inherited
            .map(|(at, n)| (n, core.receipts.give(n, at < slots)))
            .collect();
        let kept_bytes = core.member.counts().kept_bytes;
        shared.kept_bytes.store(kept_bytes, Ordering::Release);
        core.inherited = inherited;
        let Core {
            members, requests, ..
        } = &mut *core;
        let unknown = || Arc::new(shared.settings.me.clone());
        let info = |id: &MemberId| members.get(id).cloned().unwrap_or_else(unknown);
        let waiting = waiting(saved, info, |of, seq| requests.asks(of, seq))?;
        let present = core.list();
        for info in known_before(present.infos(), &waiting) {
            shared.inbox.push(Delivery::Event(BusEvent::Joined(info)));
        }
        waiting.into_iter().for_each(|of| shared.inbox.push(of));
        shared.present.send_replace(present);
        core.forget_later();
        let awaited = awaited(saved)?;
        let requests = open_requests(saved)?;
        drop(core);
        Ok(Resumed {
            shared,
            connections: resumed,
            requests,
            awaited,
        })
    }
}

impl Resumed {
    pub(crate) fn take_connections(&mut self) -> Vec<ResumedConnection> {
        std::mem::take(&mut self.connections)
    }

    /// The connections run from now on.
    pub(crate) fn go_on(self) {
        let Self {
            shared,
            requests,
            awaited,
            ..
        } = self;
        shared.turn(|core, turn| {
            let Some(hub) = &core.hub else {
                return;
            };
            // Both were lost with the former process, or while it was frozen.
            hub.links().for_each(|of| turn.hub(HubEvent::LinkDown(of)));
            let is_there = |key: &ConnectionKey| *key == OWN || core.connections.contains_key(key);
            let ended = hub.connections().filter(|key| !is_there(key));
            ended.for_each(|key| turn.hub(HubEvent::Ended(key)));
            let owes = |of: &Connection| of.stall.since().is_some();
            core.watches_stalls = core.connections.values().any(owes);
            turn.after.watch_stalls = core.watches_stalls;
            turn.after.delivered = true;
        });
        let (silent, waits) = {
            let mut core = shared.lock();
            let silent = core.connections.keys().copied();
            let silent: Vec<_> = silent.filter(|key| core.silent(*key).is_some()).collect();
            let mut waits = Vec::new();
            for (member, left) in awaited {
                let number = core.number();
                let since = shared.settings.regroup.saturating_sub(left);
                core.await_since(&member, number, since);
                waits.push((member, number, left));
            }
            (silent, waits)
        };
        silent
            .into_iter()
            .for_each(|key| shared.expect_greeting(key));
        for (member, number, left) in waits {
            shared.wait_for(member, number, left);
        }
        for (member, seq) in requests {
            shared.fail_request(&member, seq);
        }
        shared.acknowledge();
    }
}

impl Shared {
    fn fail_request(self: &Arc<Self>, member: &MemberId, seq: SeqNo) {
        self.turn(|core, _| drop(core.requests.asks(member, seq)));
        let why = Bytes::from_static(REPLACED.as_bytes());
        self.answer(member, seq, Kind::Failure(seq.0), why);
    }

    /// The messages of the former process that are not with all of their receivers yet. The second time there are none.
    pub(crate) fn inherited(&self) -> Vec<(SeqNo, Receipt)> {
        std::mem::take(&mut self.lock().inherited)
    }
}

impl Core {
    /// All but what waits for the handler.
    fn save(&self, regroup: Duration) -> Option<Saved> {
        let me = self.info(self.member.id());
        let members = self
            .members
            .values()
            .map(|info| SavedValue::from(info.save()));
        let owners = self
            .owners
            .iter()
            .map(|(id, uid)| SavedValue::List(vec![id.as_str().into(), SavedValue::from(uid)]));
        let awaited = self.awaited.iter().map(|(member, (_, since))| {
            let left = regroup.saturating_sub(since.elapsed());
            SavedValue::List(vec![SavedValue::from(member), save_duration(left)])
        });
        Some(
            Saved::new(VERSION, 1)
                .with("me", me.save())
                .with(MEMBER, self.member.save(save_body))
                .with(HUB, self.hub.as_ref()?.save())
                .with("last-connection", self.last)
                .with(MEMBERS, members.collect::<Vec<_>>())
                .with(OWNERS, owners.collect::<Vec<_>>())
                .with(AWAITED, awaited.collect::<Vec<_>>()),
        )
    }

    fn save_connection(&self, key: ConnectionKey) -> Option<Saved> {
        let connection = self.connections.get(&key)?;
        let slow = match connection.slow {
            SlowPolicy::Wait => 0,
            SlowPolicy::Disconnect => 1,
            SlowPolicy::Newest(count) => 1 + u64::from(count.get()),
        };
        let owed = connection.stall.owed().map(|(sender, n)| {
            SavedValue::List(vec![SavedValue::from(sender), SavedValue::from(n.0)])
        });
        let mut saved = Saved::new(1, 1)
            .with("key", key.0)
            .with("protocol", connection.protocol.as_str())
            .with("slow", slow)
            .with("queue", connection.outbox.save())
            .with("owed", owed.collect::<Vec<_>>());
        if let Some(member) = &connection.member {
            saved = saved.with("member", member);
        }
        match self.taps.get(&key) {
            Some(missed) => Some(saved.with("tap", *missed)),
            None => Some(saved),
        }
    }
}

impl Connection {
    fn resume(
        saved: &Saved,
        credentials: Option<Credentials>,
        shared: &Arc<Shared>,
        core: &mut Core,
    ) -> Result<(ConnectionKey, Self, Driver<Wire>), SavedError> {
        saved.check("a connection of a bus", 1..=1)?;
        let key = ConnectionKey(saved.number("key")?);
        if key == OWN || key.0 > core.last {
            return Err(SavedError::invalid(
                CONNECTION,
                "it has a number that was not given",
            ));
        }
        let newest =
            |count: u64| std::num::NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
        let slow = match saved.number("slow")? {
            0 => SlowPolicy::Wait,
            1 => SlowPolicy::Disconnect,
            more => newest(more - 1).map_or(SlowPolicy::Wait, SlowPolicy::Newest),
        };
        let member = saved.get("member").map(MemberId::try_from).transpose()?;
        let protocol = saved.text("protocol")?;
        if member.is_some() && !shared.protocols().iter().any(|ours| ours == protocol) {
            return Err(SavedError::invalid(
                "protocol",
                "a member speaks a protocol that this process does not have",
            ));
        }
        let mut stall = Stall::default();
        for value in saved.list("owed")? {
            match items(value) {
                [sender, SavedValue::Number(n)] => {
                    // How much that is counts from here on.
                    let (sender, n) = (MemberId::try_from(sender)?, SeqNo(*n));
                    stall.sent(&sender, n, Load::default(), Instant::now);
                }
                _ => {
                    return Err(SavedError::invalid(
                        "owed",
                        "one is no member with a number",
                    ));
                }
            }
        }
        if let Some(missed) = saved.number_if_any("tap")? {
            core.taps.insert(key, missed);
        }
        let (handle, driver) = queue(config(shared));
        let connection = Self {
            outbox: Arc::new(DownBox::resume(slow, saved.part("queue")?)?),
            handle,
            credentials,
            greeting: None,
            member,
            protocol: protocol.to_owned(),
            slow,
            stall,
            is_closing: false,
        };
        Ok((key, connection, driver))
    }
}

fn awaited(saved: &Saved) -> Result<Vec<(MemberId, Duration)>, SavedError> {
    let awaited = saved.list(AWAITED)?.iter().map(|value| match items(value) {
        [member, SavedValue::Number(left)] => {
            Ok((MemberId::try_from(member)?, Duration::from_millis(*left)))
        }
        _ => Err(SavedError::invalid(AWAITED, "one is no member with a time")),
    });
    awaited.collect()
}

fn open_requests(saved: &Saved) -> Result<Vec<(MemberId, SeqNo)>, SavedError> {
    let open = saved
        .list(REQUESTS)?
        .iter()
        .map(|value| match items(value) {
            [member, SavedValue::Number(seq)] => Ok((MemberId::try_from(member)?, SeqNo(*seq))),
            _ => Err(SavedError::invalid(
                REQUESTS,
                "one is no member with a number",
            )),
        });
    open.collect()
}
