//! What an update claims to hold, before the library makes room for it.
//!
//! In: the bytes of an update. Out: whether the library may read them. Touches nothing.
//!
//! The library makes room for as many parts as a count says, and reads nested values by recursion: a few hundred bytes
//! would take hundreds of megabytes, and a stack that is used up ends the process, which no `catch_unwind` prevents. Here
//! all counts together are held against the bytes there are, and the depth against a limit. Nor may a client come twice:
//! the library (yrs 0.28.1) reads memory that is no block's, if its later operations come first. Everything else is left
//! to the library.

use std::collections::HashSet;

/// How deep values may be nested.
const MAX_DEPTH: usize = 128;

/// Bits of a block's first byte.
const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_PARENT_SUB: u8 = 0x20;

/// Why an update is not read.
type Refused = &'static str;

/// How many containers this update of version 1 has, if the library may read it.
pub(crate) fn check(update: &[u8]) -> Result<usize, Refused> {
    let mut walk = Walk {
        rest: update,
        room: update.len() as u64,
        containers: 0,
    };
    let clients = walk.count(3)?;
    let mut known = HashSet::new();
    for _ in 0..clients {
        let blocks = walk.count(2)?;
        if !known.insert(walk.number()?) {
            return Err("a client comes twice");
        }
        walk.numbers(1)?;
        for _ in 0..blocks {
            walk.block()?;
        }
    }
    // The library makes no room for what is deleted before it has read it.
    Ok(walk.containers)
}

struct Walk<'a> {
    rest: &'a [u8],
    /// How many bytes are left for what is claimed.
    room: u64,
    containers: usize,
}

