//! What the sequence numbers of inbound frames show.

/// What the sequence numbers of inbound frames show (wire sections 2 and 9). The connection stays open. Wire
/// version 2 has no sequence numbers.
///
/// ```
/// use kyneta_uds_core::Notice;
/// let notice = Notice::Gap { missing: 3 };
/// assert_eq!(notice.to_string(), "3 frames of the peer are missing");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Frames that the peer has numbered did not arrive.
    Gap {
        /// Their number.
        missing: u32,
    },
    /// The previous frame came again. All its repetitions are dropped, and reported once.
    Repeated,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gap { missing } => write!(f, "{missing} frames of the peer are missing"),
            Self::Repeated => f.write_str("a frame was repeated, its repetitions are dropped"),
        }
    }
}
