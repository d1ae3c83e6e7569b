//! A block of changes.
//!
//! In: its bytes, what may still be claimed. Out: whether the library may read it, and what is left. Touches nothing.

use super::{
    Refused, Room,
    columns::{Column, runs, table},
    value,
    walk::Walk,
};

/// Kinds of operations that have no value.
const BARE: [u64; 5] = [0, 1, 2, 8, 9];

/// Bytes of a position in a tree that take as much room as a part.
const PART: u64 = 64;

pub(super) fn check(block: &[u8], room: &mut Room) -> Result<(), Refused> {
    let mut walk = Walk(block);
    // Where its counters and its clocks begin and end.
    walk.numbers(4)?;
    let changes = walk.number()?;
    header(walk.bytes()?, changes, room)?;
    // Times and messages: one for each change.
    walk.bytes()?;
    // Containers and keys: as many as there are.
    walk.bytes()?;
    walk.bytes()?;
    positions(walk.bytes()?, room)?;
    let operations = walk.bytes()?;
    deletions(walk.bytes()?, room)?;
    let values = walk.bytes()?;
    let kinds = kinds(operations, room)?;
    let mut values = Walk(values);
    runs(kinds, Column::Bytes, |(count, kind)| {
        let kind = kind & 0x7f;
        if BARE.contains(&kind) {
            return Ok(());
        }
        (0..count).try_for_each(|_| operation(kind, &mut values, room))
    })
}

/// What changes follow.
fn header(header: &[u8], changes: u64, room: &mut Room) -> Result<(), Refused> {
    room.claim(changes)?;
    let mut walk = Walk(header);
    let peers = walk.number()?.saturating_mul(8);
    walk.take(usize::try_from(peers).unwrap_or(usize::MAX))?;
    // Lengths of all but the last.
    (1..changes).try_for_each(|_| walk.number().map(drop))?;
    let mut own = 0;
    while own < changes {
        own = walk.number()?.saturating_add(own);
    }
    let (mut counted, mut others) = (0, 0_u64);
    while counted < changes {
        let count = walk.number()?;
        let (rows, values) = match count & 1 {
            0 => (count >> 1, 1),
            _ => (1, (count >> 1).saturating_add(1)),
        };
        for _ in 0..values.min(changes - counted) {
            others = others.saturating_add(walk.number()?.saturating_mul(rows.min(changes)));
            counted = counted.saturating_add(rows.max(1));
        }
    }
    room.claim(others)
}

/// The positions of nodes in their trees, each as much of the one before as it says, and more.
pub(super) fn positions(positions: &[u8], room: &mut Room) -> Result<(), Refused> {
    if positions.is_empty() {
        return Ok(());
    }
    let mut walk = Walk(positions);
    walk.number()?;
    let ([shared, rest], rows) = table(&mut walk, [Column::Numbers, Column::Plain])?;
    room.claim(rows)?;
    let mut rest = Walk(rest);
    let mut left = if rest.is_empty() { 0 } else { rest.count()? };
    let mut bytes = positions.len() as u64;
    runs(shared, Column::Numbers, |(count, shared)| {
        let count = count.min(left);
        left -= count;
        bytes = bytes.saturating_add(shared.saturating_mul(count));
        Ok(())
    })?;
    room.claim(bytes / PART)
}

/// What is deleted: from where, and how many.
fn deletions(deletions: &[u8], room: &mut Room) -> Result<(), Refused> {
    if deletions.is_empty() {
        return Ok(());
    }
    let mut walk = Walk(deletions);
    walk.number()?;
    let (_, rows) = table(&mut walk, [Column::Numbers; 3])?;
    room.claim(rows)
}

/// The kinds of the operations.
fn kinds<'a>(operations: &'a [u8], room: &mut Room) -> Result<&'a [u8], Refused> {
    let mut walk = Walk(operations);
    walk.number()?;
    let columns = [
        Column::Numbers,
        Column::Numbers,
        Column::Bytes,
        Column::Numbers,
    ];
    let ([_, _, kinds, _], rows) = table(&mut walk, columns)?;
    room.claim(rows)?;
    Ok(kinds)
}

/// The value of an operation.
fn operation(kind: u64, walk: &mut Walk<'_>, room: &mut Room) -> Result<(), Refused> {
    match kind {
        3 | 10 => walk.skip_number(),
        4 => walk.take(8).map(drop),
        5 | 6 => walk.bytes().map(drop),
        7 => {
            room.container();
            walk.number().map(drop)
        }
        11 => value::in_change(walk, room),
        12 => {
            walk.byte()?;
            walk.numbers(2)?;
            value::in_change(walk, room)
        }
        13 => {
            // A node has a map.
            room.container();
            walk.number()?;
            let has_no_parent = walk.byte()? != 0;
            walk.numbers(if has_no_parent { 1 } else { 2 })
        }
        14 => walk.numbers(3),
        15 => {
            walk.numbers(2)?;
            value::in_change(walk, room)
        }
        16 => {
            room.container();
            walk.numbers(3)?;
            let has_no_parent = walk.byte()? != 0;
            walk.numbers(if has_no_parent { 0 } else { 2 })
        }
        // What a later release may add.
        _ => walk.bytes().map(drop),
    }
}
