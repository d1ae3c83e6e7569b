//! What a replica in another crate needs to hold values by a schema: a CRDT's, for one.
//!
//! In: a schema, values and edits. Out: whether they fit, and what they make. Touches nothing.
//!
//! ```
//! use kyneta_uds_exchange::{Edit, Json, Object, values};
//! use kyneta_uds_schema::Schema;
//!
//! let schema = Schema::structure([("hits", Schema::counter())])?;
//! let Some(Json::Object(mut value)) = values::zero(&schema) else { unreachable!() };
//! values::edit_object(&schema, &mut value, &[Edit::increment("hits", 2.0)])?;
//! assert!(values::fits(&schema, &Json::Object(value)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use kyneta_uds_schema::Schema;

pub use crate::plain::{edit_object, fits, zero};
use crate::{
    json::{Json, Object},
    plain::{Edit, EditError},
};

/// A value that is written as a whole, after an edit of it or in it. `now` is what is there; `rest` is the end of the
/// edit's path, from the value on.
///
/// # Errors
/// [`EditError`], with the whole path.
pub fn edit_value(
    schema: &Schema,
    now: Option<Json>,
    edit: &Edit,
    rest: &[String],
) -> Result<Json, EditError> {
    // Made on the value in a struct of its own, under the path as a name, so that errors say the path.
    let len = edit.path().len().saturating_sub(rest.len());
    let name = edit.path().get(..len).unwrap_or_default().join(".");
    let around = Schema::structure([(name.clone(), schema.clone())]);
    let around = around.map_err(|error| EditError::Refused {
        path: name.clone(),
        why: error.to_string(),
    })?;
    let mut object = Object::new();
    let now = now.or_else(|| zero(schema));
    object.extend(now.map(|now| (name.clone(), now)));
    let at = [name.clone()].into_iter().chain(rest.iter().cloned());
    edit_object(&around, &mut object, &[edit.clone().at(at)])?;
    Ok(object.shift_remove(&name).unwrap_or(Json::Null))
}

/// The part in which two texts differ, between what they begin and what they end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference<'a> {
    /// What both begin with.
    pub before: &'a str,
    /// What the old one has then.
    pub old: &'a str,
    /// What the new one has instead.
    pub new: &'a str,
}

/// Where a new text differs from an old one: to replace that part alone leaves what others write elsewhere where it was.
///
/// ```
/// use kyneta_uds_exchange::values::difference;
/// let of = difference("hello", "hallo");
/// assert_eq!((of.before, of.old, of.new), ("h", "e", "a"));
/// ```
pub fn difference<'a>(old: &'a str, new: &'a str) -> Difference<'a> {
    let bytes = |chars: &mut dyn Iterator<Item = (char, char)>| -> usize {
        let same = chars.take_while(|(a, b)| a == b);
        same.map(|(char, _)| char.len_utf8()).sum()
    };
    let start = bytes(&mut old.chars().zip(new.chars()));
    let (before, old) = old.split_at_checked(start).unwrap_or((old, ""));
    let new = new.get(start..).unwrap_or_default();
    let end = bytes(&mut old.chars().rev().zip(new.chars().rev()));
    let cut = |text: &'a str| text.get(..text.len() - end).unwrap_or_default();
    Difference {
        before,
        old: cut(old),
        new: cut(new),
    }
}

/// A span of rich text: its text, and its marks by name. A mark that is null is left out.
pub fn span(text: &str, marks: impl Iterator<Item = (String, Json)>) -> Json {
    let mut span = Object::from_iter([("text".to_owned(), Json::from(text))]);
    let mut marks: Object = marks.filter(|(_, value)| *value != Json::Null).collect();
    marks.sort_unstable_keys();
    if !marks.is_empty() {
        span.insert("marks".to_owned(), Json::Object(marks));
    }
    Json::Object(span)
}
