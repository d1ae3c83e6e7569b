//! What a member holds, for a status and for tests.
//!
//! In: a member. Out: values, which borrow from it. Pure.

use crate::{
    frame::{PeerPlace, Place},
    id::{MemberId, SeqNo, Token},
};

use super::Member;

/// A receiver that a member lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedReceiver<'a> {
    /// The receiver.
    pub id: &'a MemberId,
    /// Names its place.
    pub token: Token,
    /// The first number that is owed to it.
    pub start: SeqNo,
    /// It has what is owed to it up to here.
    pub acked: SeqNo,
    /// Messages pass to it on the present connection.
    pub is_live: bool,
}

/// A sender that a member has a place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldSender<'a> {
    /// The sender.
    pub id: &'a MemberId,
    /// How far this member has come with it.
    pub place: Place,
    /// Nothing of it has come yet.
    pub is_fresh: bool,
}

/// A message that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnresolvedMessage<'a> {
    /// Its number.
    pub n: SeqNo,
    /// The receiver of an addressed one.
    pub to: Option<&'a MemberId>,
    /// The receivers that have not acknowledged it.
    pub owed: Vec<&'a MemberId>,
    /// The receivers that left before they acknowledged it.
    pub left: &'a [MemberId],
}

impl<B> Member<B> {
    /// The receivers that are listed, in the order of their ids.
    pub fn listed(&self) -> impl Iterator<Item = ListedReceiver<'_>> {
        self.audience.iter().map(|(id, receiver)| ListedReceiver {
            id,
            token: receiver.token,
            start: receiver.start,
            acked: receiver.acked,
            is_live: receiver.live.is_some(),
        })
    }

    /// The senders that it has a place for, in the order of their ids.
    pub fn senders(&self) -> impl Iterator<Item = HeldSender<'_>> {
        self.places.iter().map(|(id, held)| HeldSender {
            id,
            place: held.place,
            is_fresh: held.fresh,
        })
    }

    /// True when the receiver has forgotten this member since they met last: it was told that this one had left. So it
    /// answers nothing that it was asked before.
    pub fn is_forgotten(&self, now: &PeerPlace) -> bool {
        let receiver = self.audience.get(&now.receiver);
        receiver.is_some_and(|receiver| receiver.token != now.place.token)
    }

    /// True when more has come than the hub was told: a [`MemberEvent::Acknowledge`](crate::MemberEvent::Acknowledge) has
    /// an effect, unless it [waits](Self::waits).
    pub fn owes_acknowledgements(&self) -> bool {
        self.places.iter().any(|(_, held)| held.place.k > held.told)
    }

    /// The messages that are kept, in their order. Looks at each receiver for each message.
    pub fn unresolved(&self) -> impl Iterator<Item = UnresolvedMessage<'_>> {
        self.kept.iter().map(|kept| UnresolvedMessage {
            n: kept.message.n,
            to: kept.to.as_ref(),
            owed: self.audience.waits_for(kept).collect(),
            left: self.kept.left(kept.message.n),
        })
    }
}
