//! A document as JSON, by its schema. What is missing reads as the zero of its kind.
//!
//! In: a transaction of the library. Out: JSON; nothing if a container is not of its schema's kind. May touch: the
//! document, to read it.

use kyneta_uds_exchange::{
    Json,
    values::{self, zero},
};
use kyneta_uds_schema::{Kind, Schema};
use yrs::{
    Array as _, GetString as _, Map as _, Out, ReadTxn, Text as _, TextRef, types::text::YChange,
};

use crate::{
    convert::to_json,
    place::{At, Layout, Place},
};

impl<'d> Layout<'d> {
    /// The value at a place; `None` where that is undefined.
    pub(crate) fn read<T: ReadTxn>(&self, txn: &T, place: &Place<'d>) -> Option<Json> {
        let schema = place.schema;
        let plain = || place.any(txn).map(|any| to_json(&any));
        if place.is_plain() {
            return plain().or_else(|| zero(schema));
        }
        let read = match schema.kind() {
            Kind::Struct(structure) => match (self.map(place, txn), plain()) {
                (None, Some(plain)) => Some(plain),
                (map, _) => {
                    let field = |(name, schema): (&str, &'d Schema)| {
                        let field = self.field(place, map.clone(), name, schema);
                        Some((name.to_owned(), self.read(txn, &field)?))
                    };
                    Some(Json::Object(structure.fields().filter_map(field).collect()))
                }
            },
            Kind::Record(item) => self.map(place, txn).map(|map| {
                let mut keys: Vec<_> = map.keys(txn).map(ToString::to_string).collect();
                keys.sort_unstable();
                keys.retain(|key| key != "__proto__");
                let entry = |key: String| {
                    let place = Place::inside(item, At::Key(map.clone(), key.clone()));
                    Some((key, self.read(txn, &place)?))
                };
                Json::Object(keys.into_iter().filter_map(entry).collect())
            }),
            Kind::List(item) => place.array(txn).map(|array| {
                let read = |index| {
                    let place = Place::inside(item, At::Item(array.clone(), index));
                    self.read(txn, &place).unwrap_or(Json::Null)
                };
                Json::Array((0..array.len(txn)).map(read).collect())
            }),
            Kind::Text => place
                .text(txn)
                .map(|text| Json::String(text.get_string(txn))),
            Kind::RichText(_) => place.text(txn).map(|text| spans(txn, &text)),
            _ => None,
        };
        // A plain value where a container belongs is shown as it is.
        read.or_else(plain).or_else(|| zero(schema))
    }
}

/// Rich text as spans of text with the same marks.
fn spans<T: ReadTxn>(txn: &T, text: &TextRef) -> Json {
    let span = |diff: yrs::types::text::Diff<YChange>| {
        let Out::Any(yrs::Any::String(inserted)) = diff.insert else {
            return None;
        };
        let marks = diff.attributes.into_iter().flat_map(|marks| *marks);
        let marks = marks.map(|(name, value)| (name.to_string(), to_json(&value)));
        Some(values::span(&inserted, marks))
    };
    let diffs = text.diff(txn, YChange::identity);
    Json::Array(diffs.into_iter().filter_map(span).collect())
}
