//! Edits of a plain JSON document: what a user does, checked against the schema, becomes a change.
//!
//! In: a schema, a value, edits. Out: the value with them, and the change; or the first fault, and nothing has changed. Pure.

use kyneta_uds_schema::{Kind, Literal, Scalar, Schema};

use super::{
    apply::apply,
    change::{Batch, Change, Op, Segment},
    instructions::{Instruction, RichInstruction},
    richtext, text,
};
use crate::json::{Json, Object};

/// One thing that a user does to a document. A path has the names of fields, the keys of records and the indices of
/// lists, with dots between.
///
/// ```
/// use kyneta_uds_exchange::{Edit, Json};
///
/// let edits = [
///     Edit::set("meta.owner", "ann"),
///     Edit::push("todos", Json::parse(r#"{"text": "sweep", "done": false}"#)?),
///     Edit::set("todos.0.done", true),
///     Edit::increment("hits", 1.0),
/// ];
/// # Ok::<(), kyneta_uds_exchange::JsonFault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    path: Vec<String>,
    does: Action,
}

/// What an [`Edit`] does, for a replica that makes it. Positions count UTF-16 units in texts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Replaces a value.
    Set(Json),
    /// Inserts at a position.
    Insert(usize, Json),
    /// Adds to the end.
    Push(Json),
    /// Deletes from a position as many.
    Delete(usize, usize),
    /// Adds to a counter.
    Increment(f64),
    /// Sets the entry of a key.
    Put(String, Json),
    /// Removes the entry of a key.
    Remove(String),
    /// Removes all entries.
    Clear,
    /// Replaces a text.
    Update(String),
    /// Marks from a position up to another, by name; null takes the mark away.
    Mark(usize, usize, String, Json),
}

impl Edit {
    fn new(path: &str, does: Action) -> Self {
        let path = match path {
            "" => Vec::new(),
            path => path.split('.').map(str::to_owned).collect(),
        };
        Self { path, does }
    }

    /// The names on the way to what is edited.
    ///
    /// ```
    /// use kyneta_uds_exchange::{Action, Edit};
    ///
    /// let edit = Edit::increment("meta.hits", 2.0);
    /// assert_eq!((edit.path().join("/").as_str(), edit.action()), ("meta/hits", &Action::Increment(2.0)));
    /// ```
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// What is done there.
    pub const fn action(&self) -> &Action {
        &self.does
    }

    /// At least the bytes by which it makes the document's JSON longer, for a replica that has a bound.
    pub fn bytes(&self) -> usize {
        let escaped = |text: &str| text.len().saturating_mul(6).saturating_add(4);
        match &self.does {
            Action::Set(value) | Action::Insert(_, value) | Action::Push(value) => {
                value.to_string().len().saturating_add(32)
            }
            Action::Put(key, value) => escaped(key).saturating_add(value.to_string().len()),
            Action::Update(text) => escaped(text),
            // A mark may cut a span in three; a number may have 25 characters.
            Action::Mark(.., mark, value) => {
                3 * (escaped(mark).saturating_add(value.to_string().len()) + 32)
            }
            Action::Increment(_) => 25,
            Action::Delete(..) | Action::Remove(_) | Action::Clear => 0,
        }
    }

    /// The same edit at a path whose names may have dots.
    pub fn at<N: Into<String>>(mut self, path: impl IntoIterator<Item = N>) -> Self {
        self.path = path.into_iter().map(Into::into).collect();
        self
    }

    /// Replaces a scalar, a struct, a variant or a plain JSON value.
    pub fn set(path: &str, value: impl Into<Json>) -> Self {
        Self::new(path, Action::Set(value.into()))
    }

    /// Inserts an item into a list, or a string into a text, where `at` counts UTF-16 units.
    pub fn insert(path: &str, at: usize, value: impl Into<Json>) -> Self {
        Self::new(path, Action::Insert(at, value.into()))
    }

    /// Adds an item to the end of a list.
    pub fn push(path: &str, value: impl Into<Json>) -> Self {
        Self::new(path, Action::Push(value.into()))
    }

    /// Deletes items of a list, or UTF-16 units of a text.
    pub fn delete(path: &str, at: usize, count: usize) -> Self {
        Self::new(path, Action::Delete(at, count))
    }

    /// Adds to a counter.
    pub fn increment(path: &str, amount: f64) -> Self {
        Self::new(path, Action::Increment(amount))
    }

    /// Sets an entry of a record.
    pub fn put(path: &str, key: impl Into<String>, value: impl Into<Json>) -> Self {
        Self::new(path, Action::Put(key.into(), value.into()))
    }

