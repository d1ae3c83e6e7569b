//! The places of a receiver: one for each sender that it knows.
//!
//! In: what the hub says of a sender. Out: whether a message is new, and how many were missed. Touches nothing.

use std::{collections::BTreeMap, ops::RangeInclusive};

use crate::{
    frame::{Message, Place},
    id::{MemberId, SeqNo, Token},
};

/// A receiver's place for one sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HeldPlace {
    pub(super) place: Place,
    /// Nothing of the sender has come yet, so nothing was missed.
    pub(super) fresh: bool,
    /// The hub has been told of everything up to here.
    pub(super) told: SeqNo,
    /// The last message that waits for the user, or did, and the last one that the user has got.
    pub(super) waits: SeqNo,
    pub(super) got: SeqNo,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Places {
    held: BTreeMap<MemberId, HeldPlace>,
    last_token: Token,
}

impl Places {
    /// Those that another process had.
    pub(super) const fn with(held: BTreeMap<MemberId, HeldPlace>, last_token: Token) -> Self {
        Self { held, last_token }
    }

    pub(super) const fn last_token(&self) -> Token {
        self.last_token
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&MemberId, &HeldPlace)> {
        self.held.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn contains(&self, sender: &MemberId) -> bool {
        self.held.contains_key(sender)
    }

    /// The token of the place for a sender; makes the place if there is none.
    pub(super) fn token(&mut self, sender: MemberId) -> Token {
        let last_token = &mut self.last_token;
        let held = self.held.entry(sender).or_insert_with(|| {
            *last_token = last_token.next();
            HeldPlace {
                place: Place {
                    token: *last_token,
                    k: SeqNo(0),
                },
                fresh: true,
                told: SeqNo(0),
                waits: SeqNo(0),
                got: SeqNo(0),
            }
        });
        held.place.token
    }

    pub(super) fn forget(&mut self, sender: &MemberId) {
        self.held.remove(sender);
    }

    /// All places, as the greeting tells them to a hub.
    pub(super) fn tell(&mut self) -> Vec<(MemberId, Place)> {
        let told = self.held.iter_mut().map(|(sender, held)| {
            held.told = held.had();
            let (token, k) = (held.place.token, held.told);
            (sender.clone(), Place { token, k })
        });
        told.collect()
    }

    /// The senders of which the user has got more than the hub was told.
    pub(super) fn untold(&mut self, mut tell: impl FnMut(&MemberId, SeqNo)) {
        for (sender, held) in &mut self.held {
            let had = held.had();
            if had > held.told {
                held.told = had;
                tell(sender, had);
            }
        }
    }

    /// A sender's message waits for the user.
    pub(super) fn waits(&mut self, sender: &MemberId, n: SeqNo) {
        if let Some(held) = self.held.get_mut(sender) {
            held.waits = held.waits.max(n);
        }
    }

    /// The user has got a sender's messages up to `n`.
    pub(super) fn got(&mut self, sender: &MemberId, n: SeqNo) {
        if let Some(held) = self.held.get_mut(sender) {
            held.got = held.got.max(n);
        }
    }

    /// A sender goes on at `from`. Returns how many messages before it will not come.
    pub(super) fn start(&mut self, sender: &MemberId, from: SeqNo) -> u64 {
        let Some(held) = self.held.get_mut(sender) else {
            return 0;
        };
        let was_fresh = std::mem::replace(&mut held.fresh, false);
        let last = from.before();
        if last <= held.place.k {
            return 0;
        }
        let missed = last.0 - held.place.k.0;
        held.place.k = last;
        if was_fresh { 0 } else { missed }
    }

    /// Of a sender's messages, keeps those that are new: they are passed from now on. Returns how many were not.
    pub(super) fn advance_run<B>(&mut self, sender: &MemberId, run: &mut Vec<Message<B>>) -> u64 {
        let all = run.len();
        let Some(held) = self.held.get_mut(sender) else {
            run.clear();
            return all as u64;
        };
        let k = &mut held.place.k;
        run.retain(|message| {
            let is_new = message.n > *k;
            *k = message.n.max(*k);
            is_new
        });
        held.fresh &= run.is_empty();
        (all - run.len()) as u64
    }

    /// Returns how many of the last numbers are new: they are passed from now on.
    pub(super) fn advance_all(
        &mut self,
        sender: &MemberId,
        numbers: &RangeInclusive<SeqNo>,
    ) -> u64 {
        let Some(held) = self.held.get_mut(sender) else {
            return 0;
        };
        let before = held.place.k.max(numbers.start().before());
        let new = numbers.end().0.saturating_sub(before.0);
        if new > 0 {
            held.place.k = *numbers.end();
            held.fresh = false;
        }
        new
    }

    /// True when the number is new: it is passed from now on.
    pub(super) fn advance(&mut self, sender: &MemberId, n: SeqNo) -> bool {
        let Some(held) = self.held.get_mut(sender) else {
            return false;
        };
        if n <= held.place.k {
            return false;
        }
        held.place.k = n;
        held.fresh = false;
        true
    }
}

impl HeldPlace {
    /// Everything up to here is had: what waits for the user is not, nor what came behind it.
    const fn had(&self) -> SeqNo {
        if self.has_waiting() {
            self.got
        } else {
            self.place.k
        }
    }

    /// Something waits for the user.
    pub(super) const fn has_waiting(&self) -> bool {
        self.got.0 < self.waits.0
    }
}
