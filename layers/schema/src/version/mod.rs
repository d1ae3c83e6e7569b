//! Versions of documents, as `interest` and `offer` carry them: parsed, compared, written again.
//!
//! In: the text of a version. Out: a value with an order and a greatest lower bound (`meet`). Touches nothing.

mod base64;
mod bytes;
mod loro;
mod plain;
mod timestamp;
mod yjs;

use std::fmt;

use kyneta_uds_core::WireVersion;

use crate::substrate::Substrate;

pub use loro::LoroVersion;
pub use plain::PlainVersion;
pub use timestamp::TimestampVersion;
pub use yjs::YjsVersion;

/// How one version of a document relates to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionOrder {
    /// Both hold the same.
    Equal,
    /// It holds all that the other one holds, and more.
    Ahead,
    /// The other one holds all that it holds, and more.
    Behind,
    /// Each holds something that the other one does not.
    Concurrent,
}

impl VersionOrder {
    /// The name in the reference and in the command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Ahead => "ahead",
            Self::Behind => "behind",
            Self::Concurrent => "concurrent",
        }
    }

    /// Of two things that are each counted: whether any is less, whether any is greater.
    const fn of(any_less: bool, any_greater: bool) -> Self {
        match (any_less, any_greater) {
            (false, false) => Self::Equal,
            (false, true) => Self::Ahead,
            (true, false) => Self::Behind,
            (true, true) => Self::Concurrent,
        }
    }
}

/// A version of a document of some kind. [`Display`](fmt::Display) writes it as it is sent.
///
/// Two texts may differ and mean one version, so versions are compared, never their texts.
///
/// ```
/// use kyneta_uds_core::WireVersion;
/// use kyneta_uds_schema::{DocVersion, Substrate, VersionOrder};
///
/// let parse = |text| DocVersion::parse(Substrate::Plain, WireVersion::V3, text);
/// let (old, new) = (parse("0011223344556677:3")?, parse("0011223344556677:4")?);
/// assert_eq!(old.compare(&new), VersionOrder::Behind);
/// assert_eq!(old.meet(&new).to_string(), "0011223344556677:3");
/// # Ok::<(), kyneta_uds_schema::VersionError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DocVersion {
    /// Of a Loro document.
    Loro(LoroVersion),
    /// Of a Yjs document.
    Yjs(YjsVersion),
    /// Of a plain JSON document.
    Plain(PlainVersion),
    /// Of an ephemeral document.
    Ephemeral(TimestampVersion),
    /// Of a state document.
    State(TimestampVersion),
}

impl DocVersion {
    /// Reads the version of a document of this kind, as a peer of this wire version sends it.
    ///
    /// # Errors
    /// [`VersionError`]. The reference then drops what came with the version.
    pub fn parse(
        substrate: Substrate,
        wire: WireVersion,
        text: &str,
    ) -> Result<Self, VersionError> {
        let version = match substrate {
            Substrate::Loro => LoroVersion::parse(text).map(Self::Loro),
            Substrate::Yjs => YjsVersion::parse(wire, text).map(Self::Yjs),
            Substrate::Plain => PlainVersion::parse(wire, text).map(Self::Plain),
            Substrate::Ephemeral => TimestampVersion::parse(text).map(Self::Ephemeral),
            Substrate::State => TimestampVersion::parse(text).map(Self::State),
        };
        version.map_err(|fault| VersionError {
            substrate: substrate.name(),
            text: text.chars().take(MAX_SHOWN).collect(),
            fault,
        })
    }

    /// How it relates to another. Versions of different kinds of documents are concurrent.
    pub fn compare(&self, other: &Self) -> VersionOrder {
        match (self, other) {
            (Self::Loro(a), Self::Loro(b)) => a.compare(b),
            (Self::Yjs(a), Self::Yjs(b)) => a.compare(b),
            (Self::Plain(a), Self::Plain(b)) => a.compare(b),
            (Self::Ephemeral(a), Self::Ephemeral(b)) => a.compare(b),
            // Newer does not mean that it holds all that the older one holds.
            (Self::State(a), Self::State(b)) if a == b => VersionOrder::Equal,
            _ => VersionOrder::Concurrent,
        }
    }

    /// The greatest version that both hold. Of different kinds of documents, that is the first.
    pub fn meet(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Loro(a), Self::Loro(b)) => Self::Loro(a.meet(b)),
            (Self::Yjs(a), Self::Yjs(b)) => Self::Yjs(a.meet(b)),
            (Self::Plain(a), Self::Plain(b)) => Self::Plain(a.meet(b)),
            (Self::Ephemeral(a), Self::Ephemeral(b)) => Self::Ephemeral(a.meet(b)),
            (Self::State(a), Self::State(b)) => Self::State(a.meet(b)),
            _ => self.clone(),
        }
    }
}

impl fmt::Display for DocVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loro(version) => version.fmt(f),
            Self::Yjs(version) => version.fmt(f),
            Self::Plain(version) => version.fmt(f),
            Self::Ephemeral(version) | Self::State(version) => version.fmt(f),
        }
    }
}

/// Characters of a text that an error repeats.
const MAX_SHOWN: usize = 64;

/// A text is no version of the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no version of a document of kind {substrate}: {fault}")]
pub struct VersionError {
    substrate: &'static str,
    text: String,
    fault: Fault,
}

/// What is wrong with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it is empty")]
    Empty,
    #[error("it is not base64")]
    Base64,
    #[error("its bytes end too early, or hold too large a number")]
    Bytes,
    #[error("it is not of the form lineage:number")]
    Form,
    #[error("its lineage is too long")]
    Lineage,
    #[error("its number is not an integer, 0 or more")]
    Integer,
    #[error("it is not a number, 0 or more")]
    Number,
}
