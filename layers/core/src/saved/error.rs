//! Why a saved value cannot be used.
//!
//! In: what a reader has met. Out: a sentence with the name of the state and of the field. Another version of this
//! project may have written it, so each says which versions both sides know. Pure.

/// Why a [`Saved`](super::Saved) value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// It was saved by a later version, for readers of that version alone.
    #[error(
        "the saved state of {what} has version {version}, for readers from version {lowest} on; this is version \
         {reader}"
    )]
    TooNew {
        /// What it is the state of.
        what: &'static str,
        /// Its version.
        version: u64,
        /// The lowest version of a reader.
        lowest: u64,
        /// The version of this reader.
        reader: u64,
    },
    /// It was saved by an earlier version than this one reads.
    #[error(
        "the saved state of {what} has version {version}; this reads versions from {oldest} on"
    )]
    TooOld {
        /// What it is the state of.
        what: &'static str,
        /// Its version.
        version: u64,
        /// The oldest version that is read.
        oldest: u64,
    },
    /// A field is missing, or has another type.
    #[error("a saved state has no field `{name}` that is {is}")]
    Field {
        /// The name of the field.
        name: &'static str,
        /// Its type, with an article.
        is: &'static str,
    },
    /// A field has a value that the state cannot have.
    #[error("the field `{name}` of a saved state has a value that cannot be: {why}")]
    Value {
        /// The name of the field.
        name: &'static str,
        /// Why it cannot be.
        why: &'static str,
    },
    /// The bytes are no saved state.
    #[error("the saved state cannot be read at byte {at}: {why}")]
    Unreadable {
        /// The offset.
        at: usize,
        /// What is there.
        why: &'static str,
    },
}

impl SavedError {
    /// The field `name` has a value that cannot be: [`SavedError::Value`].
    pub const fn invalid(name: &'static str, why: &'static str) -> Self {
        Self::Value { name, why }
    }
}
