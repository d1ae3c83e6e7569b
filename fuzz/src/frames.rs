//! Frames out of any bytes, cut anywhere: what comes out is what the bytes say, and memory follows
//! what has arrived, never what a header claims.
//!
//! Input: how (1 byte), sizes of the cuts (4), the stream; `how` may have zeros follow it, so that short
//! inputs fill buffers, too.

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
    reading::{Reading, Said},
};

/// How a stream is read.
struct How {
    mode: WireMode,
    begin: WireVersion,
    limit: usize,
    /// Into the parser's own buffer, as a transport does; for a transport: what has arrived is asked
    /// for, too.
    lent: bool,
    /// Frames are taken after each chunk, not when all is there.
    at_once: bool,
    /// The least of a chunk that is not empty, bytes.
    least: usize,
    cuts: Cuts,
}

/// No stream comes in many more pieces, so that no input takes long.
const CHUNKS: usize = 512;

/// The most that may be held beside what has arrived: the room for the next read.
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
        lent: how & 0x20 != 0,
        at_once: how & 0x40 == 0,
        least: stream.len() / CHUNKS,
        cuts: Cuts::new([a, b, c, d]),
    };
    let said = Reading::new(stream, mode, begin, how.limit);
    if live {
        transport(stream, how, said.strict());
    } else {
        parser(stream, how, said);
    }
}

fn parser(stream: &[u8], mut how: How, mut said: Reading<'_>) {
    let mut parser = FrameParser::new(how.mode, how.limit);
    parser.begin_with(how.begin);
    let mut rest = stream;
    while !rest.is_empty() {
        let room = if how.lent {
            let buf = parser.read_buf();
            buf.capacity() - buf.len()
        } else {
            usize::MAX
        };
        let size = how.cuts.size_of(how.least);
        let (chunk, after) = rest.split_at(size.min(room).min(rest.len()));
        if how.lent {
            assert!(room > 0, "there is room for a byte at least");
            parser.read_buf().extend_from_slice(chunk);
        } else {
            parser.feed(chunk);
        }
        rest = after;
        if (how.at_once || rest.is_empty()) && !take(&mut parser, &mut said) {
            return;
        }
        let held = parser.read_buf().capacity();
        assert!(
            held <= ROOM + 2 * (stream.len() - rest.len()),
            "{held} bytes are held"
        );
    }
    if !is_all(&mut said) {
        return;
    }
    assert_eq!(parser.is_between_frames(), said.left() == 0);
    assert_eq!(parser.wire(), said.settled());
    assert_eq!(parser.copies_dropped(), said.copies());
    assert_eq!(parser.frames_missing(), said.missing());
    assert!(parser.worked() >= (stream.len() - said.left()) as u64);
}

/// Takes all the frames that there are. False when it is the end.
fn take(parser: &mut FrameParser, said: &mut Reading<'_>) -> bool {
    loop {
        match parser.next_frame() {
            Ok(None) => return true,
            Ok(Some(frame)) => {
                if !is(&frame, said) {
                    return false;
                }
            }
            Err(error) => {
                is_error(&error, said);
                return false;
            }
        }
    }
}

/// Compares. False when there is nothing to compare any more.
fn is(frame: &Frame<'_>, said: &mut Reading<'_>) -> bool {
    let said = said.say();
    match frame {
        _ if said == Some(Said::Unsure) => return false,
        Frame::Payload(payload) => assert_eq!(Some(Said::Payload(payload.as_slice())), said),
        Frame::Skipped(fault) => assert_eq!(Some(Said::Skipped(*fault)), said),
        Frame::Noticed(notice) => assert_eq!(Some(Said::Noticed(*notice)), said),
        other => panic!("{other:?}"),
    }
    true
}

/// All that was said has come out. False when there is nothing to compare any more.
fn is_all(said: &mut Reading<'_>) -> bool {
    let more = said.say();
    assert!(
        matches!(more, None | Some(Said::Unsure)),
        "{more:?} is left"
    );
    more.is_none()
}

fn is_error(error: &FramingError, said: &mut Reading<'_>) {
    match (error, said.say()) {
        (_, Some(Said::Unsure)) => {}
        (FramingError::TooLarge { size, .. }, said) => {
            assert_eq!(Some(Said::TooLarge(*size)), said);
        }
        (FramingError::UnknownVersion { byte }, said) => {
            assert_eq!(Some(Said::UnknownVersion(*byte)), said);
        }
        (FramingError::Truncated { have, want }, None) => {
            assert_eq!(*have, said.left());
            assert!(want > have && *have > 0);
        }
        other => panic!("{other:?}"),
    }
}

/// The same through the transport, which gives memory back whenever it has to wait.
fn transport(stream: &[u8], how: How, mut said: Reading<'_>) {
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
        if how.lent {
            while let Some(payload) = transport.arrived() {
                if !is(&Frame::Payload(payload), &mut said) {
                    return;
                }
            }
        }
        match transport.poll_frame(cx) {
            Poll::Pending => {}
            Poll::Ready(None) => break,
            Poll::Ready(Some(Ok(frame))) => {
                if !is(&frame, &mut said) {
                    return;
                }
            }
            Poll::Ready(Some(Err(error))) => return is_error(&error, &mut said),
        }
    }
    if !is_all(&mut said) {
        return;
    }
    assert_eq!(said.left(), 0);
    let connection = transport.connection();
    assert_eq!(connection.copies_dropped, said.copies());
    assert_eq!(connection.frames_missing, said.missing());
    assert_eq!(transport.worked(), length);
}

/// A peer that says its bytes in pieces, with pauses between them.
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
