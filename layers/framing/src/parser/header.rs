//! The shape of a header (wire section 2): what its bytes say, and how long its frame is.
//!
//! Pure: bytes in, facts out.

use kyneta_uds_core::{FrameFault, WireVersion};

/// Byte 1 of a frame that holds a whole message.
pub(crate) const COMPLETE: u8 = 0;
/// Byte 1 of a frame that holds a part of one.
pub(crate) const FRAGMENT: u8 = 1;

/// A frame's header, as far as it has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// More of it is needed: this many bytes in all.
    Partial {
        /// Bytes from the frame's first.
        want: usize,
    },
    /// All of it is there.
    Known {
        /// Payload bytes, as announced.
        payload: usize,
        /// Bytes of the whole frame.
        frame: usize,
        /// Why the frame is to be skipped, if it is.
        fault: Option<FrameFault>,
    },
}

/// Reads the header that `bytes` begin with, on a connection of version `wire`.
///
/// A frame of the other version is measured with its own header. One of no version at all has none
/// to be measured with, so the connection's is used.
pub(crate) fn read(bytes: &[u8], wire: WireVersion) -> Header {
    let Some(&[version, kind, len0, len1, len2, len3]) = bytes.first_chunk() else {
        let own = bytes
            .first()
            .and_then(|byte| WireVersion::from_byte(*byte))
            .unwrap_or(wire);
        return Header::Partial {
            want: own.header_len(),
        };
    };
    let got = WireVersion::from_byte(version);
    let own = got.unwrap_or(wire);
    if bytes.len() < own.header_len() {
        return Header::Partial {
            want: own.header_len(),
        };
    }
    let payload = u32::from_be_bytes([len0, len1, len2, len3]) as usize;
    let metadata = if kind == FRAGMENT {
        own.fragment_len()
    } else {
        0
    };
    let frame = payload.saturating_add(own.header_len() + metadata);

    let fault = match (got, kind) {
        (None, _) => Some(FrameFault::UnknownVersion { byte: version }),
        (Some(got), _) if got != wire => Some(FrameFault::OtherVersion {
            got,
            expected: wire,
        }),
        (_, COMPLETE) => None,
        (_, FRAGMENT) => match fragment(bytes, own) {
            Some(fault) => Some(fault),
            // Its length is known all the same, so one that is too large is refused right here.
            None => {
                return Header::Known {
                    payload,
                    frame,
                    fault: None,
                };
            }
        },
        (_, byte) => Some(FrameFault::UnknownType { byte }),
    };
    Header::Known {
        payload,
        frame,
        fault,
    }
}

/// Which part of which message a fragment is; absent while its metadata has not arrived.
fn fragment(bytes: &[u8], wire: WireVersion) -> Option<FrameFault> {
    // Wire 2 has a frame id in front; wire 3 uses the header's seq for that.
    let skip = wire.header_len() + wire.fragment_len() - 8;
    let &[i0, i1, t0, t1, s0, s1, s2, s3] = bytes.get(skip..)?.first_chunk()?;
    Some(FrameFault::Fragment {
        index: u16::from_be_bytes([i0, i1]),
        total: u16::from_be_bytes([t0, t1]),
        size: u32::from_be_bytes([s0, s1, s2, s3]),
    })
}
