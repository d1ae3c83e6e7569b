//! The transport over in-memory and mock streams.
//!
//! A failure shows the bytes that were written, or the item that was read.

mod limits;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::future::join;
use kyneta_uds_core::{Chain, FrameFault};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, io::Builder, task::spawn};

use super::*;
use crate::{WireMode, read_buf::QUIET_READ};

fn over<Io: ByteStream>(io: Io) -> FrameTransport<Io> {
    FrameTransport::new(io, FramingConfig::new())
}

fn put<Io: ByteStream>(transport: &mut FrameTransport<Io>, bytes: &[u8]) {
    put_bytes(transport, &Bytes::copy_from_slice(bytes));
}

fn put_bytes<Io: ByteStream>(transport: &mut FrameTransport<Io>, bytes: &Bytes) {
    let encode = |payload: &mut PayloadWriter<'_>| {
        payload.put_bytes(bytes);
        Ok(())
    };
    transport
        .write_frame(encode, |size, limit| (size, limit))
        .unwrap();
}

async fn flush<Io: ByteStream>(transport: &mut FrameTransport<Io>) -> Result<(), FramingError> {
    poll_fn(|cx| transport.poll_flush(cx)).await
}

/// The next frame's payload, or the fault of a skipped frame.
type Next = Option<Result<Result<Vec<u8>, FrameFault>, FramingError>>;

fn owned(frame: Option<Result<Frame<'_>, FramingError>>) -> Next {
    frame.map(|frame| {
        frame.map(|frame| match frame {
            Frame::Payload(payload) => Ok(payload.as_slice().to_vec()),
            Frame::Skipped(fault) => Err(fault),
            other => panic!("{other:?}"),
        })
    })
}

async fn next<Io: ByteStream>(transport: &mut FrameTransport<Io>) -> Next {
    poll_fn(|cx| transport.poll_frame(cx).map(owned)).await
}

async fn payload<Io: ByteStream>(transport: &mut FrameTransport<Io>) -> Vec<u8> {
    next(transport)
        .await
        .expect("a frame")
        .expect("no error")
        .expect("a payload")
}

#[tokio::test]
async fn frames_go_and_come_back_through_a_narrow_pipe() {
    let (ours, theirs) = duplex(100);
    let (mut ours, mut theirs) = (over(ours), over(theirs));
    let sizes = [0, 1, 90, 91, 1000, 20_000, 100_000, 3];
    let send = async {
        for size in sizes {
            poll_fn(|cx| ours.poll_ready(cx)).await.unwrap();
            put(&mut ours, &vec![size as u8; size]);
        }
        poll_fn(|cx| ours.poll_close(cx)).await.unwrap();
        assert_eq!(ours.buffered(), 0);
    };
    let receive = async {
        for size in sizes {
            assert_eq!(payload(&mut theirs).await, vec![size as u8; size]);
        }
        assert!(next(&mut theirs).await.is_none());
        assert!(next(&mut theirs).await.is_none());
    };
    join(send, receive).await;
}

#[tokio::test]
async fn many_messages_are_one_write_and_the_rest_of_a_short_write_follows() {
    let all: &[u8] = &[
        3, 0, 0, 0, 0, 2, 0, 0, 0, 1, 1, 2, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2, 3,
    ];
    let whole = Builder::new().write(all).build();
    let parts = Builder::new()
        .write(&all[..1])
        .write(&all[1..13])
        .write(&all[13..])
        .build();
    for io in [whole, parts] {
        let mut transport = over(io);
        put(&mut transport, &[1, 2]);
        put(&mut transport, &[3]);
        assert_eq!(transport.buffered(), all.len());
        flush(&mut transport).await.unwrap();
        assert_eq!(transport.buffered(), 0);
        flush(&mut transport).await.unwrap();
    }
}

