//! A hub: it routes between members, and has no memory that matters.
//!
//! In: frames of members and of the hubs of other machines, connections and links that come and end, times that
//! are over. Out: effects, in order. Touches nothing: no I/O, no clock, no randomness. It never looks at a body.

mod effect;
mod greeting;
mod links;
mod saved;
mod slots;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    frame::{DownFrame, LinkFrame, Message, PeerPlace, Place, Recipients, UpFrame},
    id::{ConnectionKey, MachineId, MemberId, SeqNo, Session, Token},
};

use self::slots::Slots;
pub use self::{
    effect::{HubEffect, HubEvent},
    slots::Route,
    view::KnownMember,
};

/// A hub. See the [crate](crate) for an example.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hub {
    me: MemberId,
    max_members: usize,
    slots: Slots,
    /// Admitted ones, and whose each is.
    connections: BTreeMap<ConnectionKey, MemberId>,
    links: BTreeSet<MachineId>,
    ignored: u64,
}

/// What a [`Hub`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HubCounts {
    /// Members that are present or awaited.
    pub members: usize,
    /// Of them, those that are awaited.
    pub awaited: usize,
    /// Places of receivers: at most one for each ordered pair of members.
    pub places: usize,
    /// Ordered pairs of members between which messages pass.
    pub meetings: usize,
    /// Frames that had no effect: of an earlier session, about unknown members, from unknown connections.
    pub ignored: u64,
}

impl Hub {
    /// A hub without members. `me` is the member of its own process.
    ///
    /// There may be 4,096 members; [`max_members`](Self::max_members) sets another bound.
    pub const fn new(me: MemberId) -> Self {
        Self {
            me,
            max_members: 4096,
            slots: Slots::new(),
            connections: BTreeMap::new(),
            links: BTreeSet::new(),
            ignored: 0,
        }
    }

    /// How many members may be present or awaited, 4,096 by default. More are refused, those of other machines
    /// with [`HubEffect::NotTaken`].
    pub const fn max_members(mut self, max: usize) -> Self {
        self.max_members = max;
        self
    }

    /// How much is held. Looks at each member.
    pub fn counts(&self) -> HubCounts {
        let slots = || self.slots.iter().map(|(_, slot)| slot);
        HubCounts {
            members: self.slots.len(),
            awaited: slots().filter(|slot| slot.route.is_none()).count(),
            places: slots().map(|slot| slot.places.len()).sum(),
            meetings: slots().map(|slot| slot.live.len()).sum(),
            ignored: self.ignored,
        }
    }

    /// Something happens.
    pub fn handle<B: Clone>(&mut self, event: HubEvent<B>, out: &mut Vec<HubEffect<B>>) {
        match event {
            HubEvent::Frame { from, frame } => self.frame(from, frame, out),
            HubEvent::Ended(connection) => {
                if let Some(member) = self.connections.remove(&connection) {
                    self.lose(member, out);
                }
            }
            HubEvent::WaitOver(member) => {
                if self
                    .slots
                    .get(&member)
                    .is_some_and(|slot| slot.route.is_none())
                {
                    self.leave(&member, out);
                }
            }
            HubEvent::Removed(member) => self.leave(&member, out),
            HubEvent::LinkUp(machine) => self.link_up(machine, out),
            HubEvent::LinkDown(machine) => self.link_down(machine, out),
            HubEvent::LinkFrame { from, frame } => self.link_frame(from, frame, out),
        }
    }

    /// The member of a connection, and where its messages to all go: to each receiver that has met it on this hub.
    /// A link is named once for each member behind it. `None` for a connection that has no member.
    ///
    /// As long as nothing else happens, a message of that connection to all has one effect for each: a
    /// [`DownFrame::Msg`] for a connection, one [`LinkFrame::Msg`] for a link. So a shell can route many at once.
    pub fn routes(
        &self,
        from: ConnectionKey,
    ) -> Option<(&MemberId, impl Iterator<Item = Route> + '_)> {
        let sender = self.connections.get(&from)?;
        let slot = self.slots.get(sender)?;
        Some((sender, slot.live.values().copied()))
    }

    fn frame<B: Clone>(
        &mut self,
        from: ConnectionKey,
        frame: UpFrame<B>,
        out: &mut Vec<HubEffect<B>>,
    ) {
        if let UpFrame::Hello(hello) = frame {
            return self.hello(from, hello, out);
        }
        let Some(me) = self.connections.get(&from).cloned() else {
            self.ignored += 1;
            return;
        };
        let had_effect = match frame {
            UpFrame::Hello(_) => true,
            UpFrame::Position {
                sender,
                session,
                token,
            } => self.position(&me, &sender, session, token, out),
            UpFrame::Ack { sender, k } => self.ack(me, &sender, k, out),
            UpFrame::Start {
                receiver,
                session,
                from,
            } => self.start(me, receiver, session, from, out),
            UpFrame::Msg { to, message } => {
                self.route(&me, &to, message, out);
                true
            }
            UpFrame::Bye => {
                self.leave(&me, out);
                true
            }
        };
        self.ignored += u64::from(!had_effect);
    }

