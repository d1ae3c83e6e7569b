//! The messages that a sender keeps until all that they are owed to have them.
//!
//! In: messages by number, ascending. Out: those of a range, in order. One in the middle is forgotten without
//! moving the others at once: the gaps are closed when they are as many as the messages. Touches nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::{Range, RangeInclusive},
};

use crate::{
    frame::Message,
    id::{MemberId, SeqNo},
};

use super::effect::MemberEffect;

/// A message that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct KeptMessage<B> {
    pub(super) message: Message<B>,
    /// The receiver of an addressed one.
    pub(super) to: Option<MemberId>,
    /// Bytes of the body.
    pub(super) size: usize,
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
    /// Of these, those to one receiver.
    addressed: usize,
    bytes: usize,
    /// Receivers that left before they acknowledged a message, in the order of their ids.
    left: BTreeMap<SeqNo, Vec<MemberId>>,
}

impl<B> Kept<B> {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            messages: 0,
            addressed: 0,
            bytes: 0,
            left: BTreeMap::new(),
        }
    }

    pub(super) const fn messages(&self) -> usize {
        self.messages
    }

    /// True when a message to one receiver is kept.
    pub(super) const fn any_addressed(&self) -> bool {
        self.addressed > 0
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a message; its number is the largest so far.
    pub(super) fn push(&mut self, kept: KeptMessage<B>) {
        self.messages += 1;
        self.addressed += usize::from(kept.to.is_some());
        self.bytes = self.bytes.saturating_add(kept.size);
        self.entries.push_back(Entry::Kept(kept));
    }

    /// Those with these numbers, in order.
    pub(super) fn range(
        &self,
        numbers: &RangeInclusive<SeqNo>,
    ) -> impl Iterator<Item = &KeptMessage<B>> {
        let found = self.indices(numbers);
        self.entries.range(found).filter_map(Entry::kept)
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &KeptMessage<B>> {
        self.entries.iter().filter_map(Entry::kept)
    }

    /// The receivers that left before they acknowledged this one.
    pub(super) fn left(&self, n: SeqNo) -> &[MemberId] {
        self.left.get(&n).map_or(&[], Vec::as_slice)
    }

    /// A receiver has left before it acknowledged this one.
    pub(super) fn add_left(&mut self, n: SeqNo, id: &MemberId) {
        let left = self.left.entry(n).or_default();
        if let Err(at) = left.binary_search(id) {
            left.insert(at, id.clone());
        }
    }

    /// Forgets those with these numbers that are resolved, and says so in order.
    pub(super) fn resolve(
        &mut self,
        numbers: &RangeInclusive<SeqNo>,
        is_resolved: impl Fn(&KeptMessage<B>) -> bool,
        out: &mut Vec<MemberEffect<B>>,
    ) {
        let is_resolved =
            |kept: &KeptMessage<B>| numbers.contains(&kept.message.n) && is_resolved(kept);
        let mut gone = Gone::none();
        // Mostly the first ones: these are dropped where they are.
        let mut first = 0;
        for entry in &self.entries {
            match entry {
                Entry::Kept(kept) if is_resolved(kept) => gone.add(kept, &mut self.left, out),
                Entry::Kept(_) => break,
                Entry::Forgotten(_) => {}
            }
            first += 1;
        }
        let found = indices(&self.entries, numbers);
        let behind = found.start.max(first)..found.end.max(first);
        for entry in self.entries.range_mut(behind) {
            let Entry::Kept(kept) = entry else { continue };
            if is_resolved(kept) {
                gone.add(kept, &mut self.left, out);
                *entry = Entry::Forgotten(kept.message.n);
            }
        }
        gone.say(out);
        self.messages -= gone.messages;
        self.addressed -= gone.addressed;
        self.bytes = self.bytes.saturating_sub(gone.bytes);
        self.entries.drain(..first);
        if self.entries.len() > 2 * self.messages + 16 {
            self.entries.retain(|entry| entry.kept().is_some());
        }
    }

    fn indices(&self, numbers: &RangeInclusive<SeqNo>) -> Range<usize> {
        indices(&self.entries, numbers)
    }
}

fn indices<B>(entries: &VecDeque<Entry<B>>, numbers: &RangeInclusive<SeqNo>) -> Range<usize> {
    let first = entries.partition_point(|entry| entry.n() < *numbers.start());
    let end = entries.partition_point(|entry| entry.n() <= *numbers.end());
    first..end.max(first)
}

/// Messages that are resolved, of which those that follow each other are one effect.
struct Gone {
    messages: usize,
    addressed: usize,
    bytes: usize,
    /// The numbers, from the first to the last, that are not said yet.
    first: u64,
    last: u64,
}

impl Gone {
    const fn none() -> Self {
        Self {
            messages: 0,
            addressed: 0,
            bytes: 0,
            first: 1,
            last: 0,
        }
    }

    #[inline(always)]
    fn add<B>(
        &mut self,
        kept: &KeptMessage<B>,
        left: &mut BTreeMap<SeqNo, Vec<MemberId>>,
        out: &mut Vec<MemberEffect<B>>,
    ) {
        self.messages += 1;
        self.addressed += usize::from(kept.to.is_some());
        self.bytes = self.bytes.saturating_add(kept.size);
        let SeqNo(n) = kept.message.n;
        if n == self.last.saturating_add(1) && left.is_empty() {
            self.last = n;
        } else {
            self.begin(n, left, out);
        }
    }

    /// One that does not follow the last one, or that may name members.
    fn begin<B>(
        &mut self,
        n: u64,
        left: &mut BTreeMap<SeqNo, Vec<MemberId>>,
        out: &mut Vec<MemberEffect<B>>,
    ) {
        self.say(out);
        (self.first, self.last) = (n, n);
        if let Some(left) = left.remove(&SeqNo(n)) {
            let numbers = SeqNo(n)..=SeqNo(n);
            out.push(MemberEffect::Resolved { numbers, left });
            (self.first, self.last) = (1, 0);
        }
    }

    /// Those that are not said yet are one effect, with the one before if they follow it.
    fn say<B>(&mut self, out: &mut Vec<MemberEffect<B>>) {
        let (first, last) = (SeqNo(self.first), SeqNo(self.last));
        if first > last {
            return;
        }
        if let Some(MemberEffect::Resolved { numbers, left }) = out.last_mut()
            && left.is_empty()
            && numbers.end().next() == first
        {
            *numbers = *numbers.start()..=last;
        } else {
            out.push(MemberEffect::Resolved {
                numbers: first..=last,
                left: Vec::new(),
            });
        }
    }
}
