//! Bytes, read from the front.
//!
//! In: bytes. Out: numbers and parts of them, or that they end too early. Touches nothing.

use super::Refused;

const ENDS: Refused = "it ends too early";

/// What is left of some bytes.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a>(pub(super) &'a [u8]);

impl<'a> Walk<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Refused> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(ENDS)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Refused> {
        let (first, rest) = self.0.split_first().ok_or(ENDS)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let (fixed, rest) = self.0.split_first_chunk().ok_or(ENDS)?;
        self.0 = rest;
        Ok(*fixed)
    }

    /// A number in groups of seven bits, the lowest first.
    pub(super) fn number(&mut self) -> Result<u64, Refused> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number is too large")
    }

    pub(super) fn numbers(&mut self, count: usize) -> Result<(), Refused> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }

    /// A number of any size, of which nothing is to be known.
    pub(super) fn skip_number(&mut self) -> Result<(), Refused> {
        while self.byte()? >= 0x80 {}
        Ok(())
    }

    /// A number of parts, which are at least one byte each.
    pub(super) fn count(&mut self) -> Result<u64, Refused> {
        match self.number()? {
            count if count > self.0.len() as u64 => Err(ENDS),
            count => Ok(count),
        }
    }

    /// Bytes or a text, behind its length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Refused> {
        let bytes = self.number()?;
        self.take(usize::try_from(bytes).unwrap_or(usize::MAX))
    }
}
