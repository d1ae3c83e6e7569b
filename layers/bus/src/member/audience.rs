//! The receivers that a sender lists: what it accepts is owed to them.
//!
//! In: what the hub says of a receiver. Out: which kept messages are with all that they were owed to. A message
//! neither lists its receivers nor counts them: it is owed to a receiver that was listed before it and has not
//! acknowledged it. So one to all is resolved once each receiver has come to its number. Touches nothing.

use std::collections::BTreeMap;

use crate::{
    frame::PeerPlace,
    id::{MemberId, SeqNo, Session, Token},
};

use super::{
    effect::MemberEffect,
    kept::{Kept, KeptMessage},
};

/// A receiver that is listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Receiver {
    /// Names the place that the receiver has for this sender.
    pub(super) token: Token,
    /// The first number that is owed to it.
    pub(super) start: SeqNo,
    /// It has what is owed to it up to here.
    pub(super) acked: SeqNo,
    /// Its session, if messages pass to it on this connection.
    pub(super) live: Option<Session>,
    /// Messages to all are not owed to it.
    pub(super) keeps_newest: bool,
}

impl Receiver {
    fn new(peer: &PeerPlace, last: SeqNo) -> Self {
        Self {
            token: peer.place.token,
            start: last.next(),
            acked: last,
            live: None,
            keeps_newest: peer.keeps_newest,
        }
    }

    /// True when the message is for it, whether it has it or not.
    pub(super) fn is_addressed<B>(&self, id: &MemberId, kept: &KeptMessage<B>) -> bool {
        kept.message.n >= self.start && kept.to.as_ref().is_none_or(|to| to == id)
    }

    pub(super) fn is_owed<B>(&self, id: &MemberId, kept: &KeptMessage<B>) -> bool {
        self.is_addressed(id, kept) && (kept.to.is_some() || !self.keeps_newest)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Audience {
    receivers: BTreeMap<MemberId, Receiver>,
    totals: Totals,
}

/// What is the same for each message, so that no message looks at each receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Totals {
    /// Receivers that messages pass to on this connection.
    live: usize,
    /// Of the receivers that messages to all are owed to, each has acknowledged up to here. The largest number when there
    /// are none.
    had_by_all: SeqNo,
    /// How many of them have acknowledged nothing after it.
    last_ones: usize,
}

impl Totals {
    fn of(receivers: &BTreeMap<MemberId, Receiver>) -> Self {
        let owed = || receivers.values().filter(|of| !of.keeps_newest);
        let least = owed().map(|of| of.acked).min();
        let had_by_all = least.unwrap_or(SeqNo(u64::MAX));
        Self {
            live: receivers.values().filter(|of| of.live.is_some()).count(),
            had_by_all,
            last_ones: owed().filter(|of| of.acked == had_by_all).count(),
        }
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self::of(&BTreeMap::new())
    }
}

impl Audience {
    /// An audience of these.
    pub(super) fn with(receivers: BTreeMap<MemberId, Receiver>) -> Self {
        let totals = Totals::of(&receivers);
        Self { receivers, totals }
    }

    /// The receivers have changed.
    fn recount(&mut self) {
        self.totals = Totals::of(&self.receivers);
    }

    pub(super) fn get(&self, id: &MemberId) -> Option<&Receiver> {
        self.receivers.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&MemberId, &Receiver)> {
        self.receivers.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.receivers.len()
    }

    /// The connection has ended: messages pass to none.
    pub(super) fn none_live(&mut self) {
        for receiver in self.receivers.values_mut() {
            receiver.live = None;
        }
        self.recount();
    }

    pub(super) const fn any_live(&self) -> bool {
        self.totals.live > 0
    }

    /// True when a message with this number waits for a receiver.
    #[inline]
    pub(super) fn is_owed(&self, n: SeqNo, to: Option<&MemberId>) -> bool {
        match to {
            None => n > self.totals.had_by_all,
            Some(id) => self.receivers.get(id).is_some_and(|of| n > of.acked),
        }
    }

    /// The receivers that a kept message waits for.
    pub(super) fn waits_for<'a, B>(
        &'a self,
        kept: &'a KeptMessage<B>,
    ) -> impl Iterator<Item = &'a MemberId> {
        let receivers = self.receivers.iter();
        let waited_for =
            receivers.filter(|(id, of)| kept.message.n > of.acked && of.is_owed(id, kept));
        waited_for.map(|(id, _)| id)
    }

    /// Lists a receiver, or finds it listed with this place. `last` is the last number that was given.
    pub(super) fn meet(&mut self, peer: &PeerPlace, last: SeqNo) -> Receiver {
        let receiver = self
            .receivers
            .entry(peer.receiver.clone())
            .or_insert_with(|| Receiver::new(peer, last));
        receiver.live = Some(peer.session);
        let receiver = receiver.clone();
        self.recount();
        receiver
    }

    /// A receiver has everything up to `k`.
    pub(super) fn acknowledged<B>(
        &mut self,
        id: &MemberId,
        k: SeqNo,
        kept: &mut Kept<B>,
        out: &mut Vec<MemberEffect<B>>,
    ) {
        let Some(receiver) = self.receivers.get_mut(id) else {
            return;
        };
        if k <= receiver.acked {
            return;
        }
        let before = std::mem::replace(&mut receiver.acked, k);
        let is_owed_all = !receiver.keeps_newest;
        if is_owed_all && before == self.totals.had_by_all {
            self.totals.last_ones -= 1;
            if self.totals.last_ones == 0 {
                self.recount();
            }
        }
        let had_by_all = match is_owed_all {
            true => self.totals.had_by_all.min(k),
            false => SeqNo(0),
        };
        let upto = match kept.any_addressed() {
            true => k,
            false => had_by_all,
        };
        let is_resolved = |kept: &KeptMessage<B>| match &kept.to {
            None => kept.message.n <= had_by_all,
            Some(to) => to == id,
        };
        kept.resolve(&(before.next()..=upto), is_resolved, out);
    }

    /// A receiver is gone, and what it has not acknowledged names it. False when it was not listed.
    pub(super) fn part<B>(
        &mut self,
        id: &MemberId,
        kept: &mut Kept<B>,
        out: &mut Vec<MemberEffect<B>>,
    ) -> bool {
        let Some(receiver) = self.receivers.remove(id) else {
            return false;
        };
        self.recount();
        let had_by_all = self.totals.had_by_all;
        let owed = receiver.acked.next()..=SeqNo(u64::MAX);
        let is_owed = |kept: &KeptMessage<B>| receiver.is_owed(id, kept);
        let of_these = kept.range(&owed).filter(|kept| is_owed(kept));
        for n in of_these.map(|kept| kept.message.n).collect::<Vec<_>>() {
            kept.add_left(n, id);
        }
        let is_resolved = |kept: &KeptMessage<B>| {
            is_owed(kept) && (kept.to.is_some() || kept.message.n <= had_by_all)
        };
        kept.resolve(&owed, is_resolved, out);
        true
    }
}
