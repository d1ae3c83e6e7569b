//! What a sender has on the way to one receiver: sent, and not acknowledged.
//!
//! In: numbers and sizes that are sent, numbers that are acknowledged. Out: how much is on the way. Touches nothing.
//!
//! Numbers alone do not say it: those between may have gone to others. So sums are noted at some numbers, and what is
//! acknowledged counts up to the last noted one.

use std::collections::VecDeque;

use kyneta_uds_bus::SeqNo;

/// A sum is noted after so many messages, or bytes.
pub(crate) const EACH: Load = Load {
    messages: 256,
    bytes: 256 << 10,
};

/// Messages and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Load {
    /// True when one of the two is more than here.
    pub(crate) const fn is_beyond(self, limit: Self) -> bool {
        self.messages > limit.messages || self.bytes > limit.bytes
    }

    const fn less(self, other: Self) -> Self {
        Self {
            messages: self.messages - other.messages,
            bytes: self.bytes - other.bytes,
        }
    }
}

/// From one sender to one receiver.
#[derive(Debug, Default)]
pub(crate) struct OnTheWay {
    sent: Load,
    acked: Load,
    noted: VecDeque<(SeqNo, Load)>,
}

impl OnTheWay {
    /// What is sent, with this last number; how much is on the way now, at most: up to what is noted together too much.
    pub(crate) fn sent(&mut self, n: SeqNo, load: Load) -> Load {
        self.sent.messages += load.messages;
        self.sent.bytes += load.bytes;
        let last = self.noted.back().map_or(self.acked, |(_, sum)| *sum);
        let since = self.sent.less(last);
        if since.messages >= EACH.messages || since.bytes >= EACH.bytes {
            self.noted.push_back((n, self.sent));
        }
        self.sent.less(self.acked)
    }

    /// The receiver has all up to `k`; `is_all`: that is all that was sent.
    pub(crate) fn acked(&mut self, k: SeqNo, is_all: bool) {
        if is_all {
            self.acked = self.sent;
            return self.noted.clear();
        }
        while let Some((n, sum)) = self.noted.front()
            && *n <= k
        {
            self.acked = *sum;
            self.noted.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_way_is_known_up_to_what_is_noted_together() {
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let mut on_the_way = OnTheWay::default();
        let (mut n, mut k, mut all) = (0, 0, Vec::new());
        for _ in 0..10_000 {
            // Numbers between may have gone to others.
            n += 1 + next(300);
            let load = Load {
                messages: 1 + next(40),
                bytes: next(20_000),
            };
            all.push((n, load));
            let said = on_the_way.sent(SeqNo(n), load);
            let mut exact = Load::default();
            for (_, load) in all.iter().filter(|(n, _)| *n > k) {
                exact.messages += load.messages;
                exact.bytes += load.bytes;
            }
            assert!(exact.messages <= said.messages && exact.bytes <= said.bytes);
            assert!(said.messages <= exact.messages + EACH.messages + 40);
            assert!(said.bytes <= exact.bytes + EACH.bytes + 20_000);
            if next(20) == 0 {
                k += next(n - k + 1);
                on_the_way.acked(SeqNo(k), k == n);
                all.retain(|(n, _)| *n > k);
            }
        }
        on_the_way.acked(SeqNo(n), true);
        let one = Load {
            messages: 1,
            bytes: 5,
        };
        assert_eq!(on_the_way.sent(SeqNo(n + 1), one), one);
        assert!(on_the_way.noted.is_empty());
    }
}