    /// Removes an entry of a record.
    pub fn remove(path: &str, key: impl Into<String>) -> Self {
        Self::new(path, Action::Remove(key.into()))
    }

    /// Removes all entries of a record.
    pub fn clear(path: &str) -> Self {
        Self::new(path, Action::Clear)
    }

    /// Replaces a text.
    pub fn update(path: &str, text: impl Into<String>) -> Self {
        Self::new(path, Action::Update(text.into()))
    }

    /// Marks a range of a rich text, in UTF-16 units.
    pub fn mark(path: &str, from: usize, to: usize, mark: &str, value: impl Into<Json>) -> Self {
        Self::new(path, Action::Mark(from, to, mark.to_owned(), value.into()))
    }

    /// Removes a mark from a range of a rich text, in UTF-16 units.
    pub fn unmark(path: &str, from: usize, to: usize, mark: &str) -> Self {
        Self::new(path, Action::Mark(from, to, mark.to_owned(), Json::Null))
    }
}

/// An edit that cannot be made. The document is as it was before all edits that were made with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The replica has no schema, so it is not edited.
    #[error("a replica without a schema holds and forwards; it is not edited")]
    NoSchema,
    /// There is nothing at the path.
    #[error("there is nothing at {path:?}")]
    NoSuchPath {
        /// The path.
        path: String,
    },
    /// What is at the path has no such edit.
    #[error("what is at {path:?} is a {kind}, which has no {edit:?}")]
    WrongKind {
        /// The path.
        path: String,
        /// The kind of what is there.
        kind: &'static str,
        /// The edit.
        edit: &'static str,
    },
    /// The value is not one of the schema's.
    #[error("{value} is no value for {path:?}")]
    WrongValue {
        /// The path.
        path: String,
        /// The type of the value.
        value: &'static str,
    },
    /// A position is behind the end.
    #[error("{at} is behind the end of {path:?}, which is {len} long")]
    BehindEnd {
        /// The path.
        path: String,
        /// The position.
        at: usize,
        /// How long it is.
        len: usize,
    },
    /// The document would become too large.
    #[error("the document would have {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// The bytes of its JSON.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The library that holds the document does not make it.
    #[error("{path:?} cannot be edited so: {why}")]
    Refused {
        /// The path.
        path: String,
        /// What the library says.
        why: String,
    },
    /// The library that holds the document failed on it before, so it is not used any more.
    #[error("the document is in quarantine: {why}")]
    Quarantined {
        /// What happened.
        why: String,
    },
}

/// Makes edits on a value of a struct that is no document of its own, or none of them: how a replica of another
/// crate checks edits, and makes those of a plain JSON value inside.
///
/// # Errors
/// [`EditError`]. Then the value is as it was.
pub fn edit_object(schema: &Schema, value: &mut Object, edits: &[Edit]) -> Result<(), EditError> {
    Editor::make(schema, value, edits).map(drop)
}

/// Makes edits one after another, and can take all of them back.
pub(crate) struct Editor<'r> {
    schema: &'r Schema,
    root: &'r mut Object,
    batch: Batch,
    /// What the fields held before, where there is more than one edit.
    before: Option<Object>,
}

impl<'r> Editor<'r> {
    /// Makes all edits, or none.
    pub(crate) fn make(
        schema: &'r Schema,
        root: &'r mut Object,
        edits: &[Edit],
    ) -> Result<Batch, EditError> {
        // A single edit is checked before it is made, so there is nothing to take back.
        let before = (edits.len() > 1).then(|| root.clone());
        let mut editor = Self {
            schema,
            root,
            batch: Batch::new(),
            before,
        };
        for edit in edits {
            if let Err(error) = editor.edit(edit) {
                if let Some(before) = editor.before.take() {
                    *editor.root = before;
                }
                return Err(error);
            }
        }
        Ok(editor.batch)
    }

    fn edit(&mut self, edit: &Edit) -> Result<(), EditError> {
        let (path, schema, value) = self.resolve(edit)?;
        let change = change(&edit.does, &edit.path.join("."), schema, value)?;
        let op = Op { path, change };
        apply(self.root, &op);
        self.batch.push(op);
        Ok(())
    }

