//! The errors of framing, each of which ends the connection.

use std::{fmt, io};

/// Why a frame transport ended. Each error is final. The source of [`Io`](Self::Io) has the details
/// ([`Chain`](kyneta_uds_core::Chain) displays both).
///
/// ```
/// use kyneta_uds_framing::{FrameParser, WireMode};
///
/// let mut parser = FrameParser::new(WireMode::Auto, 1000);
/// parser.feed(&[3, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
/// assert_eq!(
///     parser.next_frame().unwrap_err().to_string(),
///     "a frame of 4294967295 bytes exceeds the limit of 1000",
/// );
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// The byte stream failed.
    #[error("the byte stream failed")]
    Io(#[source] io::Error),
    /// A header announces a payload over the limit.
    #[error("a frame of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Payload bytes, as announced.
        size: usize,
        /// Payload bytes, as allowed.
        limit: usize,
    },
    /// The shared [`InboundBudget`](crate::InboundBudget) has no memory left for a large frame.
    #[error(
        "no memory for a frame of {size} bytes: {used} of {limit} bytes of the inbound budget{} are used",
        OfUid(*uid)
    )]
    OverBudget {
        /// Payload bytes, as announced.
        size: usize,
        /// Bytes in use.
        used: usize,
        /// The limit, bytes.
        limit: usize,
        /// The peer's user, if that user's part is used up; absent if the whole budget is.
        uid: Option<u32>,
    },
    /// A header has an unknown wire version: the peer speaks another protocol, or the stream is corrupt.
    #[error("a frame header begins with {byte}, which is not a wire version (2 or 3)")]
    UnknownVersion {
        /// Byte 0 of the header.
        byte: u8,
    },
    /// The peer ended its direction inside a frame.
    #[error("the stream ended inside a frame, after {have} of at least {want} bytes")]
    Truncated {
        /// Bytes of the frame that arrived, including its header.
        have: usize,
        /// Bytes that the frame needs, as far as its header has arrived.
        want: usize,
    },
}

struct OfUid(Option<u32>);

impl fmt::Display for OfUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(uid) => write!(f, " for uid {uid}"),
            None => Ok(()),
        }
    }
}
