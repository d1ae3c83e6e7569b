//! How it is seen that the other side speaks another protocol. Pure.

use kyneta_uds_core::{Rejection, WireVersion};

/// True of the admission frame, which a side without a handshake sends first (wire section 3): then the other side
/// is of a bus, or has messages of its own. `rejection` is the first thing that has come, `read` the bytes read so
/// far, and `wire` the version of the connection.
///
/// The frame is empty, so `read` is its header. It may be of the other version ([`FrameFault::is_admission`]).
///
/// [`FrameFault::is_admission`]: kyneta_uds_core::FrameFault::is_admission
///
/// ```
/// use kyneta_uds_core::{Rejection, WireVersion};
/// use kyneta_uds_handshake::is_admission;
///
/// let empty = Rejection::Decode { at: 0, what: "no payload".into() };
/// assert!(is_admission(&empty, 6, Some(WireVersion::V2)));
/// assert!(!is_admission(&empty, 7, Some(WireVersion::V2)));
/// ```
pub fn is_admission(rejection: &Rejection, read: u64, wire: Option<WireVersion>) -> bool {
    match rejection {
        Rejection::Decode { .. } => wire.is_some_and(|wire| read <= wire.header_len() as u64),
        Rejection::Frame(fault) => fault.is_admission(read),
        _ => false,
    }
}
