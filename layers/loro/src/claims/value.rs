//! Plain values, with all that is nested in them: as changes hold them, and as states do.
//!
//! In: bytes that begin with a value. Out: those behind it, or why it is refused. Touches nothing.

use super::{Refused, Room, walk::Walk};

/// How deep values may be nested, as the library bounds it where it bounds it.
pub(crate) const MAX_DEPTH: usize = 128;

/// A list or a map that is open.
type Open = (u64, bool);

/// What a value is.
enum Part {
    Whole,
    List,
    Map,
}

/// A value in a change. The library makes room for its parts at once.
pub(super) fn in_change(walk: &mut Walk<'_>, room: &mut Room) -> Result<(), Refused> {
    let part = |walk: &mut Walk<'_>| {
        let part = match walk.byte()? {
            0..=2 => return Ok(Part::Whole),
            3 => return walk.skip_number().map(|()| Part::Whole),
            4 => return walk.take(8).map(|_| Part::Whole),
            5 | 6 => return walk.bytes().map(|_| Part::Whole),
            7 => Part::List,
            8 => Part::Map,
            9 => {
                room.container();
                return walk.byte().map(|_| Part::Whole);
            }
            _ => return Err("a value is of no known kind"),
        };
        let mut ahead = *walk;
        room.claim(ahead.count()?)?;
        Ok(part)
    };
    nested(Vec::new(), walk, part, |walk| walk.number().map(drop))
}

/// A value in a state.
pub(super) fn in_state(walk: &mut Walk<'_>) -> Result<(), Refused> {
    nested(Vec::new(), walk, state_part, |walk| walk.bytes().map(drop))
}

/// The values of a list or a map in a state, without what says that it is one.
pub(super) fn collection_in_state(walk: &mut Walk<'_>, has_keys: bool) -> Result<(), Refused> {
    let values = walk.count()?;
    nested(vec![(values, has_keys)], walk, state_part, |walk| {
        walk.bytes().map(drop)
    })
}

fn state_part(walk: &mut Walk<'_>) -> Result<Part, Refused> {
    match walk.number()? {
        0 => Ok(Part::Whole),
        1 => walk.byte().map(|_| Part::Whole),
        2 => walk.take(8).map(|_| Part::Whole),
        3 => walk.skip_number().map(|()| Part::Whole),
        4 | 8 => walk.bytes().map(|_| Part::Whole),
        5 => Ok(Part::List),
        6 => Ok(Part::Map),
        7 => container_id(walk).map(|()| Part::Whole),
        _ => Err("a value is of no known kind"),
    }
}

/// The id of a container in a state.
pub(super) fn container_id(walk: &mut Walk<'_>) -> Result<(), Refused> {
    match walk.number()? {
        0 => drop(walk.bytes()?),
        _ => walk.numbers(2)?,
    }
    walk.byte().map(drop)
}

/// One value, or what is open, to its end.
fn nested(
    mut open: Vec<Open>,
    walk: &mut Walk<'_>,
    mut part: impl FnMut(&mut Walk<'_>) -> Result<Part, Refused>,
    key: impl Fn(&mut Walk<'_>) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let (is_open, limit) = (!open.is_empty(), open.len() + MAX_DEPTH);
    let mut is_first = true;
    loop {
        while open.pop_if(|(values, _)| *values == 0).is_some() {}
        match open.last_mut() {
            None if is_open || !is_first => return Ok(()),
            None => {}
            Some((values, has_keys)) => {
                *values -= 1;
                if *has_keys {
                    key(walk)?;
                }
            }
        }
        is_first = false;
        let has_keys = match part(walk)? {
            Part::Whole => continue,
            Part::List => false,
            Part::Map => true,
        };
        if open.len() >= limit {
            return Err("a value is nested too deep");
        }
        open.push((walk.count()?, has_keys));
    }
}
