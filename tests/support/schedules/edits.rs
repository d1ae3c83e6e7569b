//! Edits as the toy replicas of the schedules write them: "author.number author.number".

use std::collections::{BTreeMap, BTreeSet};

/// An edit: of which incarnation of a member, and its number there, from 1.
pub(crate) type Edit = (u32, u32);

pub(crate) fn edits(data: &str) -> impl Iterator<Item = Edit> {
    data.split_whitespace().map(|edit| {
        let (author, number) = edit.split_once('.').unwrap();
        (author.parse().unwrap(), number.parse().unwrap())
    })
}

pub(crate) fn written(edits: impl Iterator<Item = Edit>) -> String {
    let edits: Vec<_> = edits
        .map(|(author, number)| format!("{author}.{number}"))
        .collect();
    edits.join(" ")
}

/// Of each author, the highest number up to which none is missing.
pub(crate) fn known(edits: &BTreeSet<Edit>) -> BTreeMap<u32, u32> {
    let mut known = BTreeMap::new();
    for &(author, number) in edits {
        let highest = known.entry(author).or_insert(0);
        if number == *highest + 1 {
            *highest = number;
        }
    }
    known.retain(|_, highest| *highest > 0);
    known
}
