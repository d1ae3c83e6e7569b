//! The first frame of a connection: a member is admitted, and each pair that it makes meets anew.
//!
//! In: the `hello` of a connection. Out: a welcome or a refusal, and places. Pure.

use crate::{
    frame::{DownFrame, Hello, LinkFrame, Place, Refusal},
    id::{ConnectionKey, MemberId},
};

use super::{Hub, effect::HubEffect, slots::Route};

impl Hub {
    pub(super) fn hello<B>(
        &mut self,
        from: ConnectionKey,
        hello: Hello,
        out: &mut Vec<HubEffect<B>>,
    ) {
        if let Some(member) = self.connections.remove(&from) {
            // A second greeting: no member of ours makes one.
            out.push(HubEffect::Close(from));
            self.ignored += 1;
            return self.lose(member, out);
        }
        if let Some(why) = self.refusal(&hello.member) {
            let frame = DownFrame::Refused(why);
            out.push(HubEffect::Send { to: from, frame });
            out.push(HubEffect::Close(from));
            return;
        }
        let known = self.slots.get(&hello.member);
        if known.is_some_and(|slot| hello.attempt <= slot.attempt) {
            // A connection that was given up before this hub looked at it.
            out.push(HubEffect::Close(from));
            self.ignored += 1;
            return;
        }
        if let Some(Route::Connection(last)) = known.and_then(|slot| slot.route) {
            self.connections.remove(&last);
            out.push(HubEffect::Close(last));
        }
        for earlier in self.slots.earlier(&hello.member) {
            self.leave(&earlier, out);
        }
        let dead_hub = hello.last_hub.filter(|hub| *hub != hello.member);
        if let Some(hub) = &dead_hub
            && self.slots.get(hub).is_some_and(|slot| slot.route.is_none())
        {
            self.leave(hub, out);
        }

        let me = hello.member;
        let slot = self.slots.admit(&me);
        slot.route = Some(Route::Connection(from));
        slot.attempt = hello.attempt;
        slot.keeps_newest = hello.slow.keeps_newest();
        slot.places.clear();
        let session = slot.session;
        self.slots.end_meetings(&me);
        self.connections.insert(from, me.clone());

        let mut awaited = Vec::new();
        let mut gone = Vec::new();
        for (sender, place) in hello.places {
            if sender == me {
                continue;
            }
            if self.place(&me, &sender, place, dead_hub.as_ref(), &mut awaited) {
                continue;
            }
            gone.push(sender);
        }
        let present = self.slots.iter().filter(|(_, slot)| slot.route.is_some());
        out.push(HubEffect::Send {
            to: from,
            frame: DownFrame::Welcome {
                hub: self.me.clone(),
                present: u32::try_from(present.count().saturating_sub(1)).unwrap_or(u32::MAX),
            },
        });
        out.extend(gone.into_iter().map(|member| HubEffect::Send {
            to: from,
            frame: DownFrame::Left(member),
        }));
        out.extend(awaited.into_iter().map(HubEffect::Awaited));
        let announced = self.links.iter().map(|to| HubEffect::SendLink {
            to: *to,
            frame: LinkFrame::Announce {
                member: me.clone(),
                session,
                keeps_newest: hello.slow.keeps_newest(),
            },
        });
        out.extend(announced);
        self.pair(&me, from, out);
    }

    fn refusal(&self, member: &MemberId) -> Option<Refusal> {
        if member.machine != self.me.machine {
            Some(Refusal::OtherMachine)
        } else if self.slots.is_replaced(member) {
            Some(Refusal::Replaced)
        } else if self.slots.get(member).is_none() && self.slots.len() >= self.max_members {
            Some(Refusal::Full)
        } else {
            None
        }
    }

    /// Takes over a place from a greeting. A sender that is not known is awaited, unless it is known to be gone,
    /// or there are too many members: then the answer is false.
    fn place(
        &mut self,
        me: &MemberId,
        sender: &MemberId,
        place: Place,
        dead_hub: Option<&MemberId>,
        awaited: &mut Vec<MemberId>,
    ) -> bool {
        if self.slots.get(sender).is_none() {
            let is_gone = Some(sender) == dead_hub || self.slots.is_replaced(sender);
            if is_gone || self.slots.len() >= self.max_members {
                return false;
            }
            self.slots.admit(sender);
            awaited.push(sender.clone());
        }
        if let Some(slot) = self.slots.get_mut(me) {
            slot.places.insert(sender.clone(), place);
        }
        true
    }

    /// A member meets each one that is present. First both are told of each other where no place is known, so
    /// that a hub that dies in between leaves no place that only one of them knows of.
    fn pair<B>(&self, me: &MemberId, connection: ConnectionKey, out: &mut Vec<HubEffect<B>>) {
        let Some(mine) = self.slots.get(me) else {
            return;
        };
        for (other, slot) in self.slots.iter() {
            let Some(route) = slot.route.filter(|_| other != me) else {
                continue;
            };
            if !mine.places.contains_key(other) {
                out.push(HubEffect::Send {
                    to: connection,
                    frame: DownFrame::Joined {
                        sender: other.clone(),
                        session: slot.session,
                    },
                });
            }
            if let Route::Connection(to) = route
                && !slot.places.contains_key(me)
            {
                out.push(HubEffect::Send {
                    to,
                    frame: DownFrame::Joined {
                        sender: me.clone(),
                        session: mine.session,
                    },
                });
            }
            self.tell_peer(me, other, out);
            self.tell_peer(other, me, out);
        }
    }
}
