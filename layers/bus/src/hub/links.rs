//! Links to the hubs of other machines. A link is a route to the members behind it; what comes over one goes to
//! members of this machine only.
//!
//! In: links that come up, go down, and their frames. Out: effects of the hub. Pure.

use crate::{
    frame::{DownFrame, LinkFrame, Message, PeerPlace, Recipients},
    id::{MachineId, MemberId, SeqNo, Session},
};

use super::{
    Hub,
    effect::HubEffect,
    slots::{Route, Slot},
};

impl Hub {
    pub(super) fn link_up<B>(&mut self, machine: MachineId, out: &mut Vec<HubEffect<B>>) {
        self.link_down(machine, out);
        self.links.insert(machine);
        for (member, slot) in self.slots.iter() {
            if let Some(Route::Connection(_)) = slot.route {
                out.push(HubEffect::SendLink {
                    to: machine,
                    frame: LinkFrame::Announce {
                        member: member.clone(),
                        session: slot.session,
                        keeps_newest: slot.keeps_newest,
                    },
                });
            }
        }
    }

    /// The members behind a link are awaited. Their places are forgotten: their hub tells them again.
    pub(super) fn link_down<B>(&mut self, machine: MachineId, out: &mut Vec<HubEffect<B>>) {
        if !self.links.remove(&machine) {
            return;
        }
        let behind: Vec<MemberId> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.route == Some(Route::Link(machine)))
            .map(|(member, _)| member.clone())
            .collect();
        for member in behind {
            if let Some(slot) = self.slots.get_mut(&member) {
                slot.places.clear();
            }
            self.lose(member, out);
        }
    }

    pub(super) fn link_frame<B: Clone>(
        &mut self,
        from: MachineId,
        frame: LinkFrame<B>,
        out: &mut Vec<HubEffect<B>>,
    ) {
        let had_effect = self.links.contains(&from)
            && match frame {
                LinkFrame::Announce {
                    member,
                    session,
                    keeps_newest,
                } => self.announced(from, &member, session, keeps_newest, out),
                LinkFrame::Gone(member) => self.gone(from, &member, out),
                LinkFrame::Peer {
                    sender,
                    sender_session,
                    peer,
                } => self.remote_peer(from, &sender, sender_session, peer, out),
                LinkFrame::Acked {
                    sender,
                    sender_session,
                    receiver,
                    k,
                } => self.remote_ack(from, &sender, sender_session, receiver, k, out),
                LinkFrame::Start {
                    sender,
                    receiver,
                    receiver_session,
                    from: first,
                } => {
                    let is_behind = self.is_behind(&sender, from);
                    let is_local = matches!(
                        self.slots.get(&receiver).and_then(|slot| slot.route),
                        Some(Route::Connection(_))
                    );
                    is_behind
                        && is_local
                        && self.start(sender, receiver, receiver_session, first, out)
                }
                LinkFrame::Msg {
                    sender,
                    to,
                    message,
                } => {
                    let is_behind = self.is_behind(&sender, from);
                    if is_behind {
                        self.pass_on(&sender, &to, &message, out);
                    }
                    is_behind
                }
            };
        self.ignored += u64::from(!had_effect);
    }

    /// A member is connected to the other hub: each pair that it makes meets anew.
    fn announced<B>(
        &mut self,
        from: MachineId,
        member: &MemberId,
        session: Session,
        keeps_newest: bool,
        out: &mut Vec<HubEffect<B>>,
    ) -> bool {
        let is_new = self.slots.get(member).is_none();
        if member.machine != from {
            return false;
        }
        if self.slots.is_replaced(member) {
            out.push(HubEffect::Outdated(member.clone()));
            return false;
        }
        if is_new && self.slots.len() >= self.max_members {
            out.push(HubEffect::NotTaken(member.clone()));
            return true;
        }
        for earlier in self.slots.earlier(member) {
            self.leave(&earlier, out);
        }
        let slot = self.slots.admit(member);
        slot.route = Some(Route::Link(from));
        slot.remote_session = session;
        slot.keeps_newest = keeps_newest;
        let session = slot.session;
        self.slots.end_meetings(member);
        for (to, other) in &self.connections {
            let slot = self.slots.get(other);
            if slot.is_some_and(|slot| slot.places.contains_key(member)) {
                self.tell_peer(member, other, out);
            } else {
                let sender = member.clone();
                let frame = DownFrame::Joined { sender, session };
                out.push(HubEffect::Send { to: *to, frame });
            }
        }
        true
    }

    /// A member of the other machine is gone for good.
    fn gone<B>(&mut self, from: MachineId, member: &MemberId, out: &mut Vec<HubEffect<B>>) -> bool {
        let is_known = member.machine == from && self.slots.get(member).is_some();
        if is_known {
            self.leave(member, out);
        }
        is_known
    }

    fn remote_peer<B>(
        &mut self,
        from: MachineId,
        sender: &MemberId,
        sender_session: Session,
        peer: PeerPlace,
        out: &mut Vec<HubEffect<B>>,
    ) -> bool {
        if !self.is_local_in(sender, sender_session) || !self.is_behind(&peer.receiver, from) {
            return false;
        }
        let slot = self.slots.get_mut(&peer.receiver);
        let Some(slot) = slot.filter(|slot| slot.remote_session == peer.session) else {
            return false;
        };
        slot.places.insert(sender.clone(), peer.place);
        self.tell_peer(sender, &peer.receiver, out);
        true
    }

    fn remote_ack<B>(
        &mut self,
        from: MachineId,
        sender: &MemberId,
        sender_session: Session,
        receiver: MemberId,
        k: SeqNo,
        out: &mut Vec<HubEffect<B>>,
    ) -> bool {
        self.is_local_in(sender, sender_session)
            && self.is_behind(&receiver, from)
            && self.ack(receiver, sender, k, out)
    }

    /// A message that came over a link, to members of this machine.
    fn pass_on<B: Clone>(
        &self,
        sender: &MemberId,
        to: &Recipients,
        message: &Message<B>,
        out: &mut Vec<HubEffect<B>>,
    ) {
        let Some(slot) = self.slots.get(sender) else {
            return;
        };
        for (connection, receiver) in &self.connections {
            if slot.live.contains_key(receiver) && to.include(receiver) {
                let (sender, message) = (sender.clone(), message.clone());
                out.push(HubEffect::Send {
                    to: *connection,
                    frame: DownFrame::Msg { sender, message },
                });
            }
        }
    }

    fn is_behind(&self, member: &MemberId, machine: MachineId) -> bool {
        let slot = self.slots.get(member);
        slot.is_some_and(|slot| slot.route == Some(Route::Link(machine)))
    }

    /// True for a member on a connection to this hub, in this session.
    fn is_local_in(&self, member: &MemberId, session: Session) -> bool {
        let is_in = |slot: &Slot| {
            slot.session == session && matches!(slot.route, Some(Route::Connection(_)))
        };
        self.slots.get(member).is_some_and(is_in)
    }
}
