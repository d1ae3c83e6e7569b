//! Edits: what a user does, checked against the schema and the document, and then made on its containers.
//!
//! In: a document, its schema, an edit. Out: an error, or nothing. May touch: that document; an edit that is not allowed leaves
//! it as it was.

use kyneta_uds_exchange::{
    Action, Edit, EditError, Json,
    values::{edit_value, fits},
};
use kyneta_uds_schema::{Kind, Schema};
use loro::{
    LoroCounter, LoroError, LoroList, LoroMap, LoroMovableList, LoroResult, LoroText, LoroValue,
};

use crate::{
    convert::{plain, to_json, to_loro},
    place::{At, Layout, Place},
    write::{New, replace_text, write},
};

/// Why an edit is not made.
enum Fault {
    Edit(EditError),
    Loro(LoroError),
}

impl From<LoroError> for Fault {
    fn from(error: LoroError) -> Self {
        Self::Loro(error)
    }
}

impl From<EditError> for Fault {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

type Result<T, E = Fault> = std::result::Result<T, E>;

impl<'d> Layout<'d> {
    /// Makes an edit. One that is not allowed changes nothing.
    pub(crate) fn edit(&self, edit: &Edit) -> Result<(), EditError> {
        let made = self
            .resolve(edit, false)
            .and_then(|(place, rest)| self.check(edit, &place, rest))
            .and_then(|()| self.resolve(edit, true))
            .and_then(|(place, rest)| self.make(edit, &place, rest));
        made.map_err(|fault| match fault {
            Fault::Edit(error) => error,
            Fault::Loro(error) => EditError::Refused {
                path: edit.path().join("."),
                why: error.to_string(),
            },
        })
    }

