//! The frame header (wire section 2).
//!
//! In: the bytes at the front of the stream. Out: the sizes of the frame, and whether to skip it. Pure.

use kyneta_uds_core::{FrameFault, WireVersion};

/// Byte 1 of a frame with a whole message.
pub(crate) const COMPLETE: u8 = 0;
/// Byte 1 of a frame with a part of a message.
pub(crate) const FRAGMENT: u8 = 1;

/// A frame's header, as far as it has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// It is not complete.
    Partial {
        /// The header's length, bytes.
        want: usize,
    },
    /// It is complete.
    Known {
        /// Payload bytes, as announced.
        payload: usize,
        /// Bytes of the whole frame.
        frame: usize,
        /// Why to skip the frame, if so.
        fault: Option<FrameFault>,
    },
}

/// Parses the header at the front of `bytes`, on a connection of version `wire`.
///
/// A frame of the other wire version is measured by its own header format, one of an unknown version by the
/// connection's.
pub(crate) fn read(bytes: &[u8], wire: WireVersion) -> Header {
    let got = bytes.first().and_then(|byte| WireVersion::from_byte(*byte));
    let own = got.unwrap_or(wire);
    let want = own.header_len();
    let (Some(&[version, kind, l0, l1, l2, l3]), true) = (bytes.first_chunk(), bytes.len() >= want)
    else {
        return Header::Partial { want };
    };
    let payload = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    let metadata = if kind == FRAGMENT {
        own.fragment_len()
    } else {
        0
    };
    let fault = match (got, kind) {
        (None, _) => Some(FrameFault::UnknownVersion { byte: version }),
        (Some(got), _) if got != wire => Some(FrameFault::OtherVersion {
            got,
            expected: wire,
        }),
        (_, COMPLETE) => None,
        // Without its metadata it is not skipped yet, but its length is known and checked.
        (_, FRAGMENT) => fragment(bytes, own),
        (_, byte) => Some(FrameFault::UnknownType { byte }),
    };
    Header::Known {
        payload,
        frame: payload.saturating_add(want + metadata),
        fault,
    }
}

/// The metadata of a fragment; absent until it has arrived.
fn fragment(bytes: &[u8], wire: WireVersion) -> Option<FrameFault> {
    // Wire version 2 has a frame id in front; wire version 3 uses the header's sequence number for that.
    let skip = wire.header_len() + wire.fragment_len() - 8;
    let &[i0, i1, t0, t1, s0, s1, s2, s3] = bytes.get(skip..)?.first_chunk()?;
    Some(FrameFault::Fragment {
        index: u16::from_be_bytes([i0, i1]),
        total: u16::from_be_bytes([t0, t1]),
        size: u32::from_be_bytes([s0, s1, s2, s3]),
    })
}
