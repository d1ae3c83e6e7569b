//! A whole document: its changes, its state, and the state that its changes start from.
//!
//! In: its bytes, what may still be claimed. Out: whether the library may read it, and what is left. Touches nothing.

use super::{
    Refused, Room, block,
    columns::{Column, table as columns},
    table, value,
    walk::Walk,
};

/// A part that is not there.
const NONE: &[u8] = b"E";
/// Bytes of a key of changes.
const ID: usize = 12;
/// The key of the version that a state is of.
const VERSION: &[u8] = b"fr";

/// Checks it, with so many bytes unpacked.
pub(super) fn check(body: &[u8], mut unpacked: usize, room: &mut Room) -> Result<(), Refused> {
    let mut walk = Walk(body);
    let unpacked = &mut unpacked;
    let changes = part(&mut walk)?;
    each(changes, unpacked, room, |key, changes, room| {
        match key.len() {
            ID => block::check(changes, room),
            _ => Ok(()),
        }
    })?;
    for _ in 0..2 {
        let states = part(&mut walk)?;
        each(states, unpacked, room, |key, container, room| match key {
            VERSION => Ok(()),
            _ => state(container, room),
        })?;
    }
    Ok(())
}

fn part<'a>(walk: &mut Walk<'a>) -> Result<&'a [u8], Refused> {
    let len = u32::from_le_bytes(walk.fixed()?) as usize;
    walk.take(len)
}

fn each(
    part: &[u8],
    unpacked: &mut usize,
    room: &mut Room,
    check: impl Fn(&[u8], &[u8], &mut Room) -> Result<(), Refused>,
) -> Result<(), Refused> {
    if part.is_empty() || part == NONE {
        return Ok(());
    }
    table::each(part, unpacked, |key, value| {
        room.unpacked(value.len());
        check(key, value, room)
    })
}

/// The state of a container.
fn state(container: &[u8], room: &mut Room) -> Result<(), Refused> {
    use Column::{Flags, Numbers, Plain};
    room.container();
    let mut walk = Walk(container);
    let kind = walk.byte()?;
    // How deep it is, and what it is in.
    walk.number()?;
    if walk.byte()? != 0 {
        value::container_id(&mut walk)?;
    }
    match kind {
        0 => {
            value::collection_in_state(&mut walk, true)?;
            // Keys without a value, and who wrote each: as many as there are.
            return Ok(());
        }
        1 | 4 => value::collection_in_state(&mut walk, false)?,
        2 => drop(walk.bytes()?),
        3 => {}
        _ => return Ok(()),
    }
    let peers = walk.number()?.saturating_mul(8);
    walk.take(usize::try_from(peers).unwrap_or(usize::MAX))?;
    walk.number()?;
    let rows = match kind {
        1 => columns(&mut walk, [Numbers; 3])?.1,
        2 => {
            let (_, spans) = columns(&mut walk, [Numbers; 4])?;
            // Keys of marks, then marks.
            for _ in 0..walk.count()? {
                walk.bytes()?;
            }
            for _ in 0..walk.count()? {
                walk.numbers(2)?;
                value::in_state(&mut walk)?;
                walk.byte()?;
            }
            spans
        }
        4 => {
            let (_, items) = columns(&mut walk, [Numbers, Flags, Flags])?;
            let (_, ids) = columns(&mut walk, [Numbers; 3])?;
            let (_, elements) = columns(&mut walk, [Numbers; 2])?;
            let (_, writers) = columns(&mut walk, [Numbers; 2])?;
            items.max(ids).max(elements).max(writers)
        }
        _ => {
            let (_, ids) = columns(&mut walk, [Numbers; 2])?;
            let (_, nodes) = columns(&mut walk, [Numbers, Numbers, Numbers, Numbers, Plain])?;
            block::positions(walk.bytes()?, room)?;
            ids.max(nodes)
        }
    };
    room.claim(rows)
}
