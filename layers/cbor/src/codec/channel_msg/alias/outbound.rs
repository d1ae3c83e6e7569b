//! Outbound aliases: in, what this side announces; out, its numbers, from 0 in order of appearance.

use std::{collections::HashMap, hash::Hash};

use kyneta_uds_core::{AliasFault, DocId, SchemaHash, TextTooLong};

use crate::codec::channel_msg::DecodeLimits;

/// A text that can have an alias.
pub(in crate::codec::channel_msg) trait Aliased:
    Clone + Eq + Hash
{
    fn new(text: &str) -> Result<Self, TextTooLong>;
    fn text(&self) -> &str;
    fn same(&self, other: &Self) -> bool;
    /// What to say of a text of `len` bytes that is over the limit.
    fn too_long(len: usize) -> AliasFault;
}

impl Aliased for DocId {
    fn new(text: &str) -> Result<Self, TextTooLong> {
        Self::new(text)
    }

    #[inline]
    fn text(&self) -> &str {
        self.as_str()
    }

    #[inline]
    fn same(&self, other: &Self) -> bool {
        self.same(other)
    }

    fn too_long(len: usize) -> AliasFault {
        AliasFault::DocIdTooLong {
            len,
            limit: Self::MAX,
        }
    }
}

impl Aliased for SchemaHash {
    fn new(text: &str) -> Result<Self, TextTooLong> {
        Self::new(text)
    }

    #[inline]
    fn text(&self) -> &str {
        self.as_str()
    }

    #[inline]
    fn same(&self, other: &Self) -> bool {
        self.same(other)
    }

    fn too_long(len: usize) -> AliasFault {
        AliasFault::SchemaHashTooLong {
            len,
            limit: Self::MAX,
        }
    }
}

/// What announcing a text has led to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::codec::channel_msg) enum Announcement {
    /// It has an alias now.
    New(u32),
    /// It had one.
    Known(u32),
    /// It has none: the table is full.
    Full,
}

/// So many are searched one by one: a table of their own would be larger than they are.
const FEW: usize = 8;

#[derive(Debug, Clone)]
pub(in crate::codec::channel_msg) struct Announced<T> {
    /// In the order of their aliases.
    order: Vec<T>,
    /// Where in it each is, or nothing while they are few.
    aliases: HashMap<T, u32>,
    bytes: usize,
    /// Messages about one document come in runs: the last look-up answers most.
    last: Option<(T, u32)>,
}

impl<T> Default for Announced<T> {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            aliases: HashMap::new(),
            bytes: 0,
            last: None,
        }
    }
}

impl<T: Aliased> Announced<T> {
    pub(in crate::codec::channel_msg) const fn len(&self) -> usize {
        self.order.len()
    }

    #[inline]
    pub(in crate::codec::channel_msg) fn get(&mut self, text: &T) -> Option<u32> {
        match &self.last {
            Some((last, alias)) if last.same(text) || last == text => Some(*alias),
            _ => self.look_up(text),
        }
    }

    #[cold]
    fn look_up(&mut self, text: &T) -> Option<u32> {
        let alias = if self.aliases.is_empty() {
            let at = self.order.iter().position(|known| known == text)?;
            at as u32
        } else {
            *self.aliases.get(text)?
        };
        // The asked one, not the announced one: the next is most likely to be the same allocation.
        self.last = Some((text.clone(), alias));
        Some(alias)
    }

    pub(in crate::codec::channel_msg) fn announce(
        &mut self,
        text: &T,
        limits: &DecodeLimits,
    ) -> Announcement {
        if let Some(alias) = self.get(text) {
            return Announcement::Known(alias);
        }
        let bytes = self.bytes + text.text().len();
        let full = self.order.len() >= limits.max_aliases || bytes > limits.max_alias_bytes;
        let Some(alias) = u32::try_from(self.order.len()).ok().filter(|_| !full) else {
            return Announcement::Full;
        };
        self.bytes = bytes;
        self.order.push(text.clone());
        if self.order.len() > FEW || !self.aliases.is_empty() {
            let known = self.aliases.len();
            let fresh = (0..).zip(&self.order).skip(known);
            self.aliases
                .extend(fresh.map(|(alias, text)| (text.clone(), alias)));
        }
        Announcement::New(alias)
    }

    /// Takes back all but the first `len`.
    pub(in crate::codec::channel_msg) fn truncate(&mut self, len: usize) {
        for text in self.order.drain(len.min(self.order.len())..) {
            self.bytes -= text.text().len();
            self.aliases.remove(&text);
        }
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_or_many_each_has_its_alias_and_what_was_taken_back_has_none() {
        let doc = |n: usize| DocId::new(format!("d{n}")).unwrap();
        let limits = DecodeLimits::default();
        let mut announced = Announced::default();
        let mut count = 0;
        for len in [FEW + 3, 2, 3 * FEW, FEW, FEW + 1, 0, 1] {
            announced.truncate(len);
            count = len.min(count);
            for n in count..len {
                assert_eq!(
                    announced.announce(&doc(n), &limits),
                    Announcement::New(n as u32)
                );
            }
            count = len;
            for n in 0..4 * FEW {
                let alias = (n < len).then_some(n as u32);
                assert_eq!(announced.get(&doc(n)), alias, "{n} of {len}");
            }
        }
    }
}