    /// The path as it is sent, and what is there.
    fn resolve(&self, edit: &Edit) -> Result<(Vec<Segment>, &'r Schema, Option<&Json>), EditError> {
        let mut path = Vec::new();
        let mut schema = self.schema;
        let mut value: Option<&Json> = None;
        let nothing = || EditError::NoSuchPath {
            path: edit.path.join("."),
        };
        for name in &edit.path {
            while let Kind::Decay { of, .. } = schema.kind() {
                schema = of;
            }
            let object = if path.is_empty() {
                Some(&*self.root)
            } else {
                value.and_then(Json::as_object)
            };
            match schema.kind() {
                Kind::Struct(structure) => {
                    schema = structure.field(name).ok_or_else(nothing)?;
                    value = object.and_then(|object| object.get(name));
                    path.push(Segment::Field(name.clone()));
                }
                Kind::Record(item) => {
                    schema = item;
                    value = Some(
                        object
                            .and_then(|object| object.get(name))
                            .ok_or_else(nothing)?,
                    );
                    path.push(Segment::Entry(name.clone()));
                }
                Kind::List(item) | Kind::Movable(item) => {
                    let index: usize = name.parse().map_err(|_| nothing())?;
                    schema = item;
                    value = Some(match value {
                        Some(Json::Array(items)) => items.get(index).ok_or_else(nothing)?,
                        _ => return Err(nothing()),
                    });
                    path.push(Segment::Index(index as f64));
                }
                _ => return Err(nothing()),
            }
        }
        while let Kind::Decay { of, .. } = schema.kind() {
            schema = of;
        }
        Ok((path, schema, value))
    }
}

fn change(
    does: &Action,
    path: &str,
    schema: &Schema,
    now: Option<&Json>,
) -> Result<Change, EditError> {
    let kind = schema.kind();
    let path = || path.to_owned();
    let fitting = |schema: &Schema, value: &Json| {
        if fits(schema, value) {
            return Ok(value.clone());
        }
        let (path, value) = (path(), value.kind());
        Err(EditError::WrongValue { path, value })
    };
    let within = |at: usize, len: usize| {
        let path = path();
        (at <= len)
            .then_some(())
            .ok_or(EditError::BehindEnd { path, at, len })
    };
    let string = match now {
        Some(Json::String(text)) => text.as_str(),
        _ => "",
    };
    let items = match now {
        Some(Json::Array(items)) => items.len(),
        _ => 0,
    };
    Ok(match (does, kind) {
        (
            Action::Set(value),
            Kind::Scalar(..) | Kind::Struct(_) | Kind::Union(_) | Kind::Tagged { .. },
        ) => Change::Replace(Some(fitting(schema, value)?)),
        (Action::Set(value), Kind::List(_) | Kind::Record(_)) if schema.is_json() => {
            Change::Replace(Some(fitting(schema, value)?))
        }
        (Action::Insert(at, value), Kind::List(item) | Kind::Movable(item)) => {
            within(*at, items)?;
            Change::Sequence(inserted(*at, vec![fitting(item, value)?]))
        }
        (Action::Insert(at, Json::String(new)), Kind::Text) => {
            within(*at, text::units(string))?;
            Change::Text(inserted(*at, new.clone()))
        }
        (Action::Insert(at, Json::String(new)), Kind::RichText(_)) => {
            within(*at, now.map_or(0, richtext::units))?;
            let mut steps = rich_retained(*at);
            steps.push(RichInstruction::Insert(new.clone(), Object::new()));
            Change::RichText(steps)
        }
        (Action::Insert(_, value), Kind::Text | Kind::RichText(_)) => {
            let (path, value) = (path(), value.kind());
            return Err(EditError::WrongValue { path, value });
        }
        (Action::Push(value), Kind::List(item) | Kind::Movable(item)) => {
            // The reference says where the end is, also when that is 0.
            let value = vec![fitting(item, value)?];
            Change::Sequence(vec![Instruction::Retain(items), Instruction::Insert(value)])
        }
        (Action::Delete(at, count), Kind::List(_) | Kind::Movable(_)) => {
            within(at.saturating_add(*count), items)?;
            Change::Sequence(deleted(*at, *count))
        }
        (Action::Delete(at, count), Kind::Text) => {
            within(at.saturating_add(*count), text::units(string))?;
            Change::Text(deleted(*at, *count))
        }
        (Action::Delete(at, count), Kind::RichText(_)) => {
            within(at.saturating_add(*count), now.map_or(0, richtext::units))?;
            let mut steps = rich_retained(*at);
            steps.push(RichInstruction::Delete(*count));
            Change::RichText(steps)
        }
        (Action::Update(new), Kind::Text) => {
            let mut steps = Vec::new();
            if !string.is_empty() {
                steps.push(Instruction::Delete(text::units(string)));
            }
            if !new.is_empty() {
                steps.push(Instruction::Insert(new.clone()));
            }
            Change::Text(steps)
        }
        (Action::Increment(amount), Kind::Counter) => Change::Increment(*amount),
        (Action::Put(key, value), Kind::Record(item)) => {
            if key == "__proto__" {
                let path = format!("{}.{key}", path());
                return Err(EditError::NoSuchPath { path });
            }
            let set = Object::from_iter([(key.clone(), fitting(item, value)?)]);
            let delete = Vec::new();
            Change::Map { set, delete }
        }
        (Action::Remove(key), Kind::Record(_)) => Change::Map {
            set: Object::new(),
            delete: vec![key.clone()],
        },
        (Action::Clear, Kind::Record(_)) => Change::Map {
            set: Object::new(),
            delete: match now {
                Some(Json::Object(object)) => object.keys().cloned().collect(),
                _ => Vec::new(),
            },
        },
        (Action::Mark(from, to, mark, value), Kind::RichText(marks)) => {
            within(*to, now.map_or(0, richtext::units))?;
            if !marks.iter().any(|known| known.name == *mark) {
                let path = format!("{}.{mark}", path());
                return Err(EditError::NoSuchPath { path });
            }
            let mut steps = rich_retained(*from);
            let marks = Object::from_iter([(mark.clone(), value.clone())]);
            steps.push(RichInstruction::Format(to.saturating_sub(*from), marks));
            Change::RichText(steps)
        }
        (does, kind) => {
            let (kind, edit) = (kind.name(), does.name());
            return Err(EditError::WrongKind {
                path: path(),
                kind,
                edit,
            });
        }
    })
}

