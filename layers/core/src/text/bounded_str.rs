//! Texts that arrive with every message: versions and names.
//!
//! In: a string. Out: the same, its length checked. A short one is copied into the value, a longer one is a
//! range of the read buffer, so neither allocates.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
    ops::Deref,
};

use bytestring::ByteString;

use super::{TextTooLong, check, short::Short};

/// A text of at most `MAX` bytes that is taken from a read buffer without an allocation.
///
/// Up to 16 bytes are held in place. A longer text keeps the buffer that it came from alive;
/// `BoundedStr::new(text.to_string())` makes an independent copy.
///
/// ```
/// use kyneta_uds_core::Version;
/// let version = Version::new("7")?;
/// assert_eq!(&*version, "7");
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Clone)]
pub struct BoundedStr<const MAX: usize>(Repr);

/// The length alone decides which one it is.
#[derive(Clone)]
enum Repr {
    /// Without a reference count, which would cost more than the rest of a short text.
    Short(Short),
    Long(ByteString),
}

/// A document's version, opaque to the transport. At most 1 MiB.
pub type Version = BoundedStr<{ 1 << 20 }>;
/// A peer's display name. At most 8 KiB.
pub type Name = BoundedStr<{ 8 << 10 }>;
/// The name in a [`ReplicaType`](crate::ReplicaType). At most 1 KiB.
pub type ReplicaName = BoundedStr<{ 1 << 10 }>;

impl<const MAX: usize> BoundedStr<MAX> {
    /// The longest allowed, bytes of UTF-8.
    pub const MAX: usize = MAX;

    /// The longest that is held in place, bytes of UTF-8.
    pub const SHORT: usize = Short::MAX;

    /// Checks the length.
    ///
    /// # Errors
    /// [`TextTooLong`] when `text` has more than `MAX` bytes.
    #[inline]
    pub fn new(text: impl AsRef<str> + Into<ByteString>) -> Result<Self, TextTooLong> {
        let str = text.as_ref();
        check("text", str.len(), MAX)?;
        Ok(Self::of_checked(text))
    }

    /// Of a text whose length is checked.
    #[inline]
    pub(super) fn of_checked(text: impl AsRef<str> + Into<ByteString>) -> Self {
        Self(match Short::new(text.as_ref()) {
            Some(short) => Repr::Short(short),
            None => Repr::Long(text.into()),
        })
    }

    /// The text itself.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(text) => text.as_str(),
            Repr::Long(text) => text,
        }
    }

    /// The text's bytes, as they are written.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short(text) => text.as_bytes(),
            Repr::Long(text) => text.as_bytes(),
        }
    }
}

impl<const MAX: usize> Default for BoundedStr<MAX> {
    fn default() -> Self {
        Self(Repr::Short(Short::default()))
    }
}

impl<const MAX: usize> PartialEq for BoundedStr<MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const MAX: usize> Eq for BoundedStr<MAX> {}

impl<const MAX: usize> PartialOrd for BoundedStr<MAX> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const MAX: usize> Ord for BoundedStr<MAX> {
    /// As `str` compares: by bytes.
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl<const MAX: usize> Hash for BoundedStr<MAX> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const MAX: usize> Deref for BoundedStr<MAX> {
    type Target = str;
    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

text_traits!([const MAX: usize] BoundedStr<MAX>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_str_is_no_larger_than_a_byte_string() {
        assert_eq!(size_of::<Version>(), size_of::<ByteString>());
    }

    #[test]
    fn short_texts_are_held_in_place_and_long_ones_shared() {
        for len in [0, 1, Short::MAX, Short::MAX + 1, 100] {
            let bytes = ByteString::from("x".repeat(len));
            let text = Version::new(bytes.clone()).unwrap();
            assert_eq!((text.as_str(), text.len()), (&*bytes, len));
            assert_eq!(text, Version::new("x".repeat(len)).unwrap());
            let shared = std::ptr::eq(text.as_ptr(), bytes.as_ptr());
            assert_eq!(shared, len > Short::MAX, "{len} bytes");
        }
    }

    #[test]
    fn texts_compare_and_hash_as_their_strings_do() {
        use std::hash::BuildHasher as _;
        let hasher = std::hash::RandomState::new();
        let texts = [
            "",
            "a",
            "ab",
            "b",
            "0123456789abcdef",
            "0123456789abcdefg",
            "\u{1f980}",
        ];
        for a in texts {
            for b in texts {
                let (x, y) = (Version::new(a).unwrap(), Version::new(b).unwrap());
                assert_eq!((x.cmp(&y), x == y), (a.cmp(b), a == b));
            }
            assert_eq!(
                hasher.hash_one(Version::new(a).unwrap()),
                hasher.hash_one(a)
            );
        }
    }
}
