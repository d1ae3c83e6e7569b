//! The instructions of a text, a list and a rich text: retain, insert, delete, format.
//!
//! In: JSON of a peer. Out: steps, or the place of the first one that is none; and JSON again. Counts are not held
//! against the value here: that is done when they are applied. Pure.

use kyneta_uds_schema::js;

use super::change::{form, list, object};
use crate::{
    json::{Json, Object, write::push_object},
    replica::ImportError,
};

/// A step through a text (`T` is a string, counts are UTF-16 units) or a list (`T` is items).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Instruction<T> {
    Retain(usize),
    Insert(T),
    Delete(usize),
}

/// A step through a rich text; counts are UTF-16 units.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RichInstruction {
    Retain(usize),
    Insert(String, Object),
    Delete(usize),
    /// Null removes a mark.
    Format(usize, Object),
}

type Result<T> = std::result::Result<T, ImportError>;

/// Each instruction as an object; one that has nothing is left out.
fn objects(json: Option<Json>, place: &impl Fn() -> String) -> Result<Vec<Object>> {
    let Some(json) = json else {
        return form(place(), "the change has no instructions");
    };
    let items = list(json, place)?.into_iter();
    items.map(|item| object(item, place)).collect()
}

fn count(object: &mut Object, name: &str, place: &impl Fn() -> String) -> Result<Option<usize>> {
    match object.shift_remove(name) {
        None => Ok(None),
        Some(Json::Number(count)) if count >= 0.0 && count.fract() == 0.0 => {
            // What is beyond the end does no harm, so a saturated count is right.
            Ok(Some(count as usize))
        }
        Some(_) => form(place(), format!("{name:?} is not an integer, 0 or more")),
    }
}

pub(super) fn instructions<T>(
    json: Option<Json>,
    place: &impl Fn() -> String,
    insert: impl Fn(Json) -> Option<T>,
) -> Result<Vec<Instruction<T>>> {
    let mut all = Vec::new();
    for mut object in objects(json, place)? {
        if let Some(retain) = count(&mut object, "retain", place)? {
            all.push(Instruction::Retain(retain));
        } else if let Some(json) = object.shift_remove("insert") {
            match insert(json) {
                Some(inserted) => all.push(Instruction::Insert(inserted)),
                None => return form(place(), "what is inserted has the wrong type"),
            }
        } else if let Some(delete) = count(&mut object, "delete", place)? {
            all.push(Instruction::Delete(delete));
        }
    }
    Ok(all)
}

pub(super) fn rich_instructions(
    json: Option<Json>,
    place: &impl Fn() -> String,
) -> Result<Vec<RichInstruction>> {
    let mut all = Vec::new();
    for mut object in objects(json, place)? {
        let marks = match object.shift_remove("marks") {
            None => Object::new(),
            Some(marks) => self::object(marks, place)?,
        };
        if let Some(retain) = count(&mut object, "retain", place)? {
            all.push(RichInstruction::Retain(retain));
        } else if let Some(inserted) = object.shift_remove("insert") {
            let Json::String(text) = inserted else {
                return form(place(), "what is inserted has the wrong type");
            };
            all.push(RichInstruction::Insert(text, marks));
        } else if let Some(delete) = count(&mut object, "delete", place)? {
            all.push(RichInstruction::Delete(delete));
        } else if let Some(format) = count(&mut object, "format", place)? {
            all.push(RichInstruction::Format(format, marks));
        }
    }
    Ok(all)
}

impl<T> Instruction<T> {
    pub(super) fn push_to(&self, out: &mut String, insert: impl Fn(&T, &mut String)) {
        match self {
            Self::Retain(count) => out.push_str(&format!("{{\"retain\":{count}}}")),
            Self::Delete(count) => out.push_str(&format!("{{\"delete\":{count}}}")),
            Self::Insert(inserted) => {
                out.push_str("{\"insert\":");
                insert(inserted, out);
                out.push('}');
            }
        }
    }
}

impl RichInstruction {
    pub(super) fn push_to(&self, out: &mut String) {
        let mut marks = None;
        match self {
            Self::Retain(count) => out.push_str(&format!("{{\"retain\":{count}")),
            Self::Delete(count) => out.push_str(&format!("{{\"delete\":{count}")),
            Self::Insert(text, with) => {
                out.push_str("{\"insert\":");
                js::push_json(out, text);
                marks = Some(with).filter(|with| !with.is_empty());
            }
            Self::Format(count, with) => {
                out.push_str(&format!("{{\"format\":{count}"));
                marks = Some(with);
            }
        }
        if let Some(marks) = marks {
            out.push_str(",\"marks\":");
            push_object(marks, out);
        }
        out.push('}');
    }
}
