//! What passes through the server: the frames of sessions, and their signs of life.
//!
//! In: payloads. Out: frames, or why they are none. Touches nothing.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

const VERSION: u8 = 1;

const OPEN: u8 = 1;
const DATA: u8 = 2;
const FIN: u8 = 3;
const RESET: u8 = 4;
const ALIVE: u8 = 5;

/// Version, kind, session and number.
const HEADER: usize = 18;

/// A connection of two machines: a random number that the side which opens it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// One message of a session, in one direction. Those with numbers are counted from 0 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The first of the side that opens, in place of number 0.
    Open,
    /// A part of the bytes, or their end.
    Part { number: u64, part: Part },
    /// The other side has no such session, or gives it up.
    Reset,
    /// What has come so far.
    Alive(Alive),
}

/// What a number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Data(Bytes),
    Fin,
}

/// What one side has had of the other: how many frames without a gap, and how many bytes were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Alive {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// Why a payload is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("it has {0} bytes, too few for a frame of kyneta-uds")]
    Short(usize),
    #[error("it is of version {0}; this side speaks version {VERSION}")]
    Version(u8),
    #[error("its kind {0} is not known here")]
    Kind(u8),
}

impl Frame {
    pub(crate) fn encode(&self, session: SessionId) -> Bytes {
        let (kind, number, data) = match self {
            Self::Open => (OPEN, 0, None),
            Self::Part { number, part } => match part {
                Part::Data(data) => (DATA, *number, Some(data)),
                Part::Fin => (FIN, *number, None),
            },
            Self::Reset => (RESET, 0, None),
            Self::Alive(alive) => (ALIVE, alive.frames, None),
        };
        let length = data.map_or(8, Bytes::len);
        let mut bytes = BytesMut::with_capacity(HEADER + length);
        bytes.put_slice(&[VERSION, kind]);
        bytes.put_u64(session.0);
        bytes.put_u64(number);
        match (self, data) {
            (_, Some(data)) => bytes.put_slice(data),
            (Self::Alive(alive), None) => bytes.put_u64(alive.bytes),
            _ => {}
        }
        bytes.freeze()
    }

    /// The rest of the payload of a part is lent, not copied.
    pub(crate) fn decode(mut payload: Bytes) -> Result<(SessionId, Self), FrameError> {
        let length = payload.len();
        let short = |_| FrameError::Short(length);
        let version = payload.try_get_u8().map_err(short)?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let kind = payload.try_get_u8().map_err(short)?;
        let session = SessionId(payload.try_get_u64().map_err(short)?);
        let number = payload.try_get_u64().map_err(short)?;
        let part = |part| Self::Part { number, part };
        let frame = match kind {
            OPEN => Self::Open,
            DATA => part(Part::Data(payload)),
            FIN => part(Part::Fin),
            RESET => Self::Reset,
            ALIVE => Self::Alive(Alive {
                frames: number,
                bytes: payload.try_get_u64().map_err(short)?,
            }),
            other => return Err(FrameError::Kind(other)),
        };
        Ok((session, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_read_as_it_was_written_and_no_shorter_one_is_a_frame() {
        let part = |part| Frame::Part { number: 7, part };
        for frame in [
            Frame::Open,
            part(Part::Data(Bytes::from_static(b"bytes"))),
            part(Part::Fin),
            Frame::Reset,
            Frame::Alive(Alive {
                frames: u64::MAX,
                bytes: 3,
            }),
        ] {
            let session = SessionId(258);
            let payload = frame.encode(session);
            assert_eq!(Frame::decode(payload.clone()), Ok((session, frame)));
            for length in 0..HEADER {
                let error = Frame::decode(payload.slice(..length)).unwrap_err();
                assert_eq!(error, FrameError::Short(length));
            }
        }
    }

    #[test]
    fn other_versions_and_kinds_are_named() {
        let good = Frame::Open.encode(SessionId(1));
        for (place, byte, error) in [(0, 2, FrameError::Version(2)), (1, 9, FrameError::Kind(9))] {
            let mut bytes = good.to_vec();
            bytes[place] = byte;
            assert_eq!(Frame::decode(bytes.into()), Err(error));
        }
    }
}
