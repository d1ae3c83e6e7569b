//! Target `frames`: parses any bytes, read in any pieces. The frames are those of the oracle, and memory depends on
//! what has arrived, not on what a header announces.
//!
//! Input: options (1 byte), sizes of the reads (4), the stream. An option appends zeros, so that short inputs fill
//! buffers, too.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use kyneta_uds_core::{Frame, Frames as _, WireVersion};
use kyneta_uds_framing::{FrameParser, FrameTransport, FramingConfig, FramingError, WireMode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    cuts::Cuts,
    frame_oracle::{FrameOracle, Item},
};

/// How a stream is read.
struct How {
    mode: WireMode,
    begin: WireVersion,
    limit: usize,
    /// Reads into the parser's own buffer, as a transport does. For a transport: calls `arrived`, too.
    read_buf: bool,
    /// Takes frames after each read, not only at the end.
    at_once: bool,
    /// The smallest size of a read that is not empty, bytes.
    least: usize,
    cuts: Cuts,
}

/// About the most reads of a stream, so that no input takes long.
const CHUNKS: usize = 512;

/// The most that may be held beside what has arrived: space for the next read.
const ROOM: usize = 128 << 10;

pub fn frames(data: &[u8]) {
    let Some((&[how, a, b, c, d], stream)) = data.split_first_chunk() else {
        return;
    };
    let (mode, begin) = match how & 3 {
        0 => (WireMode::Auto, WireVersion::V3),
        1 => (WireMode::Auto, WireVersion::V2),
        2 => (WireMode::Fixed(WireVersion::V2), WireVersion::V2),
        _ => (WireMode::Fixed(WireVersion::V3), WireVersion::V3),
    };
    let live = how & 0x10 != 0;
    let zeros = match how & 0x80 {
        0 => 0,
        _ => usize::from(d) << 8,
    };
    let stream = &*if zeros == 0 {
        Cow::Borrowed(stream)
    } else {
        Cow::Owned([stream, &vec![0; zeros]].concat())
    };
    let how = How {
        mode,
        begin,
        limit: [0, 100, FramingConfig::new().frame_limit(), usize::MAX][usize::from(how >> 2 & 3)],
        read_buf: how & 0x20 != 0,
        at_once: how & 0x40 == 0,
        least: stream.len() / CHUNKS,
        cuts: Cuts::new([a, b, c, d]),
    };
    let oracle = FrameOracle::new(stream, mode, begin, how.limit);
    if live {
        transport(stream, how, oracle.strict());
    } else {
        parser(stream, how, oracle);
    }
}

fn parser(stream: &[u8], mut how: How, mut oracle: FrameOracle<'_>) {
    let mut parser = FrameParser::new(how.mode, how.limit);
    parser.begin_with(how.begin);
    let mut rest = stream;
    while !rest.is_empty() {
        let room = if how.read_buf {
            let buf = parser.read_buf();
            buf.capacity() - buf.len()
        } else {
            usize::MAX
        };
        let size = how.cuts.size_of(how.least);
        let (chunk, after) = rest.split_at(size.min(room).min(rest.len()));
        if how.read_buf {
            assert!(room > 0, "there is space for at least a byte");
            parser.read_buf().extend_from_slice(chunk);
        } else {
            parser.feed(chunk);
        }
        rest = after;
        if (how.at_once || rest.is_empty()) && !take(&mut parser, &mut oracle) {
            return;
        }
        let held = parser.read_buf().capacity();
        assert!(
            held <= ROOM + 2 * (stream.len() - rest.len()),
            "{held} bytes are held"
        );
    }
    if !oracle_is_done(&mut oracle) {
        return;
    }
    assert_eq!(parser.is_between_frames(), oracle.left() == 0);
    assert_eq!(parser.wire(), oracle.settled());
    assert_eq!(parser.duplicates_dropped(), oracle.duplicates());
    assert_eq!(parser.frames_missing(), oracle.missing());
    assert!(parser.worked() >= (stream.len() - oracle.left()) as u64);
}

