//! The messages that a sender keeps until all that they are owed to have them.
//!
//! In: messages by number, ascending. Out: those of a range, in order. One in the middle is forgotten without
//! moving the others at once: the gaps are closed when they are as many as the messages. Touches nothing.

use std::{collections::VecDeque, ops::RangeInclusive};

use crate::{
    frame::Message,
    id::{MemberId, SeqNo},
};

/// A message that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct KeptMessage<B> {
    pub(super) message: Message<B>,
    /// The receiver of an addressed one.
    pub(super) to: Option<MemberId>,
    /// Bytes of the body.
    pub(super) size: usize,
    /// How many receivers it is owed to that have not acknowledged it.
    pub(super) owed: usize,
    /// Receivers that left before they acknowledged it; absent while there are none.
    pub(super) left: Option<Vec<MemberId>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Entry<B> {
    Kept(KeptMessage<B>),
    Forgotten(SeqNo),
}

impl<B> Entry<B> {
    const fn n(&self) -> SeqNo {
        match self {
            Self::Kept(kept) => kept.message.n,
            Self::Forgotten(n) => *n,
        }
    }

    const fn kept(&self) -> Option<&KeptMessage<B>> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Forgotten(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kept<B> {
    /// By number, ascending. The first is kept.
    entries: VecDeque<Entry<B>>,
    messages: usize,
    bytes: usize,
}

impl<B> Kept<B> {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            messages: 0,
            bytes: 0,
        }
    }

    pub(super) const fn messages(&self) -> usize {
        self.messages
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a message; its number is the largest so far.
    pub(super) fn push(&mut self, kept: KeptMessage<B>) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(kept.size);
        self.entries.push_back(Entry::Kept(kept));
    }

    /// Those with these numbers, in order.
    pub(super) fn range(
        &self,
        numbers: RangeInclusive<SeqNo>,
    ) -> impl Iterator<Item = &KeptMessage<B>> {
        let found = self.indices(&numbers);
        self.entries.range(found).filter_map(Entry::kept)
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &KeptMessage<B>> {
        self.entries.iter().filter_map(Entry::kept)
    }

    /// Changes those with these numbers, in order, and forgets each for which `keep` is false.
    pub(super) fn retain(
        &mut self,
        numbers: RangeInclusive<SeqNo>,
        mut keep: impl FnMut(&mut KeptMessage<B>) -> bool,
    ) {
        let found = self.indices(&numbers);
        for entry in self.entries.range_mut(found) {
            let Entry::Kept(kept) = entry else { continue };
            if !keep(kept) {
                self.messages -= 1;
                self.bytes = self.bytes.saturating_sub(kept.size);
                *entry = Entry::Forgotten(kept.message.n);
            }
        }
        self.close_gaps();
    }

    fn indices(&self, numbers: &RangeInclusive<SeqNo>) -> std::ops::Range<usize> {
        let first = self
            .entries
            .partition_point(|entry| entry.n() < *numbers.start());
        let end = self
            .entries
            .partition_point(|entry| entry.n() <= *numbers.end());
        first..end.max(first)
    }

    fn close_gaps(&mut self) {
        let forgotten = self.entries.iter().take_while(|of| of.kept().is_none());
        let forgotten = forgotten.count();
        self.entries.drain(..forgotten);
        if self.entries.len() > 2 * self.messages + 16 {
            self.entries.retain(|entry| entry.kept().is_some());
        }
    }
}
