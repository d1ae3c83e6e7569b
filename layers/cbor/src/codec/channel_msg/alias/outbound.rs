//! Outbound aliases: in, a text that this side announces; out, its alias, from 0 in order of appearance.

use std::collections::HashMap;

use kyneta_uds_core::{SavedError, SavedValue};

use super::{Aliased, DecodeLimits, text};

/// The result of announcing a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// It has this alias from now on.
    New(u32),
    /// It already had this alias.
    Known(u32),
    /// It has no alias: the table is full.
    Full,
}

/// Up to this many texts are searched linearly: a hash table would be larger than they are.
const MAX_LINEAR: usize = 8;

#[derive(Debug, Clone)]
pub(crate) struct OutboundAliases<T> {
    /// Each at the index that is its alias.
    order: Vec<T>,
    /// The alias of each; empty while they are few.
    aliases: HashMap<T, u32>,
    bytes: usize,
    /// The last look-up: messages about one document come in runs.
    last: Option<(T, u32)>,
}

impl<T> Default for OutboundAliases<T> {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            aliases: HashMap::new(),
            bytes: 0,
            last: None,
        }
    }
}

impl<T: Aliased> OutboundAliases<T> {
    pub(crate) const fn len(&self) -> usize {
        self.order.len()
    }

    #[inline]
    pub(crate) fn get(&mut self, text: &T) -> Option<u32> {
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
        // The text that was asked for, as the next one probably shares its allocation.
        self.last = Some((text.clone(), alias));
        Some(alias)
    }

    pub(crate) fn announce(&mut self, text: &T, limits: &DecodeLimits) -> Announcement {
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
        if self.order.len() > MAX_LINEAR || !self.aliases.is_empty() {
            // All but the one that was just pushed are in the table, unless it was empty.
            let known = self.aliases.len();
            let fresh = self.order.get(known..).unwrap_or_default();
            let first = u32::try_from(known).unwrap_or(u32::MAX);
            self.aliases.extend(fresh.iter().cloned().zip(first..));
        }
        Announcement::New(alias)
    }

    /// The texts in the order of their aliases.
    pub(crate) fn save(&self) -> Vec<SavedValue> {
        self.order.iter().map(|text| text.text().into()).collect()
    }

    pub(crate) fn restore(saved: &[SavedValue]) -> Result<Self, SavedError> {
        let order: Vec<T> = saved.iter().map(text).collect::<Result<_, _>>()?;
        let bytes = order.iter().map(|text| text.text().len()).sum();
        let aliases = match order.len() {
            0..=MAX_LINEAR => HashMap::new(),
            _ => order.iter().cloned().zip(0..).collect(),
        };
        Ok(Self {
            order,
            aliases,
            bytes,
            last: None,
        })
    }

    /// Removes all but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        for text in self.order.drain(len.min(self.order.len())..) {
            self.bytes -= text.text().len();
            self.aliases.remove(&text);
        }
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_core::DocId;

    use super::*;

    #[test]
    fn few_or_many_each_has_its_alias_and_a_removed_text_has_none() {
        let doc = |n: usize| DocId::new(format!("d{n}")).unwrap();
        let limits = DecodeLimits::default();
        let mut aliases = OutboundAliases::default();
        let mut count = 0;
        for len in [
            MAX_LINEAR + 3,
            2,
            3 * MAX_LINEAR,
            MAX_LINEAR,
            MAX_LINEAR + 1,
            0,
            1,
        ] {
            aliases.truncate(len);
            count = len.min(count);
            for n in count..len {
                assert_eq!(
                    aliases.announce(&doc(n), &limits),
                    Announcement::New(n as u32)
                );
            }
            count = len;
            for n in 0..4 * MAX_LINEAR {
                let alias = (n < len).then_some(n as u32);
                assert_eq!(aliases.get(&doc(n)), alias, "{n} of {len}");
            }
        }
    }
}
