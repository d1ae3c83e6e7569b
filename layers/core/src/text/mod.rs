//! Texts of limited length: what is built here fits the protocol, so nothing checks it again.

/// What every text type implements, by its `new` and `as_str`.
macro_rules! text_traits {
    ([$($generics:tt)*] $name:ty) => {
        impl<$($generics)*> std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl<$($generics)*> std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<$($generics)*> AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl<$($generics)*> TryFrom<&str> for $name {
            type Error = TextTooLong;
            fn try_from(text: &str) -> Result<Self, TextTooLong> {
                Self::new(text)
            }
        }

        impl<$($generics)*> TryFrom<String> for $name {
            type Error = TextTooLong;
            fn try_from(text: String) -> Result<Self, TextTooLong> {
                Self::new(text)
            }
        }
    };
}

mod bounded_ref;
mod bounded_str;
mod shared;
mod short;

pub use bounded_ref::{BoundedRef, VersionRef};
pub use bounded_str::{BoundedStr, Name, ReplicaName, Version};
pub use shared::{DocId, Lineage, PeerId, SchemaHash};

/// A text is longer than its type allows.
///
/// ```
/// let err = kyneta_uds_core::DocId::new("x".repeat(600)).unwrap_err();
/// assert_eq!(err.to_string(), "docId of 600 bytes exceeds the limit of 512");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {len} bytes exceeds the limit of {limit}")]
pub struct TextTooLong {
    /// Which text: the name of its field, or "text" for a [`BoundedStr`].
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
