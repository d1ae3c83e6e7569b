//! What a hub does with a member that sends more than any window allows: it is bounded here, whatever it says.
//!
//! In: messages to receivers, and what their senders have on the way to them. Out: members that are removed, events. Touches
//! nothing else. Members keep to their windows by themselves; one that does not would fill the memory of all others.

use std::time::Instant;

use kyneta_uds_bus::{DownFrame, HubEvent, MachineId, MemberId, Message, UpFrame};

use super::{Settings, core::Core, turn::Turn};
use crate::bus::{
    bundle,
    event::BusEvent,
    load::{EACH, Load},
    refusal::refused,
    stall::Sent,
    wire::{Body, Refused},
};

/// Windows of other members may be larger than that of the listener, by so much.
const TIMES: u64 = 16;

/// How many members that have sent too much are known. With each new process the oldest is forgotten.
const MAX_REFUSED: usize = 64;

impl Settings {
    /// The most that a member may have on the way to one other.
    fn most_on_the_way(&self) -> Load {
        let messages = (self.window as u64).saturating_mul(TIMES);
        let bytes = (self.max_bytes as u64).saturating_mul(TIMES);
        let bytes = bytes.saturating_add(self.max_message as u64);
        // What is on the way is not known more exactly.
        Load {
            messages: messages.saturating_add(2 * EACH.messages),
            bytes: bytes.saturating_add(2 * EACH.bytes),
        }
    }
}

/// How much these are.
pub(super) fn load(messages: &[Message<Body>]) -> Load {
    Load {
        messages: messages
            .iter()
            .map(|message| bundle::count(message) as u64)
            .sum(),
        bytes: messages
            .iter()
            .map(|message| message.body.data.len() as u64)
            .sum(),
    }
}

impl Sent {
    /// Once a receiver owes something, it is watched.
    pub(super) fn watch(self, watches_stalls: &mut bool, turn: &mut Turn<'_>) {
        if self.owes && !std::mem::replace(watches_stalls, true) {
            turn.after.watch_stalls = true;
        }
    }

    /// Its sender has more on the way to the receiver than any window allows.
    pub(super) fn is_beyond_window(self, turn: &Turn<'_>) -> bool {
        let most = turn.shared.settings().most_on_the_way();
        self.on_the_way.is_beyond(most)
    }
}

impl Core {
    /// Messages have gone to a receiver.
    pub(super) fn after_sent(&mut self, sender: &MemberId, sent: Sent, turn: &mut Turn<'_>) {
        sent.watch(&mut self.watches_stalls, turn);
        if sent.is_beyond_window(turn) {
            self.end_beyond_window(sender, turn);
        }
    }

    /// The same, when the receiver is this process's own member.
    pub(super) fn sent_to_own(
        &mut self,
        sender: &MemberId,
        messages: &[Message<Body>],
        turn: &mut Turn<'_>,
    ) {
        if self.own.keeps_newest {
            return;
        }
        let Some(last) = messages.iter().map(|message| message.n).max() else {
            return;
        };
        let sent = self
            .own
            .stall
            .sent(sender, last, load(messages), Instant::now);
        // That it is stuck is seen otherwise.
        let sent = Sent {
            owes: false,
            ..sent
        };
        self.after_sent(sender, sent, turn);
    }

    /// A frame comes from this process's own member.
    pub(super) fn frame_of_own(&mut self, frame: &UpFrame<Body>) {
        match frame {
            UpFrame::Ack { sender, k } => self.own.stall.acked(sender, *k, Instant::now),
            UpFrame::Hello(hello) => self.own.keeps_newest = hello.slow.keeps_newest(),
            _ => {}
        }
    }

    /// A frame goes to this process's own member.
    pub(super) fn frame_to_own(&mut self, frame: &DownFrame<Body>, turn: &mut Turn<'_>) {
        match frame {
            DownFrame::Msg { sender, message } => {
                self.sent_to_own(sender, std::slice::from_ref(message), turn);
            }
            DownFrame::Left(member) => self.own.stall.forget(member),
            _ => {}
        }
    }

    pub(super) fn end_beyond_window(&mut self, sender: &MemberId, turn: &mut Turn<'_>) {
        // Members of other machines are bounded by their own hubs.
        let is_here = sender.machine == MachineId::default();
        if !is_here || sender == self.member.id() || self.beyond_window.contains(sender) {
            return;
        }
        if self.beyond_window.len() == MAX_REFUSED {
            self.beyond_window.pop_front();
        }
        self.beyond_window.push_back(sender.clone());
        let event = BusEvent::BeyondWindow(self.info(sender));
        turn.after.events.push(event);
        turn.hub(HubEvent::Removed(sender.clone()));
    }

    /// Why a member is not admitted again.
    pub(super) fn refuses_beyond_window(&self, member: &MemberId) -> Option<Refused> {
        let why = "this process has sent more than any window allows, and is not admitted again";
        let is_refused = self.beyond_window.contains(member);
        is_refused.then(|| refused("beyond-window", why))
    }
}
