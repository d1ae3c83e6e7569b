//! Whether a receiver acknowledges what it is sent, and how much each sender has on the way to it.
//!
//! In: numbers that are sent and acknowledged, and the time. Out: since when nothing has been acknowledged although
//! something waits; how much is on the way. Touches nothing.

use std::time::Instant;

use kyneta_uds_bus::{MemberId, SeqNo};

use super::{
    load::{Load, OnTheWay},
    quick::QuickMap,
};

/// Of one receiver.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    senders: QuickMap<MemberId, Sender>,
    /// How many senders wait for it.
    waiting: usize,
    since: Option<Instant>,
}

/// The last number that was sent, the last one that was acknowledged, and how much that is.
#[derive(Debug, Default)]
struct Sender {
    sent: SeqNo,
    acked: SeqNo,
    on_the_way: OnTheWay,
}

impl Sender {
    const fn is_waited_for(&self) -> bool {
        self.sent.0 > self.acked.0
    }

    /// Messages go to the receiver: true when it owes something from now on. And what is on the way.
    fn sent(&mut self, n: SeqNo, load: Load) -> (bool, Load) {
        let was_waited_for = self.is_waited_for();
        self.sent = self.sent.max(n);
        let on_the_way = self.on_the_way.sent(n, load);
        (!was_waited_for && self.is_waited_for(), on_the_way)
    }
}

/// What follows from a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    /// The receiver owes something from now on.
    pub(crate) owes: bool,
    /// What its sender has on the way to it.
    pub(crate) on_the_way: Load,
}

impl Stall {
    /// Messages go to it, the last one with this number.
    pub(crate) fn sent(
        &mut self,
        sender: &MemberId,
        n: SeqNo,
        load: Load,
        now: impl FnOnce() -> Instant,
    ) -> Sent {
        // Mostly it is known: its id is not cloned then.
        let (begins, on_the_way) = match self.senders.get_mut(sender) {
            Some(of) => of.sent(n, load),
            None => {
                let of = self.senders.entry(sender.clone()).or_default();
                of.sent(n, load)
            }
        };
        let mut sent = Sent {
            owes: false,
            on_the_way,
        };
        if !begins {
            return sent;
        }
        self.waiting += 1;
        sent.owes = self.since.is_none();
        self.since.get_or_insert_with(now);
        sent
    }

    /// It has a sender's messages up to `k`.
    pub(crate) fn acked(&mut self, sender: &MemberId, k: SeqNo, now: impl FnOnce() -> Instant) {
        let Some(of) = self.senders.get_mut(sender) else {
            return;
        };
        let was_waited_for = of.is_waited_for();
        of.acked = of.acked.max(k);
        let is_all = !of.is_waited_for();
        of.on_the_way.acked(k, is_all);
        if was_waited_for && is_all {
            self.waiting -= 1;
        }
        self.since = (self.waiting > 0).then(now);
    }

    /// The senders that wait for it, and the last number of each that was sent.
    pub(crate) fn owed(&self) -> impl Iterator<Item = (&MemberId, SeqNo)> {
        let owed = self.senders.iter().filter(|(_, of)| of.is_waited_for());
        owed.map(|(sender, of)| (sender, of.sent))
    }

    /// A sender is gone.
    pub(crate) fn forget(&mut self, sender: &MemberId) {
        if let Some(of) = self.senders.remove(sender)
            && of.is_waited_for()
        {
            self.waiting -= 1;
            if self.waiting == 0 {
                self.since = None;
            }
        }
    }

    /// Since when nothing has been acknowledged although something waits.
    pub(crate) const fn since(&self) -> Option<Instant> {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kyneta_uds_bus::Incarnation;
    use kyneta_uds_core::PeerId;

    use super::*;

    #[test]
    fn it_counts_from_the_last_acknowledgement_while_something_waits() {
        let id = |id: &str| MemberId::new(PeerId::new(id).unwrap(), Incarnation(1));
        let (a, b) = (id("a"), id("b"));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stall = Stall::default();
        assert_eq!(stall.since(), None);
        let load = Load {
            messages: 1,
            bytes: 10,
        };
        let sent = stall.sent(&a, SeqNo(3), load, || at(1));
        assert_eq!((sent.owes, sent.on_the_way), (true, load));
        assert!(!stall.sent(&b, SeqNo(1), load, || at(2)).owes);
        assert_eq!(stall.since(), Some(at(1)));
        stall.acked(&a, SeqNo(2), || at(3));
        assert_eq!(stall.since(), Some(at(3)));
        stall.acked(&a, SeqNo(3), || at(4));
        assert_eq!(stall.since(), Some(at(4)));
        stall.forget(&b);
        assert_eq!(stall.since(), None);
    }
}
