//! The order of a struct's fields in its hash: as `localeCompare` has it, not by bytes.

use std::cmp::Ordering;

use icu_collator::{Collator, CollatorBorrowed, options::CollatorOptions};

/// Compares names by the root collation, which is also that of English.
pub(crate) struct NameOrder(Option<CollatorBorrowed<'static>>);

impl NameOrder {
    pub(crate) fn new() -> Self {
        // An error would mean that the data is not compiled in, which the tests would show.
        Self(Collator::try_new(Default::default(), CollatorOptions::default()).ok())
    }

    /// Two names may be equal without being the same: "\u{1}a" and "a".
    pub(crate) fn compare(&self, a: &str, b: &str) -> Ordering {
        match &self.0 {
            Some(collator) => collator.compare(a, b),
            None => a.cmp(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of ASCII characters, letters without case.
    const ASCII: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz";

    fn ascii_order(a: &str, b: &str) -> Ordering {
        let ranks = |name: &str| -> Vec<_> {
            let rank = |char: char| ASCII.find(char.to_ascii_lowercase()).unwrap();
            name.chars().map(rank).collect()
        };
        let upper = |name: &str| -> Vec<_> { name.chars().map(|c| c.is_uppercase()).collect() };
        ranks(a)
            .cmp(&ranks(b))
            .then_with(|| upper(a).cmp(&upper(b)))
    }

    #[test]
    fn ascii_names_follow_the_written_rule() {
        let order = NameOrder::new();
        let chars: Vec<char> = (' '..='~').collect();
        let mut state = 1u64;
        let mut next = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let mut name = || -> String {
                let len = next(5);
                // Few characters, so that names share prefixes and differ in case.
                let pick = |_| match next(3) {
                    0 => chars[next(chars.len())],
                    _ => ['a', 'A', 'b', 'B', '_', '1'][next(6)],
                };
                (0..len).map(pick).collect()
            };
            let (a, b) = (name(), name());
            assert_eq!(order.compare(&a, &b), ascii_order(&a, &b), "{a:?} {b:?}");
        }
    }
}
