//! What a hub holds, for a status and for tests.

use crate::{
    frame::Place,
    id::{ConnectionKey, MachineId, MemberId, Session},
};

use super::{Hub, slots::Route};

/// A member that a hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownMember<'a> {
    /// The member.
    pub id: &'a MemberId,
    /// How it is reached; absent for an awaited one.
    pub route: Option<Route>,
    /// Its session at this hub.
    pub session: Session,
    /// Its session at its own hub, if that is another.
    pub remote_session: Session,
}

impl Hub {
    /// The connections of members.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionKey> + '_ {
        self.connections.keys().copied()
    }

    /// The links that are up.
    pub fn links(&self) -> impl Iterator<Item = MachineId> + '_ {
        self.links.iter().copied()
    }

    /// The members that are present or awaited, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = KnownMember<'_>> {
        self.slots.iter().map(|(id, slot)| KnownMember {
            id,
            route: slot.route,
            session: slot.session,
            remote_session: slot.remote_session,
        })
    }

    /// Each receiver, and its place for a sender.
    pub fn places(&self) -> impl Iterator<Item = (&MemberId, &MemberId, Place)> {
        self.slots.iter().flat_map(|(receiver, slot)| {
            let places = slot.places.iter();
            places.map(move |(sender, place)| (receiver, sender, *place))
        })
    }

    /// Each sender, and a receiver that its messages pass to.
    pub fn meetings(&self) -> impl Iterator<Item = (&MemberId, &MemberId)> {
        let slots = self.slots.iter();
        slots.flat_map(|(sender, slot)| slot.live.keys().map(move |receiver| (sender, receiver)))
    }
}
