//! What links to other machines say to the bus.
//!
//! In: links that come and end, their frames. Out: a [`Turn`] for each. May touch: the lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kyneta_uds_bus::{HubEvent, LinkFrame, MachineId, MemberId};
use kyneta_uds_core::PeerId;

use super::{Shared, core::Core, turn::Turn};
use crate::bus::{
    event::BusEvent,
    info::MemberInfo,
    links::{LinkBox, LinkFault, LinkInput},
    refusal::{NotAdmittedToBus, refused},
    wire::{Body, Refused},
};

/// The links of a hub.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// What the other machines are called here.
    names: BTreeSet<String>,
    up: BTreeMap<MachineId, Link>,
}

#[derive(Debug)]
struct Link {
    number: u64,
    outbox: Arc<LinkBox>,
}

impl Links {
    /// Why a member of this machine may not have an id: members of another machine have such ones.
    pub(super) fn refuses(&self, id: &PeerId) -> Option<Refused> {
        let (_, machine) = id.as_str().rsplit_once('@')?;
        self.names.contains(machine).then(|| {
            let why = format!(
                "the id {:?} is one of a member of the machine {machine:?}",
                id.as_str()
            );
            refused("id-of-another-machine", why)
        })
    }

    /// The state is taken: what this process says from now on goes on in no process. The next one gives the same numbers
    /// to messages of its own.
    pub(super) fn hold(&self) {
        self.up.values().for_each(|link| link.outbox.hold());
    }

    /// It was not handed over.
    pub(super) fn release(&self) {
        self.up.values().for_each(|link| link.outbox.release());
    }

    /// This process does not listen any more: what waits is written, and the links end.
    pub(super) fn end(&mut self) {
        let links = std::mem::take(&mut self.up);
        links.into_values().for_each(|link| link.outbox.finish());
    }
}

impl Shared {
    /// The machines that may be linked from now on.
    ///
    /// # Errors
    /// This member's id is one that a member of such a machine may have.
    pub(crate) fn may_link<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), NotAdmittedToBus> {
        let names = names.map(str::to_owned).collect();
        let mut core = self.lock();
        core.links.names = names;
        let refused = core.links.refuses(&self.settings.me.id);
        drop(core);
        refused.map_or(Ok(()), |refused| Err(refused.into()))
    }

    /// A link is there: it takes the place of the one before, which has a smaller number.
    ///
    /// # Errors
    /// This process does not listen, or a newer link is there already.
    pub(crate) fn linked(
        self: &Arc<Self>,
        machine: MachineId,
        number: u64,
        outbox: Arc<LinkBox>,
    ) -> Result<(), LinkFault> {
        self.turn(|core, turn| {
            if core.hub.is_none() {
                return Err(LinkFault::NotListening);
            }
            let present = core.links.up.get(&machine);
            if present.is_some_and(|link| link.number > number) {
                return Err(LinkFault::Replaced);
            }
            if core.frozen_at.is_some() {
                outbox.hold();
            }
            let link = Link { number, outbox };
            if let Some(before) = core.links.up.insert(machine, link) {
                before.outbox.close();
            }
            turn.hub(HubEvent::LinkUp(machine));
            Ok(())
        })
    }

    /// A link has ended.
    pub(crate) fn link_ended(self: &Arc<Self>, machine: MachineId, number: u64) {
        self.turn(|core, turn| {
            if core.is_link(machine, number) {
                core.links.up.remove(&machine);
                turn.hub(HubEvent::LinkDown(machine));
            }
        });
    }

    /// A link has brought something.
    pub(in crate::bus) fn link_inputs(
        self: &Arc<Self>,
        machine: MachineId,
        number: u64,
        inputs: Vec<LinkInput>,
    ) {
        self.turn(|core, turn| {
            if !core.is_link(machine, number) {
                return;
            }
            for input in inputs {
                core.link_input(machine, input, turn);
            }
        });
    }
}

#[cfg(test)]
impl Shared {
    /// Of how many members it keeps what they have said of themselves.
    pub(in crate::bus) fn known(&self) -> usize {
        self.lock().members.len()
    }
}

impl Core {
    fn is_link(&self, machine: MachineId, number: u64) -> bool {
        let link = self.links.up.get(&machine);
        link.is_some_and(|link| link.number == number)
    }

    fn link_input(&mut self, from: MachineId, input: LinkInput, turn: &mut Turn<'_>) {
        let mut pass = |core: &mut Self, frame: LinkFrame<Body>| {
            if let LinkFrame::Msg {
                sender,
                to,
                message,
            } = &frame
            {
                core.show_of(sender, to, std::slice::from_ref(message), turn);
            }
            turn.hub(HubEvent::LinkFrame { from, frame });
        };
        match input {
            LinkInput::Announced(info, frame) => {
                self.announced(*info);
                pass(self, frame);
            }
            LinkInput::Frame(frame) => pass(self, frame),
            LinkInput::Frames(frames) => frames.into_iter().for_each(|frame| pass(self, frame)),
            LinkInput::Nothing => {}
            LinkInput::TooLong(id) => {
                let why = "its id is too long with the name of its machine";
                turn.after.events.push(BusEvent::Refused {
                    id: id.chars().take(256).collect(),
                    error: refused("id", why).into(),
                });
            }
        }
    }

    fn announced(&mut self, info: MemberInfo) {
        let member: MemberId = info.member_id();
        self.members.insert(member, Arc::new(info));
    }

    /// A member of another machine for which the hub has no room.
    pub(super) fn not_taken(&mut self, member: MemberId, turn: &mut Turn<'_>) {
        let id = match self.members.get(&member) {
            Some(info) => info.id.as_str().to_owned(),
            None => member.peer.as_str().to_owned(),
        };
        let members = self.hub.as_ref().map_or(0, |hub| hub.members().count());
        let why = format!(
            "the bus has {members} members here, and takes no more: this member of another machine is ignored until its machine is linked anew"
        );
        turn.after.events.push(BusEvent::Refused {
            id: id.chars().take(256).collect(),
            error: refused("full", why).into(),
        });
        self.gone(member);
    }

    /// A frame of the hub for a link.
    pub(super) fn send_link(&self, to: MachineId, frame: LinkFrame<Body>, turn: &mut Turn<'_>) {
        if let Some(link) = self.links.up.get(&to) {
            link.outbox.push(frame);
            turn.after.links.insert(to, link.outbox.clone());
        }
    }
}