impl Walk<'_> {
    fn skip(&mut self, bytes: u64) -> Result<(), Refused> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.rest = self.rest.get(bytes..).ok_or("it ends too early")?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Refused> {
        let (first, rest) = self.rest.split_first().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Refused> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number is too large")
    }

    fn numbers(&mut self, count: usize) -> Result<(), Refused> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }

    /// A number of parts, each of so many bytes at least.
    fn count(&mut self, bytes: u64) -> Result<u64, Refused> {
        let count = self.number()?;
        let claimed = count.saturating_mul(bytes);
        let room = self.room.checked_sub(claimed);
        self.room = room.ok_or("it claims to hold more than its bytes can")?;
        Ok(count)
    }

    /// Bytes or a text, behind its length.
    fn text(&mut self) -> Result<(), Refused> {
        let bytes = self.number()?;
        self.skip(bytes)
    }

    fn block(&mut self) -> Result<(), Refused> {
        let info = self.byte()?;
        // What was deleted for good, and what is not in this update.
        if matches!(info, 0 | 10) {
            return self.numbers(1);
        }
        for origin in [HAS_ORIGIN, HAS_RIGHT_ORIGIN] {
            if info & origin != 0 {
                self.numbers(2)?;
            }
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
            match self.number()? {
                1 => self.text()?,
                _ => self.numbers(2)?,
            }
            if info & HAS_PARENT_SUB != 0 {
                self.text()?;
            }
        }
        self.content(info & 0x0f)
    }

    fn content(&mut self, kind: u8) -> Result<(), Refused> {
        match kind {
            // Deleted.
            1 => self.numbers(1),
            // Texts of JSON; the library reads one more than there are.
            2 => {
                let texts = self.count(1)?;
                (0..=texts).try_for_each(|_| self.text())
            }
            // Bytes, a text, an embedded value as JSON.
            3..=5 => self.text(),
            // A format: its key, and its value as JSON.
            6 => self.text().and_then(|()| self.text()),
            // A type; an XML element has a name.
            7 => {
                self.containers += 1;
                match self.byte()? {
                    3 => self.text(),
                    _ => Ok(()),
                }
            }
            8 => {
                let values = self.count(1)?;
                (0..values).try_for_each(|_| self.value())
            }
            // A document: its id and its options.
            9 => self.text().and_then(|()| self.value()),
            _ => Err("a block is of no known kind"),
        }
    }

    /// A value, with all that is nested in it.
    fn value(&mut self) -> Result<(), Refused> {
        // How many values each open object or list still has, and whether they have keys.
        let mut open: Vec<(u64, bool)> = Vec::new();
        loop {
            match self.byte()? {
                120 | 121 | 126 | 127 => {}
                125 => self.integer()?,
                124 => self.skip(4)?,
                122 | 123 => self.skip(8)?,
                116 | 119 => self.text()?,
                kind @ (117 | 118) => {
                    let has_keys = kind == 118;
                    let values = self.count(if has_keys { 2 } else { 1 })?;
                    if open.len() >= MAX_DEPTH {
                        return Err("a value is nested too deep");
                    }
                    open.push((values, has_keys));
                }
                _ => return Err("a value is of no known kind"),
            }
            while open.pop_if(|(values, _)| *values == 0).is_some() {}
            let Some((values, has_keys)) = open.last_mut() else {
                return Ok(());
            };
            *values -= 1;
            if *has_keys {
                self.text()?;
            }
        }
    }

    /// A signed integer, of which nothing is to be known.
    fn integer(&mut self) -> Result<(), Refused> {
        while self.byte()? >= 0x80 {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One block of one client, in the root `root`, under the key `k`.
    fn block(content: &[u8]) -> Vec<u8> {
        let head = [&[1, 1, 7, 0, 0x28, 1, 4], &b"root"[..], &[1], b"k"].concat();
        [&head, content, &[0]].concat()
    }

    fn values(value: &[u8]) -> Vec<u8> {
        [&[1], value].concat()
    }

    #[test]
    fn what_fits_into_its_bytes_is_read() {
        for value in [
            &[119, 2, b'a', b'b'][..],
            &[125, 0xff, 0x01],
            &[117, 3, 120, 117, 1, 126, 118, 0],
            &[118, 2, 1, b'a', 127, 1, b'b', 123, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(check(&block(&values(value))), Ok(0), "{value:?}");
        }
        assert_eq!(check(&[0, 0]), Ok(0));
        let nested = [[117, 1].repeat(MAX_DEPTH), vec![120]].concat();
        assert_eq!(check(&block(&values(&nested))), Ok(0));
    }

    #[test]
    fn what_claims_more_or_is_nested_deeper_is_refused() {
        let many = [0xff, 0xff, 0xff, 0x7f];
        let more = Err("it claims to hold more than its bytes can");
        assert_eq!(check(&many), more);
        assert_eq!(check(&[&[1], &many[..], &[7, 0]].concat()), more);
        for kind in [117, 118] {
            let claim = [&[kind], &many[..]].concat();
            assert_eq!(check(&block(&values(&claim))), more);
        }
        // Each of them alone would fit.
        let claims = [117, 10].repeat(20);
        assert_eq!(check(&block(&values(&claims))), more);
        let nested = [[117, 1].repeat(100_000), vec![120]].concat();
        let deep = Err("a value is nested too deep");
        assert_eq!(check(&block(&values(&nested))), deep);
    }

    #[test]
    fn a_client_that_comes_twice_is_refused() {
        // One block of each: nothing, seven long.
        let update = |client| [3, 1, 1, 0, 0, 7, 1, client, 0, 0, 7, 1, 3, 0, 0, 7, 0];
        assert_eq!(check(&update(2)), Ok(0));
        for client in [1, 3] {
            assert_eq!(check(&update(client)), Err("a client comes twice"));
        }
    }

    #[test]
    fn an_update_that_is_cut_anywhere_ends_too_early() {
        let whole = block(&values(&[118, 1, 1, b'a', 117, 2, 120, 121]));
        // What is deleted, the last byte, is not looked at.
        for at in 0..whole.len() - 1 {
            assert!(check(&whole[..at]).is_err(), "{at}");
        }
    }
}
