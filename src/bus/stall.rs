//! Whether a receiver acknowledges what it is sent.
//!
//! In: numbers that are sent and acknowledged, and the time. Out: since when nothing has been acknowledged although
//! something waits. Touches nothing.

use std::{collections::HashMap, time::Instant};

use kyneta_uds_bus::{MemberId, SeqNo};

/// Of one receiver.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// Of each sender: the last number that was sent, and the last one that was acknowledged.
    senders: HashMap<MemberId, (SeqNo, SeqNo)>,
    /// How many senders wait for it.
    waiting: usize,
    since: Option<Instant>,
}

impl Stall {
    /// A message goes to it. True when it owes something from now on.
    pub(crate) fn sent(
        &mut self,
        sender: &MemberId,
        n: SeqNo,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let none = (SeqNo(0), SeqNo(0));
        if !self.senders.contains_key(sender) {
            self.senders.insert(sender.clone(), none);
        }
        let Some((sent, acked)) = self.senders.get_mut(sender) else {
            return false;
        };
        let was_waited_for = sent > acked;
        *sent = (*sent).max(n);
        if was_waited_for || *sent <= *acked {
            return false;
        }
        self.waiting += 1;
        let is_first = self.since.is_none();
        self.since.get_or_insert_with(now);
        is_first
    }

    /// It has a sender's messages up to `k`.
    pub(crate) fn acked(&mut self, sender: &MemberId, k: SeqNo, now: impl FnOnce() -> Instant) {
        let Some((sent, acked)) = self.senders.get_mut(sender) else {
            return;
        };
        let was_waited_for = sent > acked;
        *acked = (*acked).max(k);
        if was_waited_for && sent <= acked {
            self.waiting -= 1;
        }
        self.since = (self.waiting > 0).then(now);
    }

    /// A sender is gone.
    pub(crate) fn forget(&mut self, sender: &MemberId) {
        if let Some((sent, acked)) = self.senders.remove(sender)
            && sent > acked
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
        assert!(stall.sent(&a, SeqNo(3), || at(1)));
        assert!(!stall.sent(&b, SeqNo(1), || at(2)));
        assert_eq!(stall.since(), Some(at(1)));
        stall.acked(&a, SeqNo(2), || at(3));
        assert_eq!(stall.since(), Some(at(3)));
        stall.acked(&a, SeqNo(3), || at(4));
        assert_eq!(stall.since(), Some(at(4)));
        stall.forget(&b);
        assert_eq!(stall.since(), None);
    }
}
