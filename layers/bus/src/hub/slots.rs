//! The members that a hub knows, how to reach each, their places and who has met.
//!
//! In: changes of one member. Out: what there is. Touches nothing.

use std::collections::BTreeMap;

use crate::{
    frame::Place,
    id::{Attempt, ConnectionKey, Incarnation, MachineId, MemberId, Session},
};

/// How a member is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// On a connection to this hub.
    Connection(ConnectionKey),
    /// Through the hub of another machine.
    Link(MachineId),
}

/// A member that is present or awaited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    /// Absent for an awaited member.
    pub(super) route: Option<Route>,
    pub(super) session: Session,
    /// At its own hub, if that is another.
    pub(super) remote_session: Session,
    pub(super) attempt: Attempt,
    pub(super) keeps_newest: bool,
    /// As a receiver: its places, by sender.
    pub(super) places: BTreeMap<MemberId, Place>,
    /// As a sender: the receivers that it has met, and how they are reached. A change of the route ends the
    /// meeting, so the copy of it here is the receiver's own.
    pub(super) live: BTreeMap<MemberId, Route>,
}

impl Slot {
    pub(super) fn new(session: Session) -> Self {
        Self {
            route: None,
            session,
            remote_session: Session(0),
            attempt: Attempt(0),
            keeps_newest: false,
            places: BTreeMap::new(),
            live: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Slots {
    slots: BTreeMap<MemberId, Slot>,
    last_session: Session,
}

impl Slots {
    pub(super) const fn new() -> Self {
        Self {
            slots: BTreeMap::new(),
            last_session: Session(0),
        }
    }

    /// Those that another process had.
    pub(super) const fn with(slots: BTreeMap<MemberId, Slot>, last_session: Session) -> Self {
        Self {
            slots,
            last_session,
        }
    }

    pub(super) const fn last_session(&self) -> Session {
        self.last_session
    }

    pub(super) fn get(&self, member: &MemberId) -> Option<&Slot> {
        self.slots.get(member)
    }

    pub(super) fn get_mut(&mut self, member: &MemberId) -> Option<&mut Slot> {
        self.slots.get_mut(member)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&MemberId, &Slot)> {
        self.slots.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Admits a member, or finds it, with a new session.
    pub(super) fn admit(&mut self, member: &MemberId) -> &mut Slot {
        self.last_session = self.last_session.next();
        let session = self.last_session;
        let slot = self.slots.entry(member.clone());
        let slot = slot.or_insert_with(|| Slot::new(session));
        slot.session = session;
        slot
    }

    /// True when the same peer is known in a later life of its process.
    pub(super) fn is_replaced(&self, member: &MemberId) -> bool {
        let last = member.with(Incarnation(u64::MAX));
        let mut known = self.slots.range(member..=&last);
        known.any(|(known, _)| known.replaces(member))
    }

    /// The same peer in earlier lives of its process.
    pub(super) fn earlier(&self, member: &MemberId) -> Vec<MemberId> {
        let first = member.with(Incarnation(0));
        let known = self.slots.range(&first..member);
        known.map(|(known, _)| known.clone()).collect()
    }

    /// A member has another connection, or none: what it has met on the last one is over, both ways.
    pub(super) fn end_meetings(&mut self, member: &MemberId) {
        for slot in self.slots.values_mut() {
            slot.live.remove(member);
        }
        if let Some(slot) = self.slots.get_mut(member) {
            slot.live.clear();
        }
    }

    /// Removes a member, with what the others know of it.
    pub(super) fn remove(&mut self, member: &MemberId) -> Option<Slot> {
        let slot = self.slots.remove(member)?;
        for other in self.slots.values_mut() {
            other.places.remove(member);
            other.live.remove(member);
        }
        Some(slot)
    }

    /// Notes that a receiver has met a sender. False when either is not known.
    pub(super) fn meet(&mut self, sender: &MemberId, receiver: &MemberId) -> bool {
        let route = self.slots.get(receiver).and_then(|slot| slot.route);
        let sender = self.slots.get_mut(sender);
        let Some((sender, route)) = sender.zip(route) else {
            return false;
        };
        sender.live.insert(receiver.clone(), route);
        true
    }
}
