//! Why one inbound frame or message was not delivered. The connection stays open.
//!
//! The codes are the reference's error codes; the texts are ours.

use std::{borrow::Cow, fmt};

use crate::wire::WireVersion;

/// Why one inbound frame or message was not delivered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The frame was skipped.
    #[error("frame skipped: {0}")]
    Frame(FrameFault),
    /// The payload is not well-formed CBOR, or outside the subset that the protocol uses (wire section 5).
    #[error("payload not decoded: {what} at byte {at}")]
    Decode {
        /// What is wrong.
        what: Cow<'static, str>,
        /// Offset from the payload's first byte.
        at: usize,
    },
    /// The payload is well-formed, but not a message (wire section 4).
    #[error("not a message: {}{what}", At(path))]
    Invalid {
        /// The path of keys to the fault, such as `docs.1.rt`; empty for the message itself.
        path: String,
        /// What is wrong.
        what: Cow<'static, str>,
    },
    /// An alias or an announced text cannot be used (wire section 6).
    #[error(transparent)]
    Alias(#[from] AliasFault),
}

/// The text of a rejection contains the fault's, so the fault is not its source.
impl From<FrameFault> for Rejection {
    fn from(fault: FrameFault) -> Self {
        Self::Frame(fault)
    }
}

impl Rejection {
    /// The reference's error code.
    ///
    /// ```
    /// use kyneta_uds_core::{AliasFault, Rejection};
    /// let rejection = Rejection::from(AliasFault::UnknownDoc { alias: 7.0 });
    /// assert_eq!(rejection.code(), "alias-resolution-failed");
    /// ```
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Frame(_) => "reassembly-failed",
            Self::Decode { .. } => "decode-failed",
            Self::Invalid { .. } => "invalid-wire-message",
            Self::Alias(_) => "alias-resolution-failed",
        }
    }

    /// The reference's subcode, if it has one.
    pub const fn sub(&self) -> Option<&'static str> {
        match self {
            Self::Frame(FrameFault::Fragment { .. }) => Some("fragment-skipped"),
            Self::Frame(_) => Some("parse_error"),
            Self::Alias(fault) => Some(fault.sub()),
            Self::Decode { .. } | Self::Invalid { .. } => None,
        }
    }
}

/// A path of keys before what is wrong there; nothing for the message itself.
struct At<'a>(&'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            path => write!(f, "{path}: "),
        }
    }
}

/// Why a frame was skipped; the next one is read as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameFault {
    /// Neither a complete frame nor a fragment.
    #[error("unknown frame type 0x{byte:02x}")]
    UnknownType {
        /// Byte 1 of the header.
        byte: u8,
    },
    /// Byte 0 is not a wire version.
    #[error("unknown wire version {byte}")]
    UnknownVersion {
        /// Byte 0 of the header.
        byte: u8,
    },
    /// The connection uses the other wire version.
    #[error("wire version {got} on a connection of wire version {expected}")]
    OtherVersion {
        /// The frame's.
        got: WireVersion,
        /// The connection's.
        expected: WireVersion,
    },
    /// A fragment; no implementation sends them on a Unix socket (wire section 2).
    #[error("fragment {index} of {total} ({size} bytes in all); fragments are not reassembled")]
    Fragment {
        /// Its index, from 0.
        index: u16,
        /// The number of fragments.
        total: u16,
        /// Bytes of the whole message, as declared.
        size: u32,
    },
}

impl FrameFault {
    /// True of the empty frame by which a listener admits a connection without a handshake (wire section 3), in its own wire
    /// version: until it has read a frame, it writes in that. `read`: the bytes of the connection so far. Only then are they
    /// no more than a header.
    ///
    /// ```
    /// use kyneta_uds_core::{FrameFault, WireVersion};
    ///
    /// let fault = FrameFault::OtherVersion { got: WireVersion::V2, expected: WireVersion::V3 };
    /// assert!(fault.is_admission(6) && !fault.is_admission(7));
    /// ```
    pub const fn is_admission(&self, read: u64) -> bool {
        match self {
            Self::OtherVersion { got, .. } => read <= got.header_len() as u64,
            _ => false,
        }
    }
}

/// Why an alias or an announced text cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AliasFault {
    /// A document alias that was never announced.
    #[error("document alias {alias} was never announced")]
    UnknownDoc {
        /// As on the wire.
        alias: f64,
    },
    /// A schema alias that was never announced.
    #[error("schema alias {alias} was never announced")]
    UnknownSchema {
        /// As on the wire.
        alias: f64,
    },
    /// A document id over its limit.
    #[error("docId of {len} bytes exceeds the limit of {limit}")]
    DocIdTooLong {
        /// Bytes of UTF-8.
        len: usize,
        /// [`DocId::MAX`](crate::DocId::MAX).
        limit: usize,
    },
    /// A schema hash over its limit.
    #[error("schema hash of {len} bytes exceeds the limit of {limit}")]
    SchemaHashTooLong {
        /// Bytes of UTF-8.
        len: usize,
        /// [`SchemaHash::MAX`](crate::SchemaHash::MAX).
        limit: usize,
    },
    /// The peer has announced more aliases than the table may hold.
    #[error("alias table full: {limit} {unit} at most")]
    TableFull {
        /// The limit.
        limit: usize,
        /// Its unit: "aliases" or "bytes".
        unit: &'static str,
    },
}

impl AliasFault {
    const fn sub(&self) -> &'static str {
        match self {
            Self::UnknownDoc { .. } => "unknown-doc-alias",
            Self::UnknownSchema { .. } => "unknown-schema-alias",
            Self::DocIdTooLong { .. } => "doc-id-too-long",
            Self::SchemaHashTooLong { .. } => "schema-hash-too-long",
            Self::TableFull { .. } => "alias-table-full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_keys_is_named_where_there_is_one() {
        let invalid = |path: &str| {
            let (path, what) = (path.to_owned(), "not a map".into());
            Rejection::Invalid { path, what }.to_string()
        };
        assert_eq!(invalid(""), "not a message: not a map");
        assert_eq!(invalid("docs.1"), "not a message: docs.1: not a map");
    }
}
