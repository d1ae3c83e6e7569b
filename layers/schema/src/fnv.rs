//! FNV-1a in the three widths that documents use. Bytes or UTF-16 units in, a number out.

/// FNV-1a-128 of the bytes, as 32 hex digits: schema hashes and identities.
pub(crate) fn hex_128(bytes: &[u8]) -> String {
    const START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, byte: &u8| (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
    format!("{:032x}", bytes.iter().fold(START, step))
}

/// FNV-1a-64 over UTF-16 units in the place of bytes.
pub(crate) fn units_64(text: &str) -> u64 {
    const START: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, unit: u16| (hash ^ u64::from(unit)).wrapping_mul(PRIME);
    text.encode_utf16().fold(START, step)
}

/// FNV-1a-32 over UTF-16 units in the place of bytes.
pub(crate) fn units_32(text: &str) -> u32 {
    const START: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let step = |hash: u32, unit: u16| (hash ^ u32::from(unit)).wrapping_mul(PRIME);
    text.encode_utf16().fold(START, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published values of FNV's authors.
    #[test]
    fn the_known_values_come_out() {
        assert_eq!(hex_128(b""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(hex_128(b"a"), "d228cb696f1a8caf78912b704e4a8964");
        assert_eq!(hex_128(b"foobar"), "343e1662793c64bf6f0d3597ba446f18");
        assert_eq!(units_64("foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(units_32("foobar"), 0xbf9c_f968);
    }
}
