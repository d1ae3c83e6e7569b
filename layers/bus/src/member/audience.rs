//! The receivers that a sender lists: what it accepts is owed to them.
//!
//! In: what the hub says of a receiver. Out: which kept messages are with all that they were owed to. A message
//! does not list its receivers: it is owed to a receiver that was listed before it and has not acknowledged it,
//! and counts how many those are. Touches nothing.

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

    /// True when a message to all with this number waits for its acknowledgement.
    fn is_owed_to_all(&self, n: SeqNo) -> bool {
        !self.keeps_newest && n > self.acked
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Totals {
    /// Receivers that messages pass to on this connection.
    live: usize,
    /// Receivers that messages to all are owed to.
    owed_to_all: usize,
    /// The largest number that any of them has acknowledged.
    acked: SeqNo,
}

impl Audience {
    /// An audience of these.
    pub(super) fn with(receivers: BTreeMap<MemberId, Receiver>) -> Self {
        let all = || receivers.values();
        let totals = Totals {
            live: all().filter(|receiver| receiver.live.is_some()).count(),
            owed_to_all: all().filter(|receiver| !receiver.keeps_newest).count(),
            acked: all()
                .map(|receiver| receiver.acked)
                .max()
                .unwrap_or_default(),
        };
        Self { receivers, totals }
    }

    /// The receivers have changed.
    fn recount(&mut self) {
        *self = Self::with(std::mem::take(&mut self.receivers));
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

    /// How many receivers a message with this number waits for.
    #[inline]
    pub(super) fn owed(&self, n: SeqNo, to: Option<&MemberId>) -> usize {
        match to {
            None if n > self.totals.acked => self.totals.owed_to_all,
            to => self.owed_by_receivers(n, to),
        }
    }

    fn owed_by_receivers(&self, n: SeqNo, to: Option<&MemberId>) -> usize {
        match to {
            // A receiver has acknowledged what was not sent yet.
            None => self
                .receivers
                .values()
                .filter(|receiver| receiver.is_owed_to_all(n))
                .count(),
            Some(id) => usize::from(
                self.receivers
                    .get(id)
                    .is_some_and(|receiver| n > receiver.acked),
            ),
        }
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
        let news = receiver.acked.next()..=k;
        receiver.acked = k;
        self.totals.acked = self.totals.acked.max(k);
        kept.retain(news, |kept| {
            if receiver.is_owed(id, kept) {
                settle(kept, out)
            } else {
                true
            }
        });
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
        kept.retain(receiver.acked.next()..=SeqNo(u64::MAX), |kept| {
            if !receiver.is_owed(id, kept) {
                return true;
            }
            let left = kept.left.get_or_insert_default();
            if let Err(at) = left.binary_search(id) {
                left.insert(at, id.clone());
            }
            settle(kept, out)
        });
        true
    }
}

/// One receiver less waits for a message. False when it was the last one: then the message is resolved.
#[inline]
fn settle<B>(kept: &mut KeptMessage<B>, out: &mut Vec<MemberEffect<B>>) -> bool {
    kept.owed = kept.owed.saturating_sub(1);
    if kept.owed > 0 {
        return true;
    }
    let n = kept.message.n;
    if kept.left.is_none()
        && let Some(MemberEffect::Resolved { numbers, left }) = out.last_mut()
        && left.is_empty()
        && numbers.end().next() == n
    {
        // Messages that an acknowledgement resolves mostly follow each other.
        *numbers = *numbers.start()..=n;
    } else {
        out.push(MemberEffect::Resolved {
            numbers: n..=n,
            left: kept.left.take().unwrap_or_default(),
        });
    }
    false
}
