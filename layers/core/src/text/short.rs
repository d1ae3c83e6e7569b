//! A short text, held in place.
//!
//! In: at most [`Short::MAX`] bytes of UTF-8. Out: the same. Built word by word in registers: a copy of
//! a variable length is a call, and what it writes cannot be read back at once in larger pieces.

const WORD: usize = size_of::<u64>();

/// All of it words, so that it is moved in the pieces that it was written in.
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

    /// Looked at again each time: without `unsafe` it takes a nanosecond or two.
    #[inline]
    pub(super) fn as_str(&self) -> &str {
        // It was a `str` when it came in.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_out_as_it_went_in() {
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
