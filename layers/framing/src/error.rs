//! What ends a connection at this layer.

use std::{fmt, io};

/// Why a frame transport ended. Each of these is final. What an I/O error says is in its source
/// ([`Chain`](kyneta_uds_core::Chain) says both).
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
    /// A large frame is arriving, and the [`InboundBudget`](crate::InboundBudget) that its connection
    /// shares with others has no room for more of it.
    #[error(
        "a frame of {size} bytes finds no room: {used} of {limit} bytes of the inbound budget{} are used",
        OfUid(*uid)
    )]
    OverBudget {
        /// Payload bytes, as announced.
        size: usize,
        /// Bytes that are taken.
        used: usize,
        /// Bytes that there are.
        limit: usize,
        /// The user whose part is used up, the peer's own; absent when all of the budget is.
        uid: Option<u32>,
    },
    /// A header names no wire version that there is: this is not the protocol, or the stream is out
    /// of step.
    #[error("a frame header begins with {byte}, which is no wire version (2 and 3 are)")]
    UnknownVersion {
        /// Byte 0 of the header.
        byte: u8,
    },
    /// The peer ended its direction inside a frame.
    #[error("the stream ended inside a frame, after {have} of at least {want} bytes")]
    Truncated {
        /// Bytes of the frame that arrived, its header among them.
        have: usize,
        /// Bytes that it needs, as far as its header tells.
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
