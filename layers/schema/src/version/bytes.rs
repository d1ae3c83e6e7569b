//! Numbers of variable length, seven bits a byte, the lowest first.

use super::Fault;

/// Takes a number of at most 64 bits off the front.
pub(super) fn take(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let mut number = 0u64;
    for at in 0..10 {
        let (&byte, rest) = bytes.split_first().ok_or(Fault::Bytes)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        number |= bits
            .checked_shl(7 * at)
            .filter(|shifted| shifted >> (7 * at) == bits)
            .ok_or(Fault::Bytes)?;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Fault::Bytes)
}

/// Appends a number.
pub(super) fn push(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
