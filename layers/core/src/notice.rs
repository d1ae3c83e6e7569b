//! What the numbers of inbound frames show. The connection goes on.
//!
//! In: nothing. Out: values for events and counts. Touches nothing.

/// What the numbers of inbound frames show (wire sections 2 and 9). Wire version 2 has no numbers.
///
/// ```
/// use kyneta_uds_core::Notice;
/// let notice = Notice::Gap { missing: 3 };
/// assert_eq!(notice.to_string(), "3 frames of the peer are missing");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Numbers were passed over: the peer has counted frames that did not arrive.
    Gap {
        /// How many.
        missing: u32,
    },
    /// The frame before came again. It is said once, however many copies there are; each is dropped.
    Repeated,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gap { missing } => write!(f, "{missing} frames of the peer are missing"),
            Self::Repeated => f.write_str("a frame came again, its copies are dropped"),
        }
    }
}