#[tokio::test]
async fn how_the_stream_ends() {
    let table: [(&[u8], &str); 5] = [
        (&[], "None"),
        (&[2, 0, 0, 0, 0, 0], "Some(Ok(Ok([]))) None"),
        (&[2, 0, 0], "Some(Err(Truncated { have: 3, want: 6 }))"),
        (
            &[3, 4, 0, 0, 0, 9, 0, 0, 0, 1, 7],
            "Some(Err(Truncated { have: 11, want: 19 }))",
        ),
        (
            b"GET / HTTP/1.1\r\n",
            "Some(Err(UnknownVersion { byte: 71 }))",
        ),
    ];
    for (bytes, want) in table {
        let mut io = Builder::new();
        if !bytes.is_empty() {
            io.read(bytes);
        }
        let mut transport = over(io.build());
        let mut got = Vec::new();
        loop {
            let frame = next(&mut transport).await;
            got.push(format!("{frame:?}"));
            if !matches!(frame, Some(Ok(_))) {
                break;
            }
        }
        assert_eq!(got.join(" "), want);
    }
}

#[tokio::test]
async fn an_io_error_is_the_source_of_the_error() {
    let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
    let mut transport = over(
        Builder::new()
            .read_error(broken())
            .write_error(broken())
            .build(),
    );
    let error = next(&mut transport).await.unwrap().unwrap_err();
    let text = Chain(&error).to_string();
    assert!(text.contains("reset"), "{text}");
    assert!(std::error::Error::source(&error).is_some());
    put(&mut transport, b"x");
    assert!(matches!(
        flush(&mut transport).await,
        Err(FramingError::Io(_))
    ));
}

#[tokio::test]
async fn the_accepting_side_adopts_the_version_and_reports_frames_of_the_other() {
    let (mut peer, ours) = duplex(1000);
    let mut ours = over(ours);
    peer.write_all(&[2, 0, 0, 0, 0, 1, 9, 3, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9])
        .await
        .unwrap();
    assert_eq!(payload(&mut ours).await, [9]);
    assert_eq!(ours.connection().wire, Some(WireVersion::V2));
    let fault = FrameFault::OtherVersion {
        got: WireVersion::V3,
        expected: WireVersion::V2,
    };
    assert_eq!(next(&mut ours).await.unwrap().unwrap(), Err(fault));
    put(&mut ours, &[8]);
    flush(&mut ours).await.unwrap();
    let mut answer = [0; 7];
    peer.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [2, 0, 0, 0, 0, 1, 8]);
}

#[tokio::test]
async fn the_connecting_side_begins_with_the_chosen_version() {
    let io = Builder::new().write(&[2, 0, 0, 0, 0, 1, 8]).build();
    let mut transport = over(io);
    assert!(transport.begin_with(WireVersion::V2));
    let refuse = |_: &mut PayloadWriter<'_>| Err(());
    assert!(transport.write_frame(refuse, |_, _| ()).is_err());
    assert_eq!(
        transport.connection().wire,
        None,
        "a refused message determines nothing"
    );
    put(&mut transport, &[8]);
    assert!(!transport.begin_with(WireVersion::V3));
    flush(&mut transport).await.unwrap();

    let fixed = FramingConfig::new().wire(WireMode::Fixed(WireVersion::V3));
    let mut transport = FrameTransport::new(duplex(1).0, fixed);
    assert!(!transport.begin_with(WireVersion::V2));
}

#[test]
fn a_slow_reader_causes_backpressure_at_the_high_water_mark() {
    let (ours, mut theirs) = duplex(1000);
    let mut ours = over(ours);
    let mut task = spawn(());
    let mut taken = 0;
    while task.enter(|cx, _| ours.poll_ready(cx)).is_ready() {
        put(&mut ours, &[0; 990]);
        taken += 1;
    }
    assert_eq!(taken, HIGH_WATER.div_ceil(1000));
    assert_eq!(ours.buffered(), taken * 1000 - 1000);

    // Below the mark again, but not empty: still not ready.
    let mut read = vec![0; 1000];
    for _ in 1..taken {
        assert_pending!(task.enter(|cx, _| ours.poll_ready(cx)));
        assert_ready_ok!(spawn(theirs.read_exact(&mut read)).poll());
        assert!(task.is_woken());
    }
    assert_ready_ok!(task.enter(|cx, _| ours.poll_ready(cx)));
    assert_eq!(ours.buffered(), 0);
}

