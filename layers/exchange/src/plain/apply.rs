//! Making a change on a value, as JavaScript makes it: what is missing is created, what does not fit is replaced.
//!
//! Nothing here fails. What would cost much more memory than its payload is refused, and reported.

use kyneta_uds_schema::js;

use super::{
    change::{Change, Op, Segment, characters},
    instructions::Instruction,
    richtext, text,
};
use crate::json::{Json, Object};

/// How far behind the end of a list an item may be set; what lies between becomes null.
pub(super) const MAX_FILL: usize = 1_024;

/// Makes a change. `false` when it was refused; then nothing has changed.
pub(super) fn apply(root: &mut Object, op: &Op) -> bool {
    let Some((first, rest)) = op.path.split_first() else {
        at_root(root, &op.change);
        return true;
    };
    if !fills(root, first, rest) {
        return false;
    }
    let slot = root.entry(first.key()).or_insert(Json::Null);
    // Without one it is a property of a list that is no item, which JSON does not show.
    if let Some(slot) = descend(slot, rest) {
        change_value(slot, &op.change);
    }
    true
}

/// Whether no list on the way would have to grow too much.
fn fills(root: &Object, first: &Segment, rest: &[Segment]) -> bool {
    let mut at = root.get(&first.key());
    for segment in rest {
        at = match at {
            Some(Json::Array(items)) => match position(segment) {
                Some(index) if index >= items.len().saturating_add(MAX_FILL) => return false,
                Some(index) => items.get(index),
                None => return true,
            },
            Some(Json::Object(object)) => object.get(&segment.key()),
            // A list or an object is made here.
            _ => match segment {
                Segment::Index(_) => match position(segment) {
                    Some(index) if index >= MAX_FILL => return false,
                    _ => None,
                },
                _ => None,
            },
        };
    }
    true
}

/// The position in a list.
fn position(segment: &Segment) -> Option<usize> {
    match segment {
        Segment::Index(index) if *index >= 0.0 && index.fract() == 0.0 => Some(*index as usize),
        Segment::Index(_) => None,
        Segment::Field(key) | Segment::Entry(key) => {
            js::array_index(key).map(|index| index as usize)
        }
    }
}

fn descend<'v>(mut at: &'v mut Json, path: &[Segment]) -> Option<&'v mut Json> {
    for segment in path {
        if !matches!(at, Json::Array(_) | Json::Object(_)) {
            *at = match segment {
                Segment::Index(_) => Json::Array(Vec::new()),
                _ => Json::Object(Object::new()),
            };
        }
        at = match at {
            Json::Array(items) => {
                let index = position(segment)?;
                if index >= items.len() {
                    items.resize(index + 1, Json::Null);
                }
                items.get_mut(index)?
            }
            Json::Object(object) => object.entry(segment.key()).or_insert(Json::Null),
            _ => return None,
        };
    }
    Some(at)
}

fn at_root(root: &mut Object, change: &Change) {
    match change {
        Change::Replace(Some(Json::Object(object))) => root.clone_from(object),
        Change::Map { set, delete } => change_map(root, set, delete),
        // The document itself is always an object.
        _ => {}
    }
}

fn change_map(object: &mut Object, set: &Object, delete: &[String]) {
    for key in delete {
        object.shift_remove(key);
    }
    for (key, value) in set {
        object.insert(key.clone(), value.clone());
    }
}

fn change_value(slot: &mut Json, change: &Change) {
    match change {
        Change::Replace(value) => *slot = value.clone().unwrap_or(Json::Null),
        Change::Text(instructions) => {
            let before = match std::mem::replace(slot, Json::Null) {
                Json::String(text) => text,
                _ => String::new(),
            };
            *slot = Json::String(text::applied(before, instructions));
        }
        Change::Sequence(instructions) => {
            let before = match std::mem::replace(slot, Json::Null) {
                Json::Array(items) => items,
                Json::String(text) => characters(&text),
                _ => Vec::new(),
            };
            *slot = Json::Array(changed_items(before, instructions));
        }
        Change::Map { set, delete } => {
            if !matches!(slot, Json::Object(_)) {
                *slot = Json::Object(Object::new());
            }
            if let Json::Object(object) = slot {
                change_map(object, set, delete);
            }
        }
        Change::Increment(amount) => match slot {
            Json::Number(number) => *number += amount,
            Json::Bool(value) => *slot = Json::Number(f64::from(u8::from(*value)) + amount),
            Json::String(text) => text.push_str(&js::number_text(*amount)),
            _ => *slot = Json::Number(*amount),
        },
        Change::RichText(instructions) => *slot = richtext::applied(slot, instructions),
        Change::SetOp { add, remove } => {
            let mut items = match std::mem::replace(slot, Json::Null) {
                Json::Array(items) => items,
                _ => Vec::new(),
            };
            for item in add {
                if !items.contains(item) {
                    items.push(item.clone());
                }
            }
            items.retain(|item| !remove.contains(item));
            *slot = Json::Array(items);
        }
    }
}

fn changed_items(before: Vec<Json>, instructions: &[Instruction<Vec<Json>>]) -> Vec<Json> {
    // Adding at the end, the usual case, moves nothing.
    if let [Instruction::Retain(count), Instruction::Insert(items)] = instructions
        && *count >= before.len()
    {
        let mut before = before;
        before.extend_from_slice(items);
        return before;
    }
    let mut done = Vec::new();
    let mut rest = before.into_iter();
    for instruction in instructions {
        match instruction {
            Instruction::Retain(count) => done.extend(rest.by_ref().take(*count)),
            Instruction::Delete(count) => rest.by_ref().take(*count).for_each(drop),
            Instruction::Insert(items) => done.extend_from_slice(items),
        }
    }
    done.extend(rest);
    done
}
