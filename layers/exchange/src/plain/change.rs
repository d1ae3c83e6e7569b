//! Payloads of plain JSON documents: batches of changes, or a whole object.
//!
//! In: JSON text that a peer sent. Out: changes that are well formed, so that making them cannot fail; and their
//! text.

use kyneta_uds_schema::js;

use super::instructions::{Instruction, RichInstruction, instructions, rich_instructions};
use crate::{
    json::{Json, Object, write::push_object},
    replica::ImportError,
};

/// Changes that are made together.
pub(crate) type Batch = Vec<Op>;

/// A change and where it is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Op {
    pub(super) path: Vec<Segment>,
    pub(super) change: Change,
}

impl Op {
    /// What counts as a change and does nothing: the place of one that is refused.
    pub(super) const NOTHING: Self = Self {
        path: Vec::new(),
        change: Change::Replace(None),
    };
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Segment {
    /// The field of a struct.
    Field(String),
    /// The entry of a record.
    Entry(String),
    /// The item of a list. A JavaScript number, which need not be one of a list.
    Index(f64),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// `None` does nothing at the root, and makes a field null.
    Replace(Option<Json>),
    Text(Vec<Instruction<String>>),
    Sequence(Vec<Instruction<Vec<Json>>>),
    Map {
        set: Object,
        delete: Vec<String>,
    },
    Increment(f64),
    RichText(Vec<RichInstruction>),
    SetOp {
        add: Vec<Json>,
        remove: Vec<Json>,
    },
}

/// The batches of a payload, without empty ones, and how many changes are refused.
pub(super) fn batches(text: &str) -> Result<(Vec<Batch>, usize), ImportError> {
    let (json, mut refused) = Json::parse_counting(text)?;
    let batches = list(json, || "the payload".to_owned())?.into_iter();
    let mut all = Vec::new();
    for (at, batch) in batches.enumerate() {
        let mut ops = Vec::new();
        for (index, op) in list(batch, || format!("batch {at}"))?
            .into_iter()
            .enumerate()
        {
            let place = || format!("batch {at}, change {index}");
            let op = op_of(op, &place)?;
            if op.path.iter().any(Segment::is_unsafe) {
                refused += 1;
                ops.push(Op::NOTHING);
            } else {
                ops.push(op);
            }
        }
        if !ops.is_empty() {
            all.push(ops);
        }
    }
    Ok((all, refused))
}

/// The object of a payload that is a whole document, whether it counts as a batch, and how many keys are refused.
/// Lists and strings are objects of their indices, as in JavaScript.
pub(crate) fn entirety_object(text: &str) -> Result<(Object, usize), ImportError> {
    let (json, refused) = Json::parse_counting(text)?;
    let indexed = |items: Vec<Json>| {
        let entry = |(at, item): (usize, Json)| (at.to_string(), item);
        items.into_iter().enumerate().map(entry).collect()
    };
    let object = match json {
        Json::Object(object) => object,
        Json::Array(items) => indexed(items),
        Json::String(text) => indexed(characters(&text)),
        Json::Bool(_) | Json::Number(_) => Object::new(),
        Json::Null => return form("the payload", "null is no document"),
    };
    Ok((object, refused))
}

/// The code points of a string, each a string.
pub(super) fn characters(text: &str) -> Vec<Json> {
    text.chars()
        .map(|char| Json::String(char.to_string()))
        .collect()
}

impl Segment {
    /// The key in an object.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Field(key) | Self::Entry(key) => key.clone(),
            Self::Index(index) => js::number_text(*index),
        }
    }

    fn is_unsafe(&self) -> bool {
        matches!(self, Self::Field(key) | Self::Entry(key) if key == "__proto__")
    }
}

pub(super) fn form<T>(place: impl Into<String>, what: impl Into<String>) -> Result<T, ImportError> {
    let (place, what) = (place.into(), what.into());
    Err(ImportError::Form { place, what })
}

pub(super) fn list(json: Json, place: impl Fn() -> String) -> Result<Vec<Json>, ImportError> {
    match json {
        Json::Array(list) => Ok(list),
        other => form(place(), format!("expected a list, not {}", other.kind())),
    }
}

pub(super) fn object(json: Json, place: impl Fn() -> String) -> Result<Object, ImportError> {
    match json {
        Json::Object(object) => Ok(object),
        other => form(place(), format!("expected an object, not {}", other.kind())),
    }
}

fn op_of(json: Json, place: &impl Fn() -> String) -> Result<Op, ImportError> {
    let mut op = object(json, place)?;
    let (Some(path), Some(change)) = (op.shift_remove("path"), op.shift_remove("change")) else {
        return form(place(), "it has no path or no change");
    };
    let segments = list(path, place)?.into_iter();
    let path = segments
        .map(|segment| Ok(self::segment(object(segment, place)?)))
        .collect::<Result<Vec<_>, ImportError>>()?;
    let change = change_of(object(change, place)?, place)?;
    let at_root = matches!(change, Change::Replace(_) | Change::Map { .. });
    if path.is_empty() && !at_root {
        return form(place(), "the document itself is an object");
    }
    Ok(Op { path, change })
}