#[test]
fn memory_is_freed_when_nothing_arrives() {
    let (ours, mut theirs) = duplex(1 << 20);
    let mut ours = over(ours);
    let mut task = spawn(());
    for seq in 0..2000u32 {
        put(&mut ours, &seq.to_be_bytes().repeat(20));
    }
    assert_ready_ok!(task.enter(|cx, _| ours.poll_flush(cx)));
    let mut bytes = vec![0; 180_000];
    assert_ready_ok!(spawn(theirs.read_exact(&mut bytes)).poll());
    assert_ready_ok!(spawn(theirs.write_all(&bytes)).poll());
    for _ in 0..2000 {
        assert!(assert_ready!(task.enter(|cx, _| ours.poll_frame(cx).map(owned))).is_some());
    }
    assert!(ours.parser.held() + ours.out.capacity() > 100_000);
    assert!(
        task.enter(|cx, _| ours.poll_frame(cx).map(owned))
            .is_pending()
    );
    let held = ours.parser.held() + ours.out.capacity();
    assert!(held <= 2 * QUIET_READ, "{held}");
}

/// The address and length of each slice of one write.
type Slices = Vec<(usize, usize)>;

/// A stream that takes at most `most` bytes of each write, and records its slices.
#[derive(Default)]
struct Taker {
    writes: Arc<Mutex<Vec<Slices>>>,
    vectored: bool,
    most: usize,
}

impl AsyncRead for Taker {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Taker {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = bufs
            .iter()
            .map(|buf| (buf.as_ptr() as usize, buf.len()))
            .collect();
        self.writes.lock().unwrap().push(slices);
        Poll::Ready(Ok(bufs
            .iter()
            .map(|buf| buf.len())
            .sum::<usize>()
            .min(self.most)))
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn large_payloads_are_written_without_a_copy() {
    let large = Bytes::from(vec![7; 1 << 20]);
    let at = large.as_ptr() as usize;
    let half = 1 << 19;
    let table: [(bool, usize, &[&[usize]]); 3] = [
        (true, usize::MAX, &[&[10, 1 << 20, 11]]),
        (
            true,
            half,
            &[&[10, 1 << 20, 11], &[half + 10, 11], &[10, 11]],
        ),
        (false, usize::MAX, &[&[10], &[1 << 20], &[11]]),
    ];
    for (vectored, most, want) in table {
        let writes = Arc::<Mutex<Vec<Slices>>>::default();
        let mut transport = over(Taker {
            writes: Arc::clone(&writes),
            vectored,
            most,
        });
        put_bytes(&mut transport, &large);
        put(&mut transport, b"x");
        flush(&mut transport).await.unwrap();
        let writes = writes.lock().unwrap();
        let lengths = |write: &Slices| write.iter().map(|(_, len)| *len).collect::<Vec<_>>();
        assert_eq!(writes.iter().map(lengths).collect::<Vec<_>>(), want);
        assert!(
            writes.iter().flatten().any(|slice| *slice == (at, 1 << 20)),
            "not copied"
        );
    }
}

#[tokio::test]
async fn a_stream_that_takes_no_bytes_is_an_error() {
    let mut transport = over(Taker {
        most: 0,
        ..Taker::default()
    });
    put(&mut transport, b"x");
    let Err(FramingError::Io(error)) = flush(&mut transport).await else {
        panic!()
    };
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}

#[cfg(unix)]
#[tokio::test]
#[cfg_attr(miri, ignore = "Miri has no sockets")]
async fn a_unix_stream_has_credentials() {
    let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
    let credentials = over(ours)
        .connection()
        .credentials
        .expect("the kernel reports them");
    if cfg!(target_os = "linux") {
        assert_eq!(credentials.pid, i32::try_from(std::process::id()).ok());
    }
    assert_eq!(over(duplex(1).0).connection().credentials, None);
}
