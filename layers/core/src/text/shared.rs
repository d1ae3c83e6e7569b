//! Texts that sit in tables and outlive their frame: ids, schema hashes and lineages.
//!
//! In: a string. Out: a shared text whose length is checked.

use std::{borrow::Borrow, sync::Arc};

use super::{TextTooLong, check};

/// How a text is held: an `Arc<str>`, or an `Arc<Box<str>>`, which is a pointer less to move and one more to follow.
trait Shared {
    fn of(text: &str) -> Self;
}

impl Shared for Arc<str> {
    fn of(text: &str) -> Self {
        text.into()
    }
}

impl Shared for Arc<Box<str>> {
    fn of(text: &str) -> Self {
        Self::new(text.into())
    }
}

macro_rules! shared_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        shared_text! { $(#[$doc])* $name: str, $what, $max }
    };
    ($(#[$doc:meta])* $name:ident: $held:ty, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<$held>);

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
                Ok(Self(Shared::of(text)))
            }

            /// The text itself.
            #[inline]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// True when both share one allocation. If so, they are equal.
            #[inline]
            pub fn same(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0)
            }
        }

        text_traits!([] $name);

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    };
}

shared_text! {
    /// The id of a peer on the bus. At most 1,024 bytes (our limit; the wire has none).
    ///
    /// ```
    /// let id = kyneta_uds_core::PeerId::new("billing-1")?;
    /// assert_eq!(id.as_str(), "billing-1");
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    PeerId, "peerId", 1024
}
shared_text! {
    /// The id of a document. At most 512 bytes (wire section 4).
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
    Lineage: Box<str>, "lineage", 64 << 10
}
