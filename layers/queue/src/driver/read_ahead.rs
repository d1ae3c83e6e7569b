//! Reading ahead: while the handler waits and the peer takes nothing, its messages are still read.
//!
//! In: what the channel yields. Out: the same, later, in its order. Touches nothing.
//!
//! Two ends whose handlers answer could otherwise deadlock: each writes, neither reads. So a side that
//! cannot write reads on, within bounds, and admits no other senders until its handler has answered what
//! was read. What both had sent before fits into the bound; from then on each has room for the answers.

use std::collections::VecDeque;

use kyneta_uds_core::{DisconnectReason, Inbound, Message, Rejection};

use crate::{budget::Lease, config::QueueConfig};

/// How many times the queue's bound of bytes may be read ahead: what a peer of the same bound had queued,
/// and its answers to what this side had.
const TIMES: usize = 2;

/// What may be read ahead on top: what the kernel held (208 KiB a socket), which takes more as messages.
const IN_KERNEL: usize = 4 << 20;

/// What one message that was read ahead counts beside its own size.
const EACH: usize = 64;

/// Messages that the handler takes for each one admitted from another sender.
const BETWEEN_SENDERS: usize = 4;

/// What the channel has yielded.
pub(super) type Item<M> = Option<Result<Inbound<M>, DisconnectReason>>;

#[derive(Debug)]
pub(super) struct ReadAhead<M> {
    items: VecDeque<(Item<M>, usize)>,
    bytes: usize,
    lease: Option<Lease>,
    /// The end of the stream is among them.
    ended: bool,
    /// What the channel had worked on when it yielded the last of them.
    worked: u64,
    /// Messages that the handler has taken since another sender was let in.
    taken: usize,
}

impl<M: Message> ReadAhead<M> {
    /// Empty; the channel has worked on `worked` bytes so far.
    pub(super) fn new(config: &QueueConfig, worked: u64) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            lease: config.budget.clone().map(Lease::new),
            ended: false,
            worked,
            taken: 0,
        }
    }

    pub(super) fn has_room(&self, config: &QueueConfig) -> bool {
        let most = config
            .max_bytes
            .saturating_mul(TIMES)
            .saturating_add(IN_KERNEL);
        !self.ended && self.bytes < most && !self.lacks_budget()
    }

    /// True when the room that queues share is used up.
    pub(super) fn lacks_budget(&self) -> bool {
        let lacks = |lease: &Lease| !lease.has_room(self.items.len(), self.bytes);
        self.lease.as_ref().is_some_and(lacks)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Keeps `item`, which the channel, that has `worked` on so many bytes, has yielded. It counts what was
    /// worked on for it, if that is more than its size: a message that is a range of what was read may keep
    /// alive what was passed over beside it.
    pub(super) fn push(&mut self, item: Item<M>, worked: u64) {
        let size = match &item {
            Some(Ok(Inbound::Message(msg))) => msg.size(),
            Some(Ok(Inbound::Rejected(rejection))) => size_of::<Item<M>>() + text(rejection),
            Some(Ok(_)) => size_of::<Item<M>>(),
            None | Some(Err(_)) => {
                self.ended = true;
                0
            }
        };
        let since = worked.saturating_sub(std::mem::replace(&mut self.worked, worked));
        let read = usize::try_from(since).unwrap_or(usize::MAX);
        let size = size.saturating_add(EACH).max(read);
        self.bytes = self.bytes.saturating_add(size);
        self.items.push_back((item, size));
        self.hold();
    }

    pub(super) fn pop(&mut self) -> Option<Item<M>> {
        let (item, size) = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size);
        self.taken += 1;
        self.hold();
        Some(item)
    }

    fn hold(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.hold(self.items.len(), self.bytes);
        }
    }

    /// True when another sender is due: the handler has taken its share, or waits for something else
    /// (`idle`), which may be that very sender.
    pub(super) fn owes_a_sender(&mut self, idle: bool) -> bool {
        let due = idle || self.taken >= BETWEEN_SENDERS;
        if due {
            self.taken = 0;
        }
        due
    }
}

/// Bytes of what a rejection says: some of it may be the peer's.
fn text(rejection: &Rejection) -> usize {
    match rejection {
        Rejection::Decode { what, .. } => what.len(),
        Rejection::Invalid { path, what } => path.len().saturating_add(what.len()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_core::Notice;

    use super::*;
    use crate::budget::Budget;

    struct Large([u64; 128]);

    impl Message for Large {
        fn size(&self) -> usize {
            size_of_val(&self.0)
        }
    }

    type Read = ReadAhead<Vec<u8>>;

    fn message(len: usize) -> Item<Vec<u8>> {
        Some(Ok(Inbound::Message(vec![0; len])))
    }

    #[test]
    fn it_is_bounded_by_bytes_and_by_the_shared_budget() {
        let each = EACH + size_of::<Vec<u8>>() + 1_000;
        let table = [
            (QueueConfig::default().max_bytes(1), 2 + IN_KERNEL),
            (
                QueueConfig::default().max_bytes(1 << 20),
                (2 << 20) + IN_KERNEL,
            ),
            (
                QueueConfig::default().budget(Budget::new(1000, 0)),
                16 << 10,
            ),
        ];
        for (config, most) in table {
            let mut ahead = Read::new(&config, 0);
            let mut count = 0;
            while ahead.has_room(&config) {
                ahead.push(message(1_000), 0);
                count += 1;
            }
            assert_eq!(count, most.div_ceil(each), "{config:?}");
            assert!(ahead.pop().is_some());
            assert!(ahead.has_room(&config), "{config:?}");
        }
    }

    #[test]
    fn what_is_no_message_counts_what_it_holds() {
        let rejected = |what: String| Rejection::Invalid {
            path: String::new(),
            what: what.into(),
        };
        let config = QueueConfig::default().max_bytes(1);
        let mut ahead = ReadAhead::<Large>::new(&config, 0);
        let mut count = 0;
        while ahead.has_room(&config) {
            let said = rejected("x".repeat(3_000));
            ahead.push(Some(Ok(Inbound::Rejected(said))), 0);
            ahead.push(Some(Ok(Inbound::Noticed(Notice::Repeated))), 0);
            count += 1;
        }
        assert!(count * (3_000 + 2 * 1_024) <= IN_KERNEL, "{count}");
    }

    #[test]
    fn nothing_is_read_after_the_end_and_the_order_is_kept() {
        let config = QueueConfig::default();
        let mut ahead = Read::new(&config, 0);
        ahead.push(message(1), 0);
        ahead.push(None, 0);
        assert!(!ahead.has_room(&config));
        assert!(matches!(ahead.pop(), Some(Some(Ok(Inbound::Message(_))))));
        assert!(matches!(ahead.pop(), Some(None)));
        assert!(ahead.pop().is_none() && ahead.is_empty());
    }
}
