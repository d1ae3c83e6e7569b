//! Checks that a payload is well-formed: in, a payload; out, nothing, or its first fault.
//!
//! One pass over the whole payload, including unknown keys and their values. It uses no recursion; `max_depth`
//! and `max_keys` limit its memory.

use std::{borrow::Cow, str::from_utf8};

use kyneta_uds_core::Rejection;

use super::{
    DecodeLimits,
    alias::canonical,
    item::{Item, read, without_bom},
};

/// Up to this many keys are compared pairwise, which is faster than sorting them.
const MAX_COMPARED: usize = 12;

/// The most bytes of keys in invalid UTF-8 in one payload: to compare them, they are copied and repaired.
const MAX_REPAIRED: usize = 64 << 10;

/// A key as the reference compares it: texts are decoded, 1 equals 1.0, 1 does not equal "1".
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Number(u64),
    Text(Cow<'a, str>),
}

/// An open array or map.
struct Level {
    /// Items still to come; a pair is two.
    due: usize,
    /// The index of a map's first key among those of all open maps; none for an array.
    keys: Option<usize>,
}

pub(super) fn check(bytes: &[u8], limits: &DecodeLimits) -> Result<(), Rejection> {
    let fault = |what: Cow<'static, str>, at| Rejection::Decode { what, at };
    let mut levels: Vec<Level> = Vec::with_capacity(8);
    let mut keys: Vec<Key<'_>> = Vec::with_capacity(16);
    let mut repairable = MAX_REPAIRED;
    let mut at = 0;
    loop {
        let (item, next) = read(bytes, at)?;
        let key_due = levels
            .last()
            .is_some_and(|level| level.keys.is_some() && level.due % 2 == 0);
        if let Some(level) = levels.last_mut() {
            level.due -= 1;
        }
        if key_due {
            if keys.len() >= limits.max_keys {
                let what = format!("more than {} keys in open maps", limits.max_keys);
                return Err(fault(what.into(), at));
            }
            let key = key(bytes, item, &mut repairable);
            keys.push(key.map_err(|what| fault(what.into(), at))?);
        } else if let Item::Array { len, .. } | Item::Map { len, .. } = item {
            if levels.len() >= limits.max_depth {
                let what = format!("nested deeper than {} levels", limits.max_depth);
                return Err(fault(what.into(), at));
            }
            levels.push(match item {
                Item::Map { .. } => Level {
                    due: 2 * len,
                    keys: Some(keys.len()),
                },
                _ => Level {
                    due: len,
                    keys: None,
                },
            });
        }
        at = next;
        while let Some(level) = levels.pop_if(|level| level.due == 0) {
            if let Some(first) = level.keys {
                if repeats(keys.get_mut(first..).unwrap_or_default()) {
                    return Err(fault("a key twice in one map".into(), at));
                }
                keys.truncate(first);
            }
        }
        if levels.is_empty() {
            break;
        }
    }
    if at < bytes.len() {
        return Err(fault("bytes after the message".into(), at));
    }
    Ok(())
}

fn key<'a>(bytes: &'a [u8], item: Item, repairable: &mut usize) -> Result<Key<'a>, &'static str> {
    match item {
        Item::Number(number) => Ok(Key::Number(canonical(number))),
        Item::Text(range) => {
            let text = bytes.get(without_bom(bytes, range)).unwrap_or_default();
            if let Ok(text) = from_utf8(text) {
                return Ok(Key::Text(text.into()));
            }
            *repairable = repairable
                .checked_sub(text.len())
                .ok_or("keys of more than 64 KiB that are no UTF-8")?;
            Ok(Key::Text(String::from_utf8_lossy(text)))
        }
        _ => Err("a key that is neither text nor number"),
    }
}

fn repeats(keys: &mut [Key<'_>]) -> bool {
    if keys.len() <= MAX_COMPARED {
        let mut rest = &*keys;
        while let [key, others @ ..] = rest {
            if others.contains(key) {
                return true;
            }
            rest = others;
        }
        return false;
    }
    keys.sort_unstable();
    keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}
