//! This process's own member, while it listens: a member like any other, also when it is stuck.
//!
//! In: what it owes and how far it has come, and the time. Out: it is removed from the hub, and joins again when it goes on.
//! Touches nothing else. It has no connection that could be closed, so what it is sent stays in the inbox.

use std::time::Instant;

use kyneta_uds_bus::{HubEvent, MemberEvent, MemberId, Refusal};

use super::{core::Core, turn::Turn};
use crate::bus::{event::BusEvent, refusal, stall::Stall};

/// How the own member does at the hub of this process.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// How many messages its handler had been given when it was looked at, while it owed something, and since when.
    progress: Option<(u64, Instant)>,
    /// What each sender has on the way to it.
    pub(super) stall: Stall,
    /// Its senders do not wait for it.
    pub(super) keeps_newest: bool,
    /// It was stuck, or a newer process has its id: it is not on the bus.
    is_out: bool,
}

impl Core {
    /// True while this process listens and its member has messages that it has not acknowledged.
    pub(super) fn own_member_owes(&self) -> bool {
        self.hub.is_some() && !self.own.is_out && self.member.owes_acknowledgements()
    }

    /// Removes the own member from the hub when its handler has been at the same message for too long.
    pub(super) fn end_own_if_stalled(&mut self, turn: &mut Turn<'_>) {
        if !self.own_member_owes() {
            self.own.progress = None;
            return;
        }
        self.watches_stalls = true;
        let given = turn.shared.counts().received;
        let since = match self.own.progress {
            Some((before, since)) if before == given => since,
            _ => Instant::now(),
        };
        self.own.progress = Some((given, since));
        if since.elapsed() < turn.shared.settings().stall {
            return;
        }
        let me = self.member.id().clone();
        self.own.is_out = true;
        turn.after.events.push(BusEvent::Stalled(self.info(&me)));
        turn.member(MemberEvent::Disconnected);
        turn.hub(HubEvent::Removed(me));
    }

    /// The hub has removed the own member. If a newer process has its id, it stays away.
    pub(super) fn own_member_is_out(&mut self, turn: &mut Turn<'_>) {
        let me = self.member.id().clone();
        let is_newer = |of: &MemberId| of.is_same_peer(&me) && of.incarnation > me.incarnation;
        if self.own.is_out || !self.members.keys().any(is_newer) {
            return;
        }
        self.own.is_out = true;
        turn.after.refused = Some(refusal::of_hub(Refusal::Replaced).into());
        turn.member(MemberEvent::Disconnected);
    }

    /// The handler has gone on.
    pub(super) fn own_member_goes_on(&mut self, turn: &mut Turn<'_>) {
        if std::mem::take(&mut self.own.is_out) && self.hub.is_some() {
            turn.member(MemberEvent::Connected);
        }
    }
}
