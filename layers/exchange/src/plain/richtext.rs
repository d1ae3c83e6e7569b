//! Rich texts: spans of text with marks, `[{"text": .., "marks": {..}?}]`.
//!
//! In: the spans of a value, instructions. Out: the spans after them, as the reference has them. Pure.

use super::{instructions::RichInstruction, text};
use crate::json::{Json, Object};

struct Span {
    text: String,
    marks: Object,
}

/// The spans after instructions. What is no span of the value before is left out.
pub(super) fn applied(value: &Json, instructions: &[RichInstruction]) -> Json {
    let mut rest: Vec<Span> = spans(value).into_iter().rev().collect();
    let mut done: Vec<Span> = Vec::new();
    for instruction in instructions {
        match instruction {
            RichInstruction::Retain(count) => {
                for span in take(&mut rest, *count) {
                    push(&mut done, span);
                }
            }
            RichInstruction::Delete(count) => drop(take(&mut rest, *count)),
            RichInstruction::Insert(text, marks) => {
                let (text, marks) = (text.clone(), marks.clone());
                push(&mut done, Span { text, marks });
            }
            RichInstruction::Format(count, marks) => {
                for mut span in take(&mut rest, *count) {
                    for (mark, value) in marks {
                        match value {
                            Json::Null => drop(span.marks.shift_remove(mark)),
                            value => drop(span.marks.insert(mark.clone(), value.clone())),
                        }
                    }
                    push(&mut done, span);
                }
            }
        }
    }
    while let Some(span) = rest.pop() {
        push(&mut done, span);
    }
    Json::Array(done.into_iter().map(json).collect())
}

/// How many UTF-16 units all spans have.
pub(super) fn units(value: &Json) -> usize {
    spans(value)
        .iter()
        .map(|span| text::units(&span.text))
        .sum()
}

fn spans(value: &Json) -> Vec<Span> {
    let Json::Array(items) = value else {
        return Vec::new();
    };
    let span = |item: &Json| {
        let object = item.as_object()?;
        let Json::String(text) = object.get("text")? else {
            return None;
        };
        let marks = object.get("marks").and_then(Json::as_object);
        Some(Span {
            text: text.clone(),
            marks: marks.cloned().unwrap_or_default(),
        })
    };
    items.iter().filter_map(span).collect()
}

/// Takes the first `count` units off spans that are in reverse order.
fn take(rest: &mut Vec<Span>, mut count: usize) -> Vec<Span> {
    let mut taken = Vec::new();
    while count > 0 {
        let Some(mut span) = rest.pop() else { break };
        let len = text::units(&span.text);
        if len > count {
            let text = text::take(&mut span.text, count);
            let marks = span.marks.clone();
            rest.push(span);
            span = Span { text, marks };
        }
        count = count.saturating_sub(len);
        taken.push(span);
    }
    taken
}

/// Neighbours with the same marks are one span.
fn push(done: &mut Vec<Span>, span: Span) {
    if span.text.is_empty() {
        return;
    }
    match done.last_mut() {
        Some(last) if last.marks == span.marks => last.text.push_str(&span.text),
        _ => done.push(span),
    }
}

fn json(span: Span) -> Json {
    let mut object = Object::new();
    object.insert("text".to_owned(), Json::String(span.text));
    if !span.marks.is_empty() {
        object.insert("marks".to_owned(), Json::Object(span.marks));
    }
    Json::Object(object)
}
