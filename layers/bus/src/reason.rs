//! How much of a reason is told. Pure.

/// The most bytes of a reason.
const MAX: usize = 4096;

/// Why a request is not answered, as its asker is told: the first 4 KiB of it. A frame has room for that, however small
/// messages may be.
pub fn reason(why: &str) -> &str {
    let end = (0..=MAX.min(why.len())).rev();
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
            ("x".repeat(MAX), MAX),
            ("x".repeat(MAX + 1), MAX),
            (format!("x{}", "é".repeat(MAX)), MAX - 1),
        ] {
            assert_eq!(reason(&why), &why[..len]);
        }
    }
}