/// Takes all frames. False at an error, or when there is nothing more to compare.
fn take(parser: &mut FrameParser, oracle: &mut FrameOracle<'_>) -> bool {
    loop {
        match parser.next_frame() {
            Ok(None) => return true,
            Ok(Some(frame)) => {
                if !matches_oracle(&frame, oracle) {
                    return false;
                }
            }
            Err(error) => {
                check_error(&error, oracle);
                return false;
            }
        }
    }
}

/// Compares a frame. False when there is nothing more to compare.
fn matches_oracle(frame: &Frame<'_>, oracle: &mut FrameOracle<'_>) -> bool {
    let expected = oracle.next_item();
    match frame {
        _ if expected == Some(Item::Unsure) => return false,
        Frame::Payload(payload) => assert_eq!(Some(Item::Payload(payload.as_slice())), expected),
        Frame::Skipped(fault) => assert_eq!(Some(Item::Skipped(*fault)), expected),
        Frame::Noticed(notice) => assert_eq!(Some(Item::Noticed(*notice)), expected),
        other => panic!("{other:?}"),
    }
    true
}

/// Checks that no item is left. False when there is nothing more to compare.
fn oracle_is_done(oracle: &mut FrameOracle<'_>) -> bool {
    let more = oracle.next_item();
    assert!(
        matches!(more, None | Some(Item::Unsure)),
        "{more:?} is left"
    );
    more.is_none()
}

fn check_error(error: &FramingError, oracle: &mut FrameOracle<'_>) {
    match (error, oracle.next_item()) {
        (_, Some(Item::Unsure)) => {}
        (FramingError::TooLarge { size, .. }, expected) => {
            assert_eq!(Some(Item::TooLarge(*size)), expected);
        }
        (FramingError::UnknownVersion { byte }, expected) => {
            assert_eq!(Some(Item::UnknownVersion(*byte)), expected);
        }
        (FramingError::Truncated { have, want }, None) => {
            assert_eq!(*have, oracle.left());
            assert!(want > have && *have > 0);
        }
        other => panic!("{other:?}"),
    }
}

/// The same with a transport, which frees memory whenever it has to wait.
fn transport(stream: &[u8], how: How, mut oracle: FrameOracle<'_>) {
    let config = FramingConfig::new().wire(how.mode).max_frame(how.limit);
    let io = Stream {
        bytes: stream.to_vec(),
        at: 0,
        least: how.least,
        cuts: how.cuts,
    };
    let length = stream.len() as u64;
    let mut transport = FrameTransport::new(io, config);
    transport.begin_with(how.begin);
    let cx = &mut Context::from_waker(Waker::noop());
    loop {
        if how.read_buf {
            while let Some(payload) = transport.arrived() {
                if !matches_oracle(&Frame::Payload(payload), &mut oracle) {
                    return;
                }
            }
        }
        match transport.poll_frame(cx) {
            Poll::Pending => {}
            Poll::Ready(None) => break,
            Poll::Ready(Some(Ok(frame))) => {
                if !matches_oracle(&frame, &mut oracle) {
                    return;
                }
            }
            Poll::Ready(Some(Err(error))) => return check_error(&error, &mut oracle),
        }
    }
    if !oracle_is_done(&mut oracle) {
        return;
    }
    assert_eq!(oracle.left(), 0);
    let connection = transport.connection();
    assert_eq!(connection.duplicates_dropped, oracle.duplicates());
    assert_eq!(connection.frames_missing, oracle.missing());
    assert_eq!(transport.worked(), length);
}

/// A stream that yields its bytes in pieces, with pauses between them.
#[derive(Debug)]
struct Stream {
    bytes: Vec<u8>,
    at: usize,
    least: usize,
    cuts: Cuts,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.bytes.len() - self.at;
        let least = self.least;
        let n = self.cuts.size_of(least).min(left).min(buf.remaining());
        if n == 0 && left > 0 {
            return Poll::Pending;
        }
        buf.put_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