    /// The place that an edit's path leads to, or the plain value on the way with the rest of the path. `create`
    /// makes the maps of structs on the way.
    fn resolve<'e>(&self, edit: &'e Edit, create: bool) -> Result<(Place<'d>, &'e [String])> {
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
                    self.field(&place, name, schema, create)?
                }
                Kind::Record(item) => {
                    let map: LoroMap = self.container(&place, false)?.ok_or_else(nothing)?;
                    map.get(name).ok_or_else(nothing)?;
                    Place::inside(item, At::Key(map, name.clone()))
                }
                Kind::List(item) => {
                    let list: LoroList = self.container(&place, false)?.ok_or_else(nothing)?;
                    let index = index(name, list.len()).ok_or_else(nothing)?;
                    Place::inside(item, At::Item(list, index))
                }
                Kind::Movable(item) => {
                    let list: LoroMovableList =
                        self.container(&place, false)?.ok_or_else(nothing)?;
                    let index = index(name, list.len()).ok_or_else(nothing)?;
                    Place::inside(item, At::Slot(list, index))
                }
                _ => return Err(nothing().into()),
            };
            rest = after;
        }
        Ok((place, rest))
    }

    /// Whether an edit can be made at a place.
    fn check(&self, edit: &Edit, place: &Place<'d>, rest: &[String]) -> Result<()> {
        let path = || edit.path().join(".");
        let schema = place.schema;
        if place.is_plain() {
            return self
                .edited(edit, place, rest)
                .map(drop)
                .map_err(Fault::from);
        }
        let fitting = |schema: &Schema, value: &Json| match fits(schema, value) {
            true => Ok(()),
            false => Err(EditError::WrongValue {
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
        let text_len = || -> Result<usize> {
            let text: Option<LoroText> = self.container(place, false)?;
            Ok(text.map_or(0, |text| text.len_utf16()))
        };
        match (edit.action(), schema.kind()) {
            (Action::Set(value), Kind::Struct(_)) => fitting(schema, value)?,
            (Action::Insert(at, value), Kind::List(item) | Kind::Movable(item)) => {
                within(*at, self.len(place)?)?;
                fitting(item, value)?;
            }
            (Action::Push(value), Kind::List(item) | Kind::Movable(item)) => fitting(item, value)?,
            (Action::Delete(at, count), Kind::List(_) | Kind::Movable(_)) => {
                within(at.saturating_add(*count), self.len(place)?)?;
            }
            (Action::Insert(at, value), Kind::Text | Kind::RichText(_)) => {
                within(*at, text_len()?)?;
                fitting(&Schema::string(), value)?;
            }
            (Action::Delete(at, count), Kind::Text | Kind::RichText(_)) => {
                within(at.saturating_add(*count), text_len()?)?;
            }
            (Action::Update(_), Kind::Text)
            | (Action::Increment(_), Kind::Counter)
            | (Action::Remove(_) | Action::Clear, Kind::Record(_)) => {}
            (Action::Put(key, value), Kind::Record(item)) => {
                if key == "__proto__" {
                    let path = format!("{}.{key}", path());
                    return Err(EditError::NoSuchPath { path }.into());
                }
                fitting(item, value)?;
            }
            (Action::Mark(_, to, mark, _), Kind::RichText(marks)) => {
                within(*to, text_len()?)?;
                if !marks.iter().any(|known| known.name == *mark) {
                    let path = format!("{}.{mark}", path());
                    return Err(EditError::NoSuchPath { path }.into());
                }
            }
            (action, kind) => {
                return Err(EditError::WrongKind {
                    path: path(),
                    kind: kind.name(),
                    edit: action.name(),
                }
                .into());
            }
        }
        Ok(())
    }

    /// Makes a checked edit.
    fn make(&self, edit: &Edit, place: &Place<'d>, rest: &[String]) -> Result<()> {
        let schema = place.schema;
        if place.is_plain() {
            let value = self.edited(edit, place, rest)?;
            place.set(to_loro(schema, &value))?;
            return Ok(());
        }
        match (edit.action(), schema.kind()) {
            (Action::Set(value), _) => self.overwrite(place, value)?,
            (Action::Insert(at, value), Kind::List(item) | Kind::Movable(item)) => {
                self.insert(place, *at, item, value)?;
            }
            (Action::Push(value), Kind::List(item) | Kind::Movable(item)) => {
                self.insert(place, self.len(place)?, item, value)?;
            }
            (Action::Delete(at, count), Kind::List(_)) => {
                if let Some(list) = self.container::<LoroList>(place, false)? {
                    list.delete(*at, *count)?;
                }
            }
            (Action::Delete(at, count), Kind::Movable(_)) => {
                if let Some(list) = self.container::<LoroMovableList>(place, false)? {
                    list.delete(*at, *count)?;
                }
            }
            (Action::Put(key, value), Kind::Record(item)) => self.put(place, item, key, value)?,
            (Action::Remove(key), Kind::Record(_)) => {
                if let Some(map) = self.container::<LoroMap>(place, false)?
                    && map.get(key).is_some()
                {
                    map.delete(key)?;
                }
            }
            (Action::Clear, Kind::Record(_)) => {
                if let Some(map) = self.container::<LoroMap>(place, false)? {
                    map.clear()?;
                }
            }
            (Action::Increment(amount), _) => {
                if let Some(counter) = self.container::<LoroCounter>(place, true)? {
                    counter.increment(*amount)?;
                }
            }
            (action, _) => {
                if let Some(text) = self.container::<LoroText>(place, true)? {
                    edit_text(&text, action)?;
                }
            }
        }
        Ok(())
    }

    /// The plain value at a place after an edit of it or in it.
    fn edited(&self, edit: &Edit, place: &Place<'d>, rest: &[String]) -> Result<Json, EditError> {
        let now = place.plain().map(|value| to_json(&value));
        edit_value(place.schema, now, edit, rest)
    }

    fn len(&self, place: &Place<'d>) -> Result<usize> {
        Ok(match place.schema.kind() {
            Kind::List(_) => self
                .container::<LoroList>(place, false)?
                .map_or(0, |list| list.len()),
            _ => self
                .container::<LoroMovableList>(place, false)?
                .map_or(0, |list| list.len()),
        })
    }

    fn insert(&self, place: &Place<'d>, at: usize, item: &Schema, value: &Json) -> Result<()> {
        match place.schema.kind() {
            Kind::List(_) => {
                if let Some(list) = self.container::<LoroList>(place, true)? {
                    write(&New::Item(&list, at), item, value)?;
                }
            }
            _ => {
                if let Some(list) = self.container::<LoroMovableList>(place, true)? {
                    write(&New::Slot(&list, at), item, value)?;
                }
            }
        }
        Ok(())
    }
}

/// The index of an item that is there.
fn index(name: &str, len: usize) -> Option<usize> {
    name.parse().ok().filter(|index| *index < len)
}

fn edit_text(text: &LoroText, action: &Action) -> LoroResult<()> {
    match action {
        Action::Insert(at, Json::String(new)) => text.insert_utf16(*at, new),
        Action::Delete(at, count) => text.delete_utf16(*at, *count),
        Action::Update(new) => replace_text(text, new),
        Action::Mark(from, to, _, _) if from >= to => Ok(()),
        Action::Mark(from, to, mark, Json::Null) => text.unmark_utf16(*from..*to, mark),
        Action::Mark(from, to, mark, value) => {
            let value: LoroValue = plain(value);
            text.mark_utf16(*from..*to, mark, value)
        }
        _ => Ok(()),
    }
}
