//! Edits: what a user does, checked against the schema and the document, and then made on its containers.
//!
//! In: a transaction, the document's schema, an edit. Out: an error, or nothing. May touch: that transaction.

use kyneta_uds_exchange::{
    Action, Edit, EditError, Json,
    values::{edit_value, fits},
};
use kyneta_uds_schema::{Kind, Schema};
use yrs::{
    Any, Array as _, GetString as _, Map as _, ReadTxn, Text as _, TextRef, TransactionMut,
    types::Attrs,
};

use crate::{
    convert::{plain, to_any, to_json},
    place::{At, Layout, Place},
    write::{New, replace_text, write},
};

impl<'d> Layout<'d> {
    /// Makes an edit. One that is not allowed changes nothing.
    pub(crate) fn edit(&self, txn: &mut TransactionMut<'_>, edit: &Edit) -> Result<(), EditError> {
        self.check(txn, edit)?;
        let (place, rest) =
            self.resolve(txn, edit, |layout, place, txn| layout.make_map(place, txn))?;
        self.make(txn, edit, &place, rest)
    }

    /// Whether an edit can be made.
    pub(crate) fn check(&self, txn: &mut TransactionMut<'_>, edit: &Edit) -> Result<(), EditError> {
        let (place, rest) = self.resolve(txn, edit, |layout, place, txn| layout.map(place, txn))?;
        self.check_at(txn, edit, &place, rest)
    }

    /// The place that an edit's path leads to, or the plain value on the way with the rest of the path. `map` gives the
    /// map of a struct on the way.
    fn resolve<'e, 't>(
        &self,
        txn: &mut TransactionMut<'t>,
        edit: &'e Edit,
        map: impl Fn(&Self, &Place<'d>, &mut TransactionMut<'t>) -> Option<yrs::MapRef>,
    ) -> Result<(Place<'d>, &'e [String]), EditError> {
        let nothing = || EditError::NoSuchPath {
            path: edit.path().join("."),
        };
        let mut place = self.root();
        let mut rest = edit.path();
        while let Some((name, after)) = rest.split_first() {
            place = match place.schema.kind() {
                _ if place.is_plain() => return Ok((place, rest)),
                Kind::Struct(structure) => {
                    let schema = structure.field(name).ok_or_else(nothing)?;
                    let map = map(self, &place, txn);
                    self.field(&place, map, name, schema)
                }
                Kind::Record(item) => {
                    let map = self.map(&place, txn).ok_or_else(nothing)?;
                    map.get(txn, name).ok_or_else(nothing)?;
                    Place::inside(item, At::Key(map, name.clone()))
                }
                Kind::List(item) => {
                    let array = place.array(txn).ok_or_else(nothing)?;
                    let index = name.parse().ok().filter(|index| *index < array.len(txn));
                    Place::inside(item, At::Item(array, index.ok_or_else(nothing)?))
                }
                _ => return Err(nothing()),
            };
            rest = after;
        }
        Ok((place, rest))
    }

    fn check_at<T: ReadTxn>(
        &self,
        txn: &T,
        edit: &Edit,
        place: &Place<'d>,
        rest: &[String],
    ) -> Result<(), EditError> {
        let path = || edit.path().join(".");
        let schema = place.schema;
        let no_such = |kind| EditError::Refused {
            path: path(),
            why: format!("Yjs has no {kind}"),
        };
        if place.is_plain() {
            if let Some(kind) = foreign(schema) {
                return Err(no_such(kind));
            }
            return self.edited(txn, edit, place, rest).map(drop);
        }
        let fitting = |schema: &Schema, value: &Json| match (foreign(schema), fits(schema, value)) {
            (Some(kind), _) => Err(no_such(kind)),
            (None, true) => Ok(()),
            (None, false) => Err(EditError::WrongValue {
                path: path(),
                value: value.kind(),
            }),
        };
        let within = |at: usize, len: usize| match at <= len {
            true => Ok(()),
            false => Err(EditError::BehindEnd {
                path: path(),
                at,
                len,
            }),
        };
        let list_len = || place.array(txn).map_or(0, |array| array.len(txn) as usize);
        // Positions in a text must be between characters.
        let between = |positions: &[usize]| {
            let text = place.text(txn).map(|text| text.get_string(txn));
            let text = text.unwrap_or_default();
            for at in positions {
                within(*at, text.encode_utf16().count())?;
                if !is_between(&text, *at) {
                    return Err(EditError::Refused {
                        path: path(),
                        why: format!("{at} is in the middle of a character"),
                    });
                }
            }
            Ok(())
        };
        match (edit.action(), schema.kind()) {
            (Action::Set(value), Kind::Struct(_)) => fitting(schema, value),
            (Action::Insert(at, value), Kind::List(item)) => {
                within(*at, list_len())?;
                fitting(item, value)
            }
            (Action::Push(value), Kind::List(item)) => fitting(item, value),
            (Action::Delete(at, count), Kind::List(_)) => {
                within(at.saturating_add(*count), list_len())
            }
            (Action::Insert(at, value), Kind::Text | Kind::RichText(_)) => {
                fitting(&Schema::string(), value)?;
                between(&[*at])
            }
            (Action::Delete(at, count), Kind::Text | Kind::RichText(_)) => {
                between(&[at.saturating_add(*count), *at])
            }
            (Action::Update(_), Kind::Text)
            | (Action::Remove(_) | Action::Clear, Kind::Record(_)) => Ok(()),
            (Action::Put(key, value), Kind::Record(item)) => {
                if key == "__proto__" {
                    let path = format!("{}.{key}", path());
                    return Err(EditError::NoSuchPath { path });
                }
                fitting(item, value)
            }
            (Action::Mark(from, to, mark, _), Kind::RichText(marks)) => {
                if !marks.iter().any(|known| known.name == *mark) {
                    let path = format!("{}.{mark}", path());
                    return Err(EditError::NoSuchPath { path });
                }
                between(&[*from.min(to), *to])
            }
            (action, kind) => Err(EditError::WrongKind {
                path: path(),
                kind: kind.name(),
                edit: action.name(),
            }),
        }
    }

