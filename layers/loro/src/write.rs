//! New values: a value of a schema becomes containers and plain values.
//!
//! In: a place, its schema, a value. Out: an error of the library, or nothing. May touch: the document of that place.

use kyneta_uds_exchange::{
    Json,
    values::{Difference, difference},
};
use kyneta_uds_schema::{Kind, Schema};
use loro::{
    LoroCounter, LoroList, LoroMap, LoroMovableList, LoroResult, LoroText, LoroTree, LoroValue,
};

use crate::{
    container::Holder,
    convert::to_loro,
    place::{Layout, Place, is_plain, write_entry},
};

/// Where a new value goes.
pub(crate) enum New<'c> {
    Entry(&'c LoroMap, &'c str),
    Item(&'c LoroList, usize),
    Slot(&'c LoroMovableList, usize),
}

impl New<'_> {
    fn value(&self, value: LoroValue) -> LoroResult<()> {
        match self {
            Self::Entry(map, key) => write_entry(map, key, value),
            Self::Item(list, at) => list.insert(*at, value),
            Self::Slot(list, at) => list.insert(*at, value),
        }
    }

    fn container<C: Holder>(&self) -> LoroResult<C> {
        match self {
            Self::Entry(map, key) => map.insert_container(key, C::fresh()),
            Self::Item(list, at) => list.insert_container(*at, C::fresh()),
            Self::Slot(list, at) => list.insert_container(*at, C::fresh()),
        }
    }
}

/// Writes a new value of a schema that it fits. Names in it are plain.
pub(crate) fn write(to: &New<'_>, schema: &Schema, value: &Json) -> LoroResult<()> {
    if is_plain(schema) {
        return to.value(to_loro(schema, value));
    }
    match (schema.kind(), value) {
        (Kind::Struct(structure), Json::Object(object)) => {
            let map: LoroMap = to.container()?;
            for (name, field) in structure.fields() {
                if let Some(value) = object.get(name) {
                    write(&New::Entry(&map, name), field, value)?;
                }
            }
        }
        (Kind::Record(item), Json::Object(object)) => {
            let map: LoroMap = to.container()?;
            for (key, value) in object {
                write(&New::Entry(&map, key), item, value)?;
            }
        }
        (Kind::List(item), Json::Array(items)) => {
            let list: LoroList = to.container()?;
            for (at, value) in items.iter().enumerate() {
                write(&New::Item(&list, at), item, value)?;
            }
        }
        (Kind::Movable(item), Json::Array(items)) => {
            let list: LoroMovableList = to.container()?;
            for (at, value) in items.iter().enumerate() {
                write(&New::Slot(&list, at), item, value)?;
            }
        }
        (Kind::Text, Json::String(text)) => {
            let held: LoroText = to.container()?;
            held.insert(0, text)?;
        }
        (Kind::Counter, Json::Number(number)) => {
            let counter: LoroCounter = to.container()?;
            counter.increment(*number)?;
        }
        // Empty: no edit makes a new one of these with something in it.
        (Kind::RichText(_), _) => drop(to.container::<LoroText>()?),
        (Kind::Set(_), _) => drop(to.container::<LoroMap>()?),
        (Kind::Tree(_), _) => drop(to.container::<LoroTree>()?),
        (_, value) => to.value(to_loro(schema, value))?,
    }
    Ok(())
}

impl<'d> Layout<'d> {
    /// Makes what is at a place this value, in the containers that are there.
    pub(crate) fn overwrite(&self, place: &Place<'d>, value: &Json) -> LoroResult<()> {
        let schema = place.schema;
        if place.is_plain() {
            return place.set(to_loro(schema, value));
        }
        match (schema.kind(), value) {
            (Kind::Struct(structure), Json::Object(object)) => {
                for (name, field) in structure.fields() {
                    if let Some(value) = object.get(name) {
                        let field = self.field(place, name, field, true)?;
                        self.overwrite(&field, value)?;
                    }
                }
            }
            (Kind::Record(item), Json::Object(object)) => {
                if let Some(map) = self.container::<LoroMap>(place, true)? {
                    let keys: Vec<_> = map.keys().map(|key| key.to_string()).collect();
                    for key in keys.iter().filter(|key| !object.contains_key(*key)) {
                        map.delete(key)?;
                    }
                    for (key, value) in object {
                        write(&New::Entry(&map, key), item, value)?;
                    }
                }
            }
            (Kind::List(item), Json::Array(items)) => {
                if let Some(list) = self.container::<LoroList>(place, true)? {
                    list.clear()?;
                    for (at, value) in items.iter().enumerate() {
                        write(&New::Item(&list, at), item, value)?;
                    }
                }
            }
            (Kind::Movable(item), Json::Array(items)) => {
                if let Some(list) = self.container::<LoroMovableList>(place, true)? {
                    list.clear()?;
                    for (at, value) in items.iter().enumerate() {
                        write(&New::Slot(&list, at), item, value)?;
                    }
                }
            }
            (Kind::Text, Json::String(new)) => {
                if let Some(text) = self.container::<LoroText>(place, true)? {
                    replace_text(&text, new)?;
                }
            }
            (Kind::Counter, Json::Number(number)) => {
                if let Some(counter) = self.container::<LoroCounter>(place, true)? {
                    counter.increment(number - counter.get())?;
                }
            }
            // Sets, trees and rich text: no edit replaces one.
            _ => {}
        }
        Ok(())
    }

    /// Writes an entry of a record.
    pub(crate) fn put(
        &self,
        record: &Place<'d>,
        item: &Schema,
        key: &str,
        value: &Json,
    ) -> LoroResult<()> {
        match self.container::<LoroMap>(record, true)? {
            Some(map) => write(&New::Entry(&map, key), item, value),
            None => Ok(()),
        }
    }
}

/// Replaces only the part that differs, so that what others write elsewhere stays where it was.
pub(crate) fn replace_text(text: &LoroText, new: &str) -> LoroResult<()> {
    let old = text.to_string();
    let Difference { before, old, new } = difference(&old, new);
    let at = before.chars().count();
    text.delete(at, old.chars().count())?;
    text.insert(at, new)
}
