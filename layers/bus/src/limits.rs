//! How large a frame of a bus may be, and how much of a reason it holds.
//!
//! In: the largest message, a reason. Out: the largest frame, the part that is told. Pure.

/// Room for what names all members, of which there are thousands with long ids, however small messages are.
const NAMES: usize = 8 << 20;

/// Bytes around a message: the numbers of the receivers of a copy.
const AROUND: usize = 64 << 10;

/// The most bytes of a reason.
const MAX_REASON: usize = 4096;

/// The largest frame, for messages of so many bytes at most.
///
/// ```
/// assert_eq!(kyneta_uds_bus::max_frame(64 << 20), (64 << 20) + (64 << 10));
/// assert_eq!(kyneta_uds_bus::max_frame(1000), (8 << 20) + (64 << 10));
/// ```
pub fn max_frame(max_message: usize) -> usize {
    max_message.max(NAMES).saturating_add(AROUND)
}

/// Why a request is not answered, as its asker is told: the first 4 KiB of it. A frame has room for that, however small
/// messages may be.
pub fn reason(why: &str) -> &str {
    let end = (0..=MAX_REASON.min(why.len())).rev();
    let mut end = end.filter(|at| why.is_char_boundary(*at));
    why.get(..end.next().unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_4_kib_and_in_no_character() {
        for (why, len) in [
            (String::new(), 0),
            ("x".repeat(MAX_REASON), MAX_REASON),
            ("x".repeat(MAX_REASON + 1), MAX_REASON),
            (format!("x{}", "é".repeat(MAX_REASON)), MAX_REASON - 1),
        ] {
            assert_eq!(reason(&why), &why[..len]);
        }
    }
}
