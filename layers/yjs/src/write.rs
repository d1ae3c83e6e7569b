//! New values: a value of a schema becomes containers and plain values.
//!
//! In: a transaction, a place, its schema, a value. Touches that transaction alone.

use kyneta_uds_exchange::{
    Json,
    values::{Difference, difference},
};
use kyneta_uds_schema::{Kind, Schema};
use yrs::{
    Any, Array as _, ArrayPrelim, ArrayRef, GetString as _, Map as _, MapPrelim, MapRef, Text as _,
    TextPrelim, TextRef, TransactionMut,
};

use crate::{
    convert::to_any,
    place::{Layout, Place, is_plain},
};

/// Where a new value goes.
pub(crate) enum New<'c> {
    Entry(&'c MapRef, &'c str),
    Item(&'c ArrayRef, u32),
}

macro_rules! put {
    ($to:expr, $txn:expr, $value:expr) => {
        match $to {
            New::Entry(map, key) => map.insert($txn, *key, $value),
            New::Item(array, at) => array.insert($txn, *at, $value),
        }
    };
}

/// Writes a new value of a schema that it fits. Names in it are plain.
pub(crate) fn write(txn: &mut TransactionMut<'_>, to: &New<'_>, schema: &Schema, value: &Json) {
    match (schema.kind(), value) {
        _ if is_plain(schema) => plain(txn, to, to_any(schema, value)),
        (Kind::Struct(structure), Json::Object(object)) => {
            let map = put!(to, txn, MapPrelim::default());
            for (name, field) in structure.fields() {
                if let Some(value) = object.get(name) {
                    write(txn, &New::Entry(&map, name), field, value);
                }
            }
        }
        (Kind::Record(item), Json::Object(object)) => {
            let map = put!(to, txn, MapPrelim::default());
            for (key, value) in object {
                write(txn, &New::Entry(&map, key), item, value);
            }
        }
        (Kind::List(item), Json::Array(items)) => {
            let array = put!(to, txn, ArrayPrelim::default());
            for (at, value) in (0..).zip(items) {
                write(txn, &New::Item(&array, at), item, value);
            }
        }
        (Kind::Text, Json::String(text)) => {
            put!(to, txn, TextPrelim::new(text.as_str()));
        }
        // Empty: no edit makes a new one with something in it.
        (Kind::RichText(_), _) => {
            put!(to, txn, TextPrelim::new(""));
        }
        (_, value) => plain(txn, to, to_any(schema, value)),
    }
}

fn plain(txn: &mut TransactionMut<'_>, to: &New<'_>, value: Any) {
    put!(to, txn, value);
}

impl<'d> Layout<'d> {
    /// Makes what is at a place this value, in the containers that are there.
    pub(crate) fn overwrite(&self, txn: &mut TransactionMut<'_>, place: &Place<'d>, value: &Json) {
        let schema = place.schema;
        match (schema.kind(), value) {
            _ if place.is_plain() => place.set(txn, to_any(schema, value)),
            (Kind::Struct(structure), Json::Object(object)) => {
                let map = self.make_map(place, txn);
                for (name, field) in structure.fields() {
                    if let Some(value) = object.get(name) {
                        let field = self.field(place, map.clone(), name, field);
                        self.overwrite(txn, &field, value);
                    }
                }
            }
            (Kind::Record(item), Json::Object(object)) => {
                if let Some(map) = self.make_map(place, txn) {
                    let keys: Vec<_> = map.keys(txn).map(ToString::to_string).collect();
                    for key in keys.iter().filter(|key| !object.contains_key(*key)) {
                        map.remove(txn, key);
                    }
                    for (key, value) in object {
                        write(txn, &New::Entry(&map, key), item, value);
                    }
                }
            }
            (Kind::List(item), Json::Array(items)) => {
                if let Some(array) = self.make_array(place, txn) {
                    array.remove_range(txn, 0, array.len(txn));
                    for (at, value) in (0..).zip(items) {
                        write(txn, &New::Item(&array, at), item, value);
                    }
                }
            }
            (Kind::Text, Json::String(new)) => {
                if let Some(text) = self.make_text(place, txn) {
                    replace_text(txn, &text, new);
                }
            }
            // Rich text: no edit replaces one.
            _ => {}
        }
    }
}

/// Replaces only the part that differs, so that what others write elsewhere stays where it was.
pub(crate) fn replace_text(txn: &mut TransactionMut<'_>, text: &TextRef, new: &str) {
    let old = text.get_string(txn);
    let Difference { before, old, new } = difference(&old, new);
    let units = |text: &str| text.encode_utf16().count() as u32;
    let at = units(before);
    if !old.is_empty() {
        text.remove_range(txn, at, units(old));
    }
    if !new.is_empty() {
        text.insert(txn, at, new);
    }
}
