//! Texts that cannot be longer than the protocol allows.
//!
//! In: strings of anybody's. Out: types whose length has been checked once and for all.
//! Identities are shared (`Arc<str>`: they sit in tables and outlive their frame); other texts are
//! ranges of the read buffer (`ByteString`: they arrive with every message and must cost nothing).

mod short;

use std::{
    borrow::Borrow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use bytestring::ByteString;

use self::short::Short;

/// A text is longer than its kind allows.
///
/// ```
/// let err = kyneta_uds_core::DocId::new("x".repeat(600)).unwrap_err();
/// assert_eq!(err.to_string(), "docId of 600 bytes exceeds the limit of 512");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {len} bytes exceeds the limit of {limit}")]
pub struct TextTooLong {
    /// Which text: the name of its field, or "text" for a [`Text`].
    pub what: &'static str,
    /// Its length, bytes of UTF-8.
    pub len: usize,
    /// The longest allowed, bytes of UTF-8.
    pub limit: usize,
}

fn check(what: &'static str, len: usize, limit: usize) -> Result<(), TextTooLong> {
    if len > limit {
        return Err(TextTooLong { what, len, limit });
    }
    Ok(())
}

macro_rules! shared_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest allowed, bytes of UTF-8.
            pub const MAX: usize = $max;

            /// Checks the length.
            ///
            /// # Errors
            /// [`TextTooLong`] when `text` has more than [`Self::MAX`] bytes.
            pub fn new(text: impl AsRef<str>) -> Result<Self, TextTooLong> {
                let text = text.as_ref();
                check($what, text.len(), Self::MAX)?;
                Ok(Self(text.into()))
            }

            /// The text itself.
            #[inline]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// True when both are the same allocation, which implies that they are equal.
            #[inline]
            pub fn same(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = TextTooLong;
            fn try_from(text: &str) -> Result<Self, TextTooLong> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextTooLong;
            fn try_from(text: String) -> Result<Self, TextTooLong> {
                Self::new(text)
            }
        }
    };
}

shared_text! {
    /// Who a peer is on the bus. At most 1,024 bytes (the wire names no limit; ours bounds every text).
    ///
    /// ```
    /// let id = kyneta_uds_core::PeerId::new("billing-1")?;
    /// assert_eq!(id.as_str(), "billing-1");
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    PeerId, "peerId", 1024
}
shared_text! {
    /// Which document a message is about. At most 512 bytes (wire section 4).
    ///
    /// ```
    /// assert!(kyneta_uds_core::DocId::new("x".repeat(512)).is_ok());
    /// assert!(kyneta_uds_core::DocId::new("x".repeat(513)).is_err());
    /// ```
    DocId, "docId", 512
}
shared_text! {
    /// The hash of a document's schema. At most 256 bytes (wire section 4).
    ///
    /// ```
    /// assert!(kyneta_uds_core::SchemaHash::new("00a1b2").is_ok());
    /// ```
    SchemaHash, "schemaHash", 256
}

shared_text! {
    /// A payload's lineage, opaque to the transport. At most 64 KiB.
    ///
    /// ```
    /// assert_eq!(kyneta_uds_core::Lineage::new("main")?.as_str(), "main");
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    Lineage, "lineage", 64 << 10
}

/// A text of at most `MAX` bytes that costs next to nothing to take from a read buffer.
///
/// Up to 16 bytes are held in place. A longer one keeps the buffer it came from alive;
/// `Text::new(text.to_string())` detaches a copy.
///
/// ```
/// use kyneta_uds_core::Version;
/// let version = Version::new("7")?;
/// assert_eq!(&*version, "7");
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Clone)]
pub struct Text<const MAX: usize>(Repr);

/// The same text is always of the same kind.
#[derive(Clone)]
enum Repr {
    /// No reference count: taking one and giving it back costs more than all the rest of a short text.
    Short(Short),
    Long(ByteString),
}

/// A document's version, opaque to the transport. At most 1 MiB.
pub type Version = Text<{ 1 << 20 }>;
/// A peer's display name. At most 8 KiB.
pub type Name = Text<{ 8 << 10 }>;
/// The name in a [`ReplicaType`](crate::ReplicaType). At most 1 KiB.
pub type ReplicaName = Text<{ 1 << 10 }>;

impl<const MAX: usize> Text<MAX> {
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
        let shared = text.as_ref();
        check("text", shared.len(), MAX)?;
        Ok(Self(match Short::new(shared) {
            Some(short) => Repr::Short(short),
            None => Repr::Long(text.into()),
        }))
    }

    /// The text itself.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(text) => text.as_str(),
            Repr::Long(text) => text,
        }
    }

    /// The text's bytes: what to write of it.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short(text) => text.as_bytes(),
            Repr::Long(text) => text.as_bytes(),
        }
    }
}

impl<const MAX: usize> Default for Text<MAX> {
    fn default() -> Self {
        Self(Repr::Short(Short::default()))
    }
}

impl<const MAX: usize> PartialEq for Text<MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const MAX: usize> Eq for Text<MAX> {}

impl<const MAX: usize> PartialOrd for Text<MAX> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const MAX: usize> Ord for Text<MAX> {
    /// As of `str`, which is by bytes.
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl<const MAX: usize> Hash for Text<MAX> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;
    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const MAX: usize> AsRef<str> for Text<MAX> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const MAX: usize> TryFrom<&str> for Text<MAX> {
    type Error = TextTooLong;
    fn try_from(text: &str) -> Result<Self, TextTooLong> {
        Self::new(text)
    }
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = TextTooLong;
    fn try_from(text: String) -> Result<Self, TextTooLong> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_larger_than_what_it_may_share() {
        assert_eq!(size_of::<Version>(), size_of::<ByteString>());
    }

    #[test]
    fn short_ones_are_held_in_place_and_long_ones_shared() {
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
