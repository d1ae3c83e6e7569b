//! Texts that cannot be longer than the protocol allows.
//!
//! In: strings of anybody's. Out: types whose length has been checked once and for all.
//! Identities are shared (`Arc<str>`: they sit in tables and outlive their frame); other texts are
//! ranges of the read buffer (`ByteString`: they arrive with every message and must cost nothing).

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use bytestring::ByteString;

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

/// A text of at most `MAX` bytes that costs nothing to take from a read buffer.
///
/// It keeps the buffer it came from alive; `Text::new(text.to_string())` detaches a copy.
///
/// ```
/// use kyneta_uds_core::Version;
/// let version = Version::new("7")?;
/// assert_eq!(&*version, "7");
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text<const MAX: usize>(ByteString);

/// A document's version, opaque to the transport. At most 1 MiB.
pub type Version = Text<{ 1 << 20 }>;
/// A payload's lineage, opaque to the transport. At most 64 KiB.
pub type Lineage = Text<{ 64 << 10 }>;
/// A peer's display name. At most 8 KiB.
pub type Name = Text<{ 8 << 10 }>;
/// The name in a [`ReplicaType`](crate::ReplicaType). At most 1 KiB.
pub type ReplicaName = Text<{ 1 << 10 }>;

impl<const MAX: usize> Text<MAX> {
    /// The longest allowed, bytes of UTF-8.
    pub const MAX: usize = MAX;

    /// Checks the length.
    ///
    /// # Errors
    /// [`TextTooLong`] when `text` has more than `MAX` bytes.
    pub fn new(text: impl Into<ByteString>) -> Result<Self, TextTooLong> {
        let text = text.into();
        check("text", text.len(), MAX)?;
        Ok(Self(text))
    }

    /// The text itself.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> AsRef<str> for Text<MAX> {
    fn as_ref(&self) -> &str {
        &self.0
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
