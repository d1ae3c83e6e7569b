//! What came while a call waited for something else, until `recv` gives it out.
//!
//! In: items with their bytes, in order. Out: the same; whether there are enough of them. Pure.

use std::collections::VecDeque;

/// From so many items on there are enough.
const MAX: usize = 1024;

/// Or from so many bytes of them on.
const MAX_BYTES: usize = 16 << 20;

/// Items that wait for `recv`. What reads asks [`is_full`](Self::is_full) before.
#[derive(Debug)]
pub(crate) struct Held<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> Held<T> {
    pub(crate) fn push(&mut self, item: T, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.items.push_back((item, bytes));
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let (item, bytes) = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(item)
    }

    pub(crate) fn retain(&mut self, keeps: impl Fn(&T) -> bool) {
        self.items.retain(|(item, _)| keeps(item));
        self.bytes = self.items.iter().map(|(_, bytes)| bytes).sum();
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Nothing more is to be read but for `recv`.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= MAX || self.bytes >= MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_by_number_or_by_bytes_until_something_is_given_out() {
        for (bytes, most) in [(0, MAX), (MAX_BYTES / 4, 4), (MAX_BYTES + 1, 1)] {
            let mut held = Held::default();
            for n in 0..most {
                assert!(!held.is_full(), "{n} of {bytes} bytes");
                held.push(n, bytes);
            }
            assert!(held.is_full() && held.len() == most);
            assert_eq!(held.pop(), Some(0));
            assert!(!held.is_full());
            held.retain(|_| false);
            assert_eq!((held.len(), held.bytes), (0, 0));
        }
    }
}