/// What JavaScript cannot find is "undefined".
fn segment(mut json: Object) -> Segment {
    let kind = json.shift_remove("type");
    let named = |value: Option<Json>| match value {
        Some(Json::String(name)) => name,
        Some(other) => other.to_string(),
        None => "undefined".to_owned(),
    };
    match kind {
        Some(Json::String(kind)) if kind == "entry" => {
            Segment::Entry(named(json.shift_remove("entry")))
        }
        Some(Json::String(kind)) if kind == "index" => match json.shift_remove("index") {
            Some(Json::Number(index)) => Segment::Index(index),
            other => Segment::Field(named(other)),
        },
        _ => Segment::Field(named(json.shift_remove("field"))),
    }
}

fn change_of(mut json: Object, place: &impl Fn() -> String) -> Result<Change, ImportError> {
    let Some(Json::String(kind)) = json.shift_remove("type") else {
        return form(place(), "the change has no type");
    };
    let mut take = |name: &str| json.shift_remove(name);
    Ok(match kind.as_str() {
        "replace" => Change::Replace(take("value")),
        "text" => Change::Text(instructions(
            take("instructions"),
            place,
            |json| match json {
                Json::String(text) => Some(text),
                _ => None,
            },
        )?),
        "sequence" => Change::Sequence(instructions(
            take("instructions"),
            place,
            |json| match json {
                Json::Array(items) => Some(items),
                _ => None,
            },
        )?),
        "richtext" => Change::RichText(rich_instructions(take("instructions"), place)?),
        "map" => {
            let set = take("set").map_or(Ok(Object::new()), |set| object(set, place))?;
            let delete = take("delete").map_or(Ok(Vec::new()), |keys| list(keys, place))?;
            let key = |key| match key {
                Json::String(key) => Ok(key),
                other => form(place(), format!("{} is no key", other.kind())),
            };
            let delete = delete.into_iter().map(key).collect::<Result<_, _>>()?;
            Change::Map { set, delete }
        }
        "increment" => match take("amount") {
            Some(Json::Number(amount)) => Change::Increment(amount),
            _ => return form(place(), "an increment needs an amount"),
        },
        "set-op" => {
            let mut items = |name| take(name).map_or(Ok(Vec::new()), |items| list(items, place));
            let (add, remove) = (items("add")?, items("remove")?);
            Change::SetOp { add, remove }
        }
        other => return form(place(), format!("there is no change {other:?}")),
    })
}

/// Appends the text of a batch.
pub(super) fn push_batch(batch: &Batch, out: &mut String) {
    push_list(batch, out, |op, out| {
        out.push_str("{\"path\":");
        push_list(&op.path, out, push_segment);
        out.push_str(",\"change\":");
        push_change(&op.change, out);
        out.push('}');
    });
}

pub(super) fn push_list<T>(items: &[T], out: &mut String, push: impl Fn(&T, &mut String)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push(item, out);
    }
    out.push(']');
}

fn push_segment(segment: &Segment, out: &mut String) {
    let (kind, key) = match segment {
        Segment::Field(key) => ("field", key),
        Segment::Entry(key) => ("entry", key),
        Segment::Index(index) => {
            out.push_str("{\"type\":\"index\",\"index\":");
            out.push_str(&js::number_text(*index));
            out.push('}');
            return;
        }
    };
    out.push_str(&format!("{{\"type\":\"{kind}\",\"{kind}\":"));
    js::push_json(out, key);
    out.push('}');
}

fn push_change(change: &Change, out: &mut String) {
    let json = |item: &Json, out: &mut String| item.push_to(out);
    match change {
        Change::Replace(value) => {
            out.push_str("{\"type\":\"replace\"");
            if let Some(value) = value {
                out.push_str(",\"value\":");
                value.push_to(out);
            }
        }
        Change::Text(instructions) => {
            out.push_str("{\"type\":\"text\",\"instructions\":");
            push_list(instructions, out, |instruction, out| {
                instruction.push_to(out, |text, out| js::push_json(out, text));
            });
        }
        Change::Sequence(instructions) => {
            out.push_str("{\"type\":\"sequence\",\"instructions\":");
            push_list(instructions, out, |instruction, out| {
                instruction.push_to(out, |items, out| push_list(items, out, json));
            });
        }
        Change::RichText(instructions) => {
            out.push_str("{\"type\":\"richtext\",\"instructions\":");
            push_list(instructions, out, RichInstruction::push_to);
        }
        Change::Map { set, delete } => {
            out.push_str("{\"type\":\"map\"");
            if !set.is_empty() {
                out.push_str(",\"set\":");
                push_object(set, out);
            }
            if !delete.is_empty() {
                out.push_str(",\"delete\":");
                push_list(delete, out, |key, out| js::push_json(out, key));
            }
        }
        Change::Increment(amount) => {
            out.push_str("{\"type\":\"increment\",\"amount\":");
            Json::Number(*amount).push_to(out);
        }
        Change::SetOp { add, remove } => {
            out.push_str("{\"type\":\"set-op\"");
            for (name, items) in [("add", add), ("remove", remove)] {
                if !items.is_empty() {
                    out.push_str(&format!(",\"{name}\":"));
                    push_list(items, out, json);
                }
            }
        }
    }
    out.push('}');
}
