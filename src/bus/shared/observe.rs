//! Connections that look on: the members that are present, and what passes.
//!
//! In: observations, frames of members. Out: payloads in the outboxes of those connections. Touches nothing else. A
//! connection that reads too slowly misses messages; none waits for it.

use std::collections::HashMap;

use kyneta_uds_bus::{ConnectionKey, MemberId, Message, Recipients, UpFrame};
#[cfg(feature = "status")]
use kyneta_uds_core::PeerId;

#[cfg(feature = "status")]
use super::Shared;
use super::{
    core::{Core, OWN},
    turn::Turn,
};
use crate::{
    bus::{
        bundle,
        wire::{Body, Introduction, Observation, Passed, Wire},
    },
    observers::MAX_OBSERVERS,
};

#[cfg(feature = "status")]
impl Shared {
    /// How many frames wait for each member that is connected here.
    pub(crate) fn waits(&self) -> HashMap<PeerId, usize> {
        let core = self.lock();
        let waits = core.waits().map(|(of, waits)| (of.peer.clone(), waits));
        waits.collect()
    }
}

impl Core {
    /// A connection looks on. One for which there is no room is told nothing, and ends.
    pub(super) fn observe(
        &mut self,
        key: ConnectionKey,
        observation: &Observation,
        turn: &mut Turn<'_>,
    ) {
        if self.taps.contains_key(&key) {
            return;
        }
        let members = Wire::Members(self.who());
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.greeting = None;
        let has_room = !observation.tap || self.taps.len() < MAX_OBSERVERS;
        if has_room {
            connection.outbox.push_wire(members);
            turn.after.down(&connection.outbox);
        }
        if has_room && observation.tap {
            self.taps.insert(key, 0);
        } else {
            connection.is_closing = true;
            turn.after.closed.push(connection.handle.clone());
        }
    }

    /// How many frames wait for each member that is connected here.
    fn waits(&self) -> impl Iterator<Item = (&MemberId, usize)> {
        let connections = self.connections.values();
        connections.filter_map(|of| Some((of.member.as_ref()?, of.outbox.len())))
    }

    fn who(&self) -> Vec<Introduction> {
        let Some(hub) = &self.hub else {
            return Vec::new();
        };
        let waits: HashMap<_, _> = self.waits().collect();
        let present = hub.members().filter(|of| of.route.is_some());
        present
            .map(|of| {
                let info = self.info(of.id);
                Introduction {
                    since_ms: u64::try_from(info.since.elapsed().as_millis()).ok(),
                    waits: u64::try_from(waits.get(of.id).copied().unwrap_or(0)).ok(),
                    ..info.introduction()
                }
            })
            .collect()
    }

    /// What a member sends is shown to the connections that look on.
    pub(super) fn show_taps(
        &mut self,
        from: ConnectionKey,
        frame: &UpFrame<Body>,
        turn: &mut Turn<'_>,
    ) {
        let UpFrame::Msg { to, message } = frame else {
            return;
        };
        if self.taps.is_empty() {
            return;
        }
        self.show(from, to, std::slice::from_ref(message), turn);
    }

    /// The same of messages that came at one time. What is the same for each is looked for once.
    pub(super) fn show(
        &mut self,
        from: ConnectionKey,
        to: &Recipients,
        run: &[Message<Body>],
        turn: &mut Turn<'_>,
    ) {
        let sender = match from {
            OWN => Some(self.member.id()),
            key => self.connections.get(&key).and_then(|of| of.member.as_ref()),
        };
        if let Some(sender) = sender.cloned() {
            self.show_of(&sender, to, run, turn);
        }
    }

    /// The messages of this member are shown to the connections that look on.
    pub(super) fn show_of(
        &mut self,
        sender: &MemberId,
        to: &Recipients,
        run: &[Message<Body>],
        turn: &mut Turn<'_>,
    ) {
        if self.taps.is_empty() {
            return;
        }
        let to: Vec<_> = match to {
            Recipients::All => Vec::new(),
            Recipients::Listed(members) => members
                .iter()
                .map(|of| of.peer.as_str().to_owned())
                .collect(),
        };
        for (key, missed) in &mut self.taps {
            let Some(connection) = self.connections.get(key) else {
                continue;
            };
            let mut is_shown = false;
            for message in run {
                let passed = || {
                    Wire::Passed(Box::new(Passed {
                        from: sender.peer.as_str().to_owned(),
                        to: to.clone(),
                        n: message.n.0,
                        missed: *missed,
                        kind: message.body.kind,
                        data: message.body.data.clone(),
                    }))
                };
                match connection.outbox.show(message.body.data.len(), passed) {
                    true => (*missed, is_shown) = (0, true),
                    false => *missed += bundle::count(message) as u64,
                }
            }
            if is_shown {
                turn.after.down(&connection.outbox);
            }
        }
    }
}
