//! The state of a hub as a value, and a hub from it: another process goes on with its members.
//!
//! In: a hub, or its saved state. Out: the same, the other way round. Touches nothing.

use std::collections::BTreeMap;

use kyneta_uds_core::{Saved, SavedError, SavedValue};

use super::{
    Hub,
    slots::{Route, Slot, Slots},
};
use crate::{
    frame::Place,
    id::{Attempt, ConnectionKey, MachineId, MemberId, SeqNo, Session, Token},
    saved::{Members, Numbered, groups, packed},
};

/// What the state is of, in errors.
const PART: &str = "the hub of a bus";
const VERSION: u32 = 1;
const SLOTS: &str = "slots";
const CONNECTION: &str = "connection";
const LINK: &str = "link";
const LIVE: &str = "live";

impl Hub {
    /// What the hub knows, for a hub in another process. The bound on members is not part of it.
    ///
    /// ```
    /// use kyneta_uds_bus::{
    ///     Attempt, ConnectionKey, Hello, Hub, HubEffect, HubEvent, Incarnation, MemberId, SlowPolicy, UpFrame,
    /// };
    /// use kyneta_uds_core::PeerId;
    ///
    /// let id = |name| Ok::<_, kyneta_uds_core::TextTooLong>(MemberId::new(PeerId::new(name)?, Incarnation(1)));
    /// let mut hub = Hub::new(id("shop")?);
    /// let hello = Hello { member: id("till")?, attempt: Attempt(1), last_hub: None, slow: SlowPolicy::Wait, places: vec![] };
    /// let out = &mut Vec::new();
    /// hub.handle::<()>(HubEvent::Frame { from: ConnectionKey(1), frame: UpFrame::Hello(hello) }, out);
    ///
    /// let mut next = Hub::resume(&hub.save())?;
    /// assert_eq!(next, hub);
    /// // What has ended meanwhile is an event, as ever.
    /// out.clear();
    /// next.handle(HubEvent::Ended(ConnectionKey(1)), out);
    /// assert_eq!(*out, [HubEffect::Awaited(id("till")?)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self) -> Saved {
        let mut members = Numbered::default();
        let me = members.number(&self.me);
        let slots = self.slots.iter();
        let slots = slots.map(|(id, slot)| slot.save(id, &mut members).into());
        let slots: Vec<SavedValue> = slots.collect();
        members
            .save(Saved::new(VERSION, 1))
            .with("me", me)
            .with(SLOTS, slots)
            .with("last-session", self.slots.last_session().0)
            .with("links", packed(self.links.iter().map(|machine| machine.0)))
            .with("ignored", self.ignored)
    }

    /// Goes on where another hub was. Links and connections that are not there any more are
    /// [events](super::HubEvent) for it.
    ///
    /// # Errors
    /// [`SavedError`]: a field is missing or has a value that cannot be, or the version is not one that this reads.
    pub fn resume(saved: &Saved) -> Result<Self, SavedError> {
        saved.check(PART, 1..=VERSION)?;
        let members = Members::resume(saved)?;
        let mut hub = Self::new(members.get(saved.number("me")?)?.clone());
        hub.ignored = saved.number_or_zero("ignored")?;
        let links = groups::<1>(saved, "links")?;
        hub.links = links
            .into_iter()
            .map(|[machine]| MachineId(machine))
            .collect();
        let parts = saved.list(SLOTS)?.iter();
        let parts: Vec<_> = parts
            .map(|value| value.as_part(SLOTS))
            .collect::<Result<_, _>>()?;
        let mut slots = BTreeMap::new();
        for part in &parts {
            let id = members.get(part.number("member")?)?.clone();
            let slot = Slot::resume(part, &members)?;
            let is_double = match slot.route {
                Some(Route::Connection(key)) => hub.connections.insert(key, id.clone()).is_some(),
                Some(Route::Link(machine)) if !hub.links.contains(&machine) => {
                    return Err(SavedError::invalid(LINK, "there is no such link"));
                }
                _ => false,
            };
            if slots.insert(id, slot).is_some() || is_double {
                return Err(SavedError::invalid(
                    SLOTS,
                    "two have one member or one connection",
                ));
            }
        }
        // A meeting has a copy of the receiver's route.
        for part in parts {
            let mut live = BTreeMap::new();
            for [receiver] in groups(part, LIVE)? {
                let receiver = members.get(receiver)?;
                let route = slots.get(receiver).and_then(|slot: &Slot| slot.route);
                let route = route
                    .ok_or_else(|| SavedError::invalid(LIVE, "a receiver is not connected"))?;
                live.insert(receiver.clone(), route);
            }
            if let Some(slot) = slots.get_mut(members.get(part.number("member")?)?) {
                slot.live = live;
            }
        }
        hub.slots = Slots::with(slots, Session(saved.number("last-session")?));
        Ok(hub)
    }
}

impl Slot {
    fn save<'a>(&'a self, id: &'a MemberId, members: &mut Numbered<'a>) -> Saved {
        let mut saved = Saved::new(1, 1)
            .with("member", members.number(id))
            .with("session", self.session.0)
            .with("attempt", self.attempt.0);
        match self.route {
            Some(Route::Connection(key)) => saved = saved.with(CONNECTION, key.0),
            Some(Route::Link(machine)) => saved = saved.with(LINK, machine.0),
            None => {}
        }
        if self.remote_session != Session(0) {
            saved = saved.with("remote-session", self.remote_session.0);
        }
        if self.keeps_newest {
            saved = saved.with("keeps-newest", true);
        }
        let places = self.places.iter();
        let places = places.flat_map(|(of, place)| [members.number(of), place.token.0, place.k.0]);
        saved = saved.with("places", packed(places.collect::<Vec<_>>()));
        let live = self.live.keys().map(|of| members.number(of));
        saved.with(LIVE, packed(live))
    }

    /// Without the meetings.
    fn resume(saved: &Saved, members: &Members) -> Result<Self, SavedError> {
        saved.check("a member of the hub", 1..=1)?;
        let mut slot = Self::new(Session(saved.number("session")?));
        let connection = saved.number_if_any(CONNECTION)?;
        let link = saved.number_if_any(LINK)?;
        slot.route = match (connection, link) {
            (Some(key), _) => Some(Route::Connection(ConnectionKey(key))),
            (None, Some(machine)) => Some(Route::Link(MachineId(machine))),
            (None, None) => None,
        };
        slot.remote_session = Session(saved.number_or_zero("remote-session")?);
        slot.attempt = Attempt(saved.number("attempt")?);
        slot.keeps_newest = saved.flag_or_false("keeps-newest")?;
        for [sender, token, k] in groups(saved, "places")? {
            let place = Place {
                token: Token(token),
                k: SeqNo(k),
            };
            slot.places.insert(members.get(sender)?.clone(), place);
        }
        Ok(slot)
    }
}