    /// A receiver has made a place for a sender.
    fn position<B>(
        &mut self,
        receiver: &MemberId,
        sender: &MemberId,
        session: Session,
        token: Token,
        out: &mut Vec<HubEffect<B>>,
    ) -> bool {
        if self
            .slots
            .get(sender)
            .is_none_or(|slot| slot.session != session)
        {
            return false;
        }
        let Some(slot) = self.slots.get_mut(receiver) else {
            return false;
        };
        let k = SeqNo(0);
        slot.places.insert(sender.clone(), Place { token, k });
        self.tell_peer(sender, receiver, out);
        true
    }

    /// A receiver has a sender's messages.
    fn ack<B>(
        &mut self,
        receiver: MemberId,
        sender: &MemberId,
        k: SeqNo,
        out: &mut Vec<HubEffect<B>>,
    ) -> bool {
        let slot = self.slots.get_mut(&receiver);
        let Some(place) = slot.and_then(|slot| slot.places.get_mut(sender)) else {
            return false;
        };
        place.k = place.k.max(k);
        let Some(slot) = self.slots.get(sender) else {
            return false;
        };
        match slot.route {
            Some(Route::Connection(to)) => {
                let frame = DownFrame::Acked { receiver, k };
                out.push(HubEffect::Send { to, frame });
            }
            Some(Route::Link(to)) => {
                let frame = LinkFrame::Acked {
                    sender: sender.clone(),
                    sender_session: slot.remote_session,
                    receiver,
                    k,
                };
                out.push(HubEffect::SendLink { to, frame });
            }
            None => {}
        }
        true
    }

    /// From here on a sender's messages pass to a receiver.
    fn start<B>(
        &mut self,
        sender: MemberId,
        receiver: MemberId,
        session: Session,
        from: SeqNo,
        out: &mut Vec<HubEffect<B>>,
    ) -> bool {
        let slot = self.slots.get(&receiver);
        let meets =
            |slot: &&slots::Slot| slot.session == session && slot.places.contains_key(&sender);
        let Some((route, remote_session)) = slot
            .filter(meets)
            .and_then(|slot| Some((slot.route?, slot.remote_session)))
        else {
            return false;
        };
        if !self.slots.meet(&sender, &receiver) {
            return false;
        }
        match route {
            Route::Connection(to) => {
                let frame = DownFrame::Start { sender, from };
                out.push(HubEffect::Send { to, frame });
            }
            Route::Link(to) => {
                let frame = LinkFrame::Start {
                    sender,
                    receiver,
                    receiver_session: remote_session,
                    from,
                };
                out.push(HubEffect::SendLink { to, frame });
            }
        }
        true
    }

    /// A message of a sender, to those that have met it; once over each link.
    fn route<B: Clone>(
        &self,
        sender: &MemberId,
        to: &Recipients,
        message: Message<B>,
        out: &mut Vec<HubEffect<B>>,
    ) {
        let Some(slot) = self.slots.get(sender) else {
            return;
        };
        let mut links = BTreeSet::new();
        for (receiver, route) in &slot.live {
            if !to.include(receiver) {
                continue;
            }
            let (sender, message) = (sender.clone(), message.clone());
            match *route {
                Route::Connection(to) => {
                    let frame = DownFrame::Msg { sender, message };
                    out.push(HubEffect::Send { to, frame });
                }
                Route::Link(machine) if links.insert(machine) => {
                    let to = to.clone();
                    let frame = LinkFrame::Msg {
                        sender,
                        to,
                        message,
                    };
                    out.push(HubEffect::SendLink { to: machine, frame });
                }
                Route::Link(_) => {}
            }
        }
    }

    /// Tells a sender where a receiver is, if the place is known and the sender is present.
    fn tell_peer<B>(&self, sender: &MemberId, receiver: &MemberId, out: &mut Vec<HubEffect<B>>) {
        let Some((at, slot)) = self.slots.get(sender).zip(self.slots.get(receiver)) else {
            return;
        };
        let Some((route, place)) = at.route.zip(slot.places.get(sender)) else {
            return;
        };
        let peer = PeerPlace {
            receiver: receiver.clone(),
            session: slot.session,
            place: *place,
            keeps_newest: slot.keeps_newest,
        };
        out.push(match route {
            Route::Connection(to) => HubEffect::Send {
                to,
                frame: DownFrame::Peer(peer),
            },
            Route::Link(to) => HubEffect::SendLink {
                to,
                frame: LinkFrame::Peer {
                    sender: sender.clone(),
                    sender_session: at.remote_session,
                    peer,
                },
            },
        });
    }

    /// A member has no connection any more, and is awaited.
    fn lose<B>(&mut self, member: MemberId, out: &mut Vec<HubEffect<B>>) {
        self.slots.end_meetings(&member);
        if let Some(slot) = self.slots.get_mut(&member) {
            slot.route = None;
            out.push(HubEffect::Awaited(member));
        }
    }

    /// A member is gone for good.
    fn leave<B>(&mut self, member: &MemberId, out: &mut Vec<HubEffect<B>>) {
        let Some(slot) = self.slots.remove(member) else {
            return;
        };
        if let Some(Route::Connection(connection)) = slot.route {
            self.connections.remove(&connection);
            out.push(HubEffect::Close(connection));
        }
        out.push(HubEffect::Left(member.clone()));
        for to in self.connections.keys() {
            out.push(HubEffect::Send {
                to: *to,
                frame: DownFrame::Left(member.clone()),
            });
        }
        if member.machine == self.me.machine {
            for to in &self.links {
                out.push(HubEffect::SendLink {
                    to: *to,
                    frame: LinkFrame::Gone(member.clone()),
                });
            }
        }
    }
}
