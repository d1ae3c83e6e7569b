//! A short text, held in place.
//!
//! In: at most [`Short::MAX`] bytes of UTF-8. Out: the same. It is built word by word in registers: a copy of
//! variable length is a function call, and larger loads of what it has just stored would stall.

const WORD: usize = size_of::<u64>();

/// Made of words, so that it is moved in pieces of the size in which it was written.
#[derive(Clone, Copy, Default)]
pub(super) struct Short {
    words: Words,
    len: usize,
}

#[derive(Clone, Copy, Default)]
#[repr(align(8))]
struct Words([[u8; WORD]; 2]);

impl Short {
    /// The longest, bytes.
    pub(super) const MAX: usize = 2 * WORD;

    #[inline]
    pub(super) fn new(text: &str) -> Option<Self> {
        let (whole, rest) = text.as_bytes().as_chunks::<WORD>();
        let last = || {
            let word = rest.iter().rev();
            word.fold(0u64, |word, byte| word << 8 | u64::from(*byte))
                .to_le_bytes()
        };
        let words = match *whole {
            [] => [last(), [0; WORD]],
            [first] => [first, last()],
            [first, second] if rest.is_empty() => [first, second],
            _ => return None,
        };
        Some(Self {
            words: Words(words),
            len: text.len(),
        })
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        let bytes = self.words.0.as_flattened();
        bytes.get(..self.len).unwrap_or(bytes)
    }

    /// Validates the UTF-8 on each call (1 to 2 ns), as there is no `unsafe` here.
    #[inline]
    pub(super) fn as_str(&self) -> &str {
        // Never an error: it was made from a `str`.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_every_length_is_kept_as_it_is() {
        let text = "0123456789abcdef";
        for len in 0..=Short::MAX {
            let text = &text[..len];
            assert_eq!(
                Short::new(text).map(|short| short.as_str().to_owned()),
                Some(text.to_owned())
            );
        }
        assert!(Short::new("0123456789abcdefg").is_none());
        assert_eq!(
            Short::new("\u{1f980}\u{e9}").unwrap().as_str(),
            "\u{1f980}\u{e9}"
        );
    }
}