    /// Makes a checked edit.
    fn make(
        &self,
        txn: &mut TransactionMut<'_>,
        edit: &Edit,
        place: &Place<'d>,
        rest: &[String],
    ) -> Result<(), EditError> {
        let schema = place.schema;
        if place.is_plain() {
            let value = self.edited(txn, edit, place, rest)?;
            place.set(txn, to_any(schema, &value));
            return Ok(());
        }
        match (edit.action(), schema.kind()) {
            (Action::Set(value), _) => self.overwrite(txn, place, value),
            (Action::Insert(at, value), Kind::List(item)) => {
                if let Some(array) = self.make_array(place, txn) {
                    write(txn, &New::Item(&array, *at as u32), item, value);
                }
            }
            (Action::Push(value), Kind::List(item)) => {
                if let Some(array) = self.make_array(place, txn) {
                    let len = array.len(txn);
                    write(txn, &New::Item(&array, len), item, value);
                }
            }
            (Action::Delete(at, count), Kind::List(_)) if *count > 0 => {
                if let Some(array) = place.array(txn) {
                    array.remove_range(txn, *at as u32, *count as u32);
                }
            }
            (Action::Put(key, value), Kind::Record(item)) => {
                if let Some(map) = self.make_map(place, txn) {
                    write(txn, &New::Entry(&map, key), item, value);
                }
            }
            (Action::Remove(key), Kind::Record(_)) => {
                if let Some(map) = self.map(place, txn) {
                    map.remove(txn, key);
                }
            }
            (Action::Clear, Kind::Record(_)) => {
                if let Some(map) = self.map(place, txn) {
                    map.clear(txn);
                }
            }
            (action, _) => {
                if let Some(text) = self.make_text(place, txn) {
                    edit_text(txn, &text, action);
                }
            }
        }
        Ok(())
    }

    /// The plain value at a place after an edit of it or in it.
    fn edited<T: ReadTxn>(
        &self,
        txn: &T,
        edit: &Edit,
        place: &Place<'d>,
        rest: &[String],
    ) -> Result<Json, EditError> {
        let now = place.any(txn).map(|value| to_json(&value));
        edit_value(place.schema, now, edit, rest)
    }
}

/// The kind of a part of a value that Yjs has no container for.
fn foreign(schema: &Schema) -> Option<&'static str> {
    let kind = schema.kind();
    match kind {
        _ if schema.is_json() => None,
        Kind::Counter | Kind::Movable(_) | Kind::Set(_) | Kind::Tree(_) => Some(kind.name()),
        Kind::Struct(structure) => structure.fields().find_map(|(_, field)| foreign(field)),
        Kind::List(item) | Kind::Record(item) => foreign(item),
        _ => None,
    }
}

/// Whether a position, in UTF-16 units, is at the edge of a character.
fn is_between(text: &str, at: usize) -> bool {
    let mut units = 0;
    for char in text.chars() {
        if units >= at {
            break;
        }
        units += char.len_utf16();
    }
    units == at
}

fn edit_text(txn: &mut TransactionMut<'_>, text: &TextRef, action: &Action) {
    match action {
        Action::Insert(at, Json::String(new)) => text.insert(txn, *at as u32, new),
        Action::Delete(at, count) if *count > 0 => {
            text.remove_range(txn, *at as u32, *count as u32);
        }
        Action::Update(new) => replace_text(txn, text, new),
        Action::Mark(from, to, mark, value) if from < to => {
            let value = match value {
                Json::Null => Any::Null,
                value => plain(value),
            };
            let marks = Attrs::from_iter([(mark.as_str().into(), value)]);
            text.format(txn, *from as u32, (to - from) as u32, marks);
        }
        _ => {}
    }
}