impl Action {
    /// The name in error texts.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Set(_) => "set",
            Self::Insert(..) => "insert",
            Self::Push(_) => "push",
            Self::Delete(..) => "delete",
            Self::Increment(_) => "increment",
            Self::Put(..) => "put",
            Self::Remove(_) => "remove",
            Self::Clear => "clear",
            Self::Update(_) => "update",
            Self::Mark(.., Json::Null) => "unmark",
            Self::Mark(..) => "mark",
        }
    }
}

fn retained<T>(at: usize) -> Vec<Instruction<T>> {
    match at {
        0 => Vec::new(),
        at => vec![Instruction::Retain(at)],
    }
}

fn rich_retained(at: usize) -> Vec<RichInstruction> {
    match at {
        0 => Vec::new(),
        at => vec![RichInstruction::Retain(at)],
    }
}

fn inserted<T>(at: usize, value: T) -> Vec<Instruction<T>> {
    let mut steps = retained(at);
    steps.push(Instruction::Insert(value));
    steps
}

fn deleted<T>(at: usize, count: usize) -> Vec<Instruction<T>> {
    let mut steps = retained(at);
    steps.push(Instruction::Delete(count));
    steps
}

/// Whether a value is one of the schema's.
pub fn fits(schema: &Schema, value: &Json) -> bool {
    let all = |item: &Schema| match value {
        Json::Array(items) => items.iter().all(|value| fits(item, value)),
        _ => false,
    };
    match schema.kind() {
        Kind::Scalar(scalar, allowed) => {
            let typed = match scalar {
                Scalar::String => matches!(value, Json::String(_)),
                Scalar::Number => matches!(value, Json::Number(_)),
                Scalar::Boolean => matches!(value, Json::Bool(_)),
                Scalar::Null => matches!(value, Json::Null),
                Scalar::Bytes => matches!(value, Json::Object(_)),
                Scalar::Undefined => false,
                Scalar::Any => true,
            };
            let is = |allowed: &Literal| match (allowed, value) {
                (Literal::String(allowed), Json::String(value)) => allowed == value,
                (Literal::Number(allowed), Json::Number(value)) => allowed == value,
                (Literal::Boolean(allowed), Json::Bool(value)) => allowed == value,
                _ => false,
            };
            typed && (allowed.is_empty() || allowed.iter().any(is))
        }
        Kind::Text => matches!(value, Json::String(_)),
        Kind::Counter => matches!(value, Json::Number(_)),
        Kind::Struct(structure) => value.as_object().is_some_and(|object| {
            let known = |name: &String| structure.field(name).is_some();
            let there = |(name, field): (&str, &Schema)| match object.get(name) {
                Some(value) => fits(field, value),
                None => matches!(
                    field.kind(),
                    Kind::Scalar(Scalar::Undefined | Scalar::Any, _)
                ),
            };
            object.keys().all(known) && structure.fields().all(there)
        }),
        Kind::Record(item) => value
            .as_object()
            .is_some_and(|object| object.values().all(|value| fits(item, value))),
        Kind::List(item) | Kind::Movable(item) | Kind::Set(item) => all(item),
        Kind::RichText(_) | Kind::Tree(_) => matches!(value, Json::Array(_)),
        Kind::Union(variants) | Kind::Tagged { variants, .. } => {
            variants.iter().any(|variant| fits(variant, value))
        }
        Kind::Decay { of, .. } => fits(of, value),
        _ => false,
    }
}
