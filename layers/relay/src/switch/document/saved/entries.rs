//! The entries of a document, each kept once: records name them by their places.
//!
//! In: entries of records, mostly the same one again. Out: a list of them, and places in it. Pure.

use std::{collections::HashMap, sync::Arc};

use kyneta_uds_core::{
    DocEntry, DocId, ReplicaType, Saved, SavedError, SavedValue, SchemaHash, SyncMode,
};

use crate::switch::saved::{number_of, text_of};

const ENTRIES: &str = "entries";
const SUPPORTED: &str = "supported";
const TOO_LONG: &str = "it is over its limit";

#[derive(Default)]
pub(super) struct Entries {
    entries: Vec<Arc<DocEntry>>,
    /// By the address of an entry: the same one is shared.
    places: HashMap<*const DocEntry, u64>,
}

impl Entries {
    /// The place of an entry, which is added if it is not there.
    pub(super) fn place(&mut self, entry: &Arc<DocEntry>) -> u64 {
        let next = self.entries.len() as u64;
        let place = *self.places.entry(Arc::as_ptr(entry)).or_insert(next);
        if place == next {
            self.entries.push(entry.clone());
        }
        place
    }

    pub(super) fn save(&self) -> Vec<SavedValue> {
        self.entries
            .iter()
            .map(|entry| save(entry).into())
            .collect()
    }

    pub(super) fn resume(saved: &Saved) -> Result<Self, SavedError> {
        let entries = saved.list(ENTRIES)?.iter();
        let entries = entries.map(|value| resume(value.as_part(ENTRIES)?).map(Arc::new));
        let this = Self {
            entries: entries.collect::<Result<_, _>>()?,
            places: HashMap::new(),
        };
        let first = this.first()?;
        match this.entries.iter().all(|entry| entry.doc == first.doc) {
            true => Ok(this),
            false => Err(SavedError::invalid(ENTRIES, "they are of two documents")),
        }
    }

    pub(super) fn first(&self) -> Result<Arc<DocEntry>, SavedError> {
        self.at(0)
    }

    pub(super) fn of(&self, value: &SavedValue) -> Result<Arc<DocEntry>, SavedError> {
        self.at(number_of(value, "told")?)
    }

    pub(super) fn at(&self, place: u64) -> Result<Arc<DocEntry>, SavedError> {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let entry = self.entries.get(place).cloned();
        entry.ok_or_else(|| {
            SavedError::invalid(ENTRIES, "there is none at the place that a record names")
        })
    }
}

fn save(entry: &DocEntry) -> Saved {
    let saved = Saved::new(1, 1)
        .with("doc", entry.doc.as_str())
        .with("replica", entry.replica.name.as_str())
        // Any number of JavaScript's, bit by bit.
        .with("major", entry.replica.major.to_bits())
        .with("minor", entry.replica.minor.to_bits())
        .with("mode", mode(entry.mode))
        .with("schema", entry.schema.as_str());
    match &entry.supported {
        Some(supported) => {
            let supported: Vec<SavedValue> =
                supported.iter().map(|hash| hash.as_str().into()).collect();
            saved.with(SUPPORTED, supported)
        }
        None => saved,
    }
}

fn resume(saved: &Saved) -> Result<DocEntry, SavedError> {
    let of_text = |name| SavedError::invalid(name, TOO_LONG);
    let replica = ReplicaType::new(
        saved.text("replica")?,
        f64::from_bits(saved.number("major")?),
        f64::from_bits(saved.number("minor")?),
    );
    let schema = |text: &str, name| SchemaHash::new(text).map_err(|_| of_text(name));
    let supported = match saved.get(SUPPORTED) {
        Some(_) => {
            let supported = saved.list(SUPPORTED)?.iter();
            let supported = supported.map(|value| schema(text_of(value, SUPPORTED)?, SUPPORTED));
            Some(supported.collect::<Result<_, _>>()?)
        }
        None => None,
    };
    let text = saved.text("mode")?;
    let mut modes = [
        SyncMode::Collaborative,
        SyncMode::Authoritative,
        SyncMode::Ephemeral,
    ]
    .into_iter();
    Ok(DocEntry {
        doc: DocId::new(saved.text("doc")?).map_err(|_| of_text("doc"))?,
        replica: replica.map_err(|_| of_text("replica"))?,
        mode: modes
            .find(|known| mode(*known) == text)
            .ok_or_else(|| SavedError::invalid("mode", "there is no such mode"))?,
        schema: schema(saved.text("schema")?, "schema")?,
        supported,
    })
}

const fn mode(mode: SyncMode) -> &'static str {
    match mode {
        SyncMode::Collaborative => "collaborative",
        SyncMode::Authoritative => "authoritative",
        SyncMode::Ephemeral => "ephemeral",
    }
}
