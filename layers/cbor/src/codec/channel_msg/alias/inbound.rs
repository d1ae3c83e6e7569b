//! Inbound aliases: in, what the peer announces; out, the text that an alias stands for.
//!
//! Senders number from 0, so almost all are in a dense table. The wire allows any number, as
//! JavaScript compares them: -0 is 0 and NaN is NaN.

use std::collections::HashMap;

use kyneta_uds_core::AliasFault;

use super::outbound::Aliased;
use crate::codec::channel_msg::DecodeLimits;

/// What an alias stands for.
#[derive(Debug, Clone)]
pub(in crate::codec::channel_msg) enum Meaning<T> {
    Text(T),
    /// A text of so many bytes, over its limit: announced, and each use of it fails.
    TooLong(usize),
}

impl<T: Aliased> Meaning<T> {
    pub(in crate::codec::channel_msg) fn into_text(self) -> Result<T, AliasFault> {
        match self {
            Self::Text(text) => Ok(text),
            Self::TooLong(len) => Err(T::too_long(len)),
        }
    }
}

#[derive(Debug, Clone)]
pub(in crate::codec::channel_msg) struct Aliases<T> {
    dense: Vec<Meaning<T>>,
    /// By the bits of [`canonical`].
    sparse: HashMap<u64, Meaning<T>>,
    bytes: usize,
}

impl<T> Default for Aliases<T> {
    fn default() -> Self {
        Self {
            dense: Vec::new(),
            sparse: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<T: Aliased> Aliases<T> {
    #[inline]
    pub(in crate::codec::channel_msg) fn get(&self, alias: f64) -> Option<&Meaning<T>> {
        match index(alias) {
            Some(index) => self.get_index(index),
            None => self.sparse.get(&canonical(alias)),
        }
    }

    #[inline]
    pub(in crate::codec::channel_msg) fn get_index(&self, index: u32) -> Option<&Meaning<T>> {
        match self.dense.get(index as usize) {
            Some(meaning) => Some(meaning),
            None => self.sparse.get(&canonical(f64::from(index))),
        }
    }

    /// Records what `alias` stands for from now on; returns it. Announcing the same again changes
    /// nothing and allocates nothing.
    pub(in crate::codec::channel_msg) fn record(
        &mut self,
        alias: f64,
        text: &str,
        limits: &DecodeLimits,
    ) -> Result<Meaning<T>, AliasFault> {
        let before = match self.get(alias) {
            Some(Meaning::Text(known)) if known.text() == text => {
                return Ok(Meaning::Text(known.clone()));
            }
            before => before.map(held),
        };
        let meaning = T::new(text).map_or_else(|error| Meaning::TooLong(error.len), Meaning::Text);
        let bytes = self.bytes - before.unwrap_or(0) + held(&meaning);
        if before.is_none() && self.dense.len() + self.sparse.len() >= limits.max_aliases {
            return Err(AliasFault::TableFull {
                limit: limits.max_aliases,
                unit: "aliases",
            });
        }
        if bytes > limits.max_alias_bytes {
            return Err(AliasFault::TableFull {
                limit: limits.max_alias_bytes,
                unit: "bytes",
            });
        }
        self.bytes = bytes;
        self.put(alias, meaning.clone());
        Ok(meaning)
    }

    fn put(&mut self, alias: f64, meaning: Meaning<T>) {
        let index = index(alias).map(|index| index as usize);
        if index == Some(self.dense.len()) {
            self.sparse.remove(&canonical(alias));
            self.dense.push(meaning);
        } else if let Some(place) = index.and_then(|index| self.dense.get_mut(index)) {
            *place = meaning;
        } else {
            self.sparse.insert(canonical(alias), meaning);
        }
    }
}

fn held<T: Aliased>(meaning: &Meaning<T>) -> usize {
    match meaning {
        Meaning::Text(text) => text.text().len(),
        Meaning::TooLong(_) => 0,
    }
}

/// Numbers that JavaScript's `Map` takes for the same key have the same bits.
pub(in crate::codec::channel_msg) fn canonical(number: f64) -> u64 {
    if number == 0.0 {
        0
    } else if number.is_nan() {
        f64::NAN.to_bits()
    } else {
        number.to_bits()
    }
}

/// The alias as a place in the dense table, if it can be one.
fn index(alias: f64) -> Option<u32> {
    let index = alias as u32;
    (f64::from(index) == alias).then_some(index)
}
