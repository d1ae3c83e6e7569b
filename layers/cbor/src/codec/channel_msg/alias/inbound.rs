//! Inbound aliases: in, what the peer announces; out, the text that an alias stands for.
//!
//! Senders count from 0, so almost all aliases are in a dense table. The wire allows any number, compared as in
//! JavaScript: -0 equals 0 and NaN equals NaN.

use std::collections::HashMap;

use kyneta_uds_core::{AliasFault, Saved, SavedError, SavedValue};

use super::{Aliased, DecodeLimits, text};

/// What an alias stands for.
#[derive(Debug, Clone)]
pub(crate) enum Meaning<T> {
    Text(T),
    /// The length of a text over its limit. It may be announced, but each use of it fails.
    TooLong(usize),
}

impl<T: Aliased> Meaning<T> {
    pub(crate) fn into_text(self) -> Result<T, AliasFault> {
        match self {
            Self::Text(text) => Ok(text),
            Self::TooLong(len) => Err(T::too_long(len)),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct InboundAliases<T> {
    dense: Vec<Meaning<T>>,
    /// By the bits of [`canonical`].
    sparse: HashMap<u64, Meaning<T>>,
    bytes: usize,
}

impl<T> Default for InboundAliases<T> {
    fn default() -> Self {
        Self {
            dense: Vec::new(),
            sparse: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<T: Aliased> InboundAliases<T> {
    #[inline]
    pub(crate) fn resolve(&self, alias: f64) -> Option<&Meaning<T>> {
        match index(alias) {
            Some(index) => self.resolve_index(index),
            None => self.sparse.get(&canonical(alias)),
        }
    }

    #[inline]
    pub(crate) fn resolve_index(&self, index: u32) -> Option<&Meaning<T>> {
        match self.dense.get(index as usize) {
            Some(meaning) => Some(meaning),
            None => self.sparse.get(&canonical(f64::from(index))),
        }
    }

    /// Records what `alias` stands for from now on, and returns it. Announcing the same text again changes and
    /// allocates nothing.
    pub(crate) fn record(
        &mut self,
        alias: f64,
        text: &str,
        limits: &DecodeLimits,
    ) -> Result<Meaning<T>, AliasFault> {
        let before = match self.resolve(alias) {
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

    /// What the aliases from 0 on stand for, and the others by their bits, sorted.
    pub(crate) fn save(&self) -> Saved {
        let dense: Vec<SavedValue> = self.dense.iter().map(saved).collect();
        let mut others: Vec<_> = self.sparse.iter().collect();
        others.sort_by_key(|(bits, _)| **bits);
        let others = others.into_iter().map(|(bits, meaning)| {
            SavedValue::List(vec![SavedValue::Number(*bits), saved(meaning)])
        });
        Saved::new(1, 1)
            .with("dense", dense)
            .with("others", others.collect::<Vec<_>>())
    }

    pub(crate) fn restore(saved: &Saved) -> Result<Self, SavedError> {
        saved.check("the aliases of a peer", 1..=1)?;
        let dense = saved.list("dense")?.iter().map(meaning);
        let others = saved.list("others")?.iter().map(|value| match value {
            SavedValue::List(pair) => match pair.as_slice() {
                [SavedValue::Number(bits), value] => Ok((*bits, meaning(value)?)),
                _ => Err(no_alias()),
            },
            _ => Err(no_alias()),
        });
        let (dense, sparse) = (
            dense.collect::<Result<Vec<_>, _>>()?,
            others.collect::<Result<HashMap<_, _>, _>>()?,
        );
        let bytes = dense.iter().chain(sparse.values()).map(held).sum();
        Ok(Self {
            dense,
            sparse,
            bytes,
        })
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

/// A text, or the length of one over its limit.
fn saved<T: Aliased>(meaning: &Meaning<T>) -> SavedValue {
    match meaning {
        Meaning::Text(text) => text.text().into(),
        Meaning::TooLong(len) => (*len as u64).into(),
    }
}

fn meaning<T: Aliased>(value: &SavedValue) -> Result<Meaning<T>, SavedError> {
    match value {
        SavedValue::Number(len) => {
            let len = usize::try_from(*len).map_err(|_| no_alias())?;
            Ok(Meaning::TooLong(len))
        }
        value => text(value).map(Meaning::Text),
    }
}

const fn no_alias() -> SavedError {
    SavedError::Value {
        name: "others",
        why: "no alias with a text",
    }
}

fn held<T: Aliased>(meaning: &Meaning<T>) -> usize {
    match meaning {
        Meaning::Text(text) => text.text().len(),
        Meaning::TooLong(_) => 0,
    }
}

/// Bits that are equal for numbers that are the same key of a JavaScript `Map`.
pub(crate) fn canonical(number: f64) -> u64 {
    if number == 0.0 {
        0
    } else if number.is_nan() {
        f64::NAN.to_bits()
    } else {
        number.to_bits()
    }
}

/// The alias as an index of the dense table, if it can be one.
fn index(alias: f64) -> Option<u32> {
    let index = alias as u32;
    (f64::from(index) == alias).then_some(index)
}
