//! A blocking client and a peer that is slow, old or wrong: a thread with a socket.
//!
//! A failure shows the error of the client, or the time that it took.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    process::Command,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kyneta_uds_blocking::{Builder, Client, Error};
use kyneta_uds_cbor::{ChannelCodec, Codec as _, EncodeError};
use kyneta_uds_core::{
    ChannelMsg, DocId, Establish, Frame, Identity, Offer, SocketPath, Version, WireVersion,
    WriteBuf,
};
use kyneta_uds_framing::{FrameParser, FrameWriter, FramingError, WireMode};
use rustix::{
    net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket},
    process::{Pid, Signal, kill_process},
};
use tempfile::TempDir;

const SOON: Option<Duration> = Some(Duration::from_secs(10));

/// Runs `accept` with the connections of a path, on a thread.
fn peer(accept: impl FnOnce(UnixListener) + Send + 'static) -> (Builder, JoinHandle<()>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let path = SocketPath::new(path).unwrap();
    let client = Client::builder(path, Identity::service("blocking").unwrap());
    (client, thread::spawn(move || accept(listener)), dir)
}

fn bytes(buf: &mut WriteBuf) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !buf.is_empty() {
        let front = buf.front().to_vec();
        buf.advance(front.len());
        bytes.extend(front);
    }
    bytes
}

/// What a peer of `wire` answers to `establish`.
fn establish(wire: WireVersion) -> Vec<u8> {
    let establish = Establish::new(Identity::service("peer").unwrap()).into();
    let (mut writer, mut buf) = (FrameWriter::new(1000), WriteBuf::default());
    let mut codec = ChannelCodec::new();
    writer
        .write(
            wire,
            &mut buf,
            |payload| codec.encode(&establish, payload),
            |size, limit| EncodeError::TooLarge { size, limit },
        )
        .unwrap();
    bytes(&mut buf)
}

/// Reads up to the first frame.
fn read_frame(io: &mut UnixStream, wire: WireVersion) -> Option<ChannelMsg> {
    let mut parser = FrameParser::new(WireMode::Fixed(wire), 1000);
    let mut codec = ChannelCodec::new();
    loop {
        match parser.next_frame().unwrap() {
            Some(Frame::Payload(payload)) => return Some(codec.decode(payload).unwrap()),
            Some(Frame::Skipped(_)) => return None,
            _ => {}
        }
        let mut some = [0; 1000];
        let n = io.read(&mut some).unwrap();
        assert!(n > 0);
        parser.feed(&some[..n]);
    }
}

/// Accepts, greets, and goes on with `then`.
fn greets(then: impl FnOnce(UnixStream) + Send + 'static) -> (Builder, JoinHandle<()>, TempDir) {
    peer(|listener| {
        let mut io = listener.accept().unwrap().0;
        assert!(read_frame(&mut io, WireVersion::V3).is_some());
        io.write_all(&establish(WireVersion::V3)).unwrap();
        then(io);
    })
}

fn offer(size: usize) -> ChannelMsg {
    let doc = DocId::new("d").unwrap();
    Offer::binary(doc, Version::new("1").unwrap(), vec![7; size]).into()
}

#[test]
fn a_peer_of_the_older_wire_version_is_spoken_to_in_it() {
    let (client, task, _dir) = peer(|listener| {
        // It does not answer to what it does not understand.
        let mut first = listener.accept().unwrap().0;
        assert!(read_frame(&mut first, WireVersion::V2).is_none());
        let mut second = listener.accept().unwrap().0;
        assert!(read_frame(&mut second, WireVersion::V2).is_some());
        second.write_all(&establish(WireVersion::V2)).unwrap();
        assert_eq!(read_frame(&mut second, WireVersion::V2), Some(offer(9)));
    });
    let client = client.wire_fallback(Duration::from_millis(50)).connect();
    let mut client = client.unwrap();
    assert_eq!(client.connection().wire, Some(WireVersion::V2));
    assert_eq!(client.peer().identity.peer_id.as_str(), "peer");
    client.send(&offer(9), SOON).unwrap();
    task.join().unwrap();
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let (client, task, _dir) = peer(move |listener| {
        let _ = wait.recv();
        drop(listener);
    });
    let timeout = Duration::from_millis(170);
    let client = client.timeout(timeout).wire_fallback(timeout / 4);
    let error = client.connect().unwrap_err();
    let Error::Unanswered { tried, waited } = error else {
        panic!("{error}");
    };
    assert_eq!(tried, [WireVersion::V3, WireVersion::V2]);
    assert!(waited >= timeout, "{waited:?}");
    drop(end);
    task.join().unwrap();
}

#[test]
fn without_time_for_an_answer_it_does_not_connect_again_and_again() {
    let (client, task, dir) = peer(move |listener| {
        let mut held = Vec::new();
        loop {
            let (mut io, _) = listener.accept().unwrap();
            if io.read_exact(&mut [0]).is_err() {
                break;
            }
            held.push(io);
            assert!(held.len() < 50, "{}", held.len());
        }
    });
    let timeout = Duration::from_millis(500);
    let client = client.timeout(timeout).wire_fallback(Duration::ZERO);
    let error = client.connect().unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error}");
    drop(UnixStream::connect(dir.path().join("bus.sock")).unwrap());
    task.join().unwrap();
}

#[test]
fn an_empty_first_frame_is_of_another_protocol_and_garbage_is_not() {
    let first: [(&[u8], bool); 3] = [
        (&[2, 0, 0, 0, 0, 0], true),
        (&[3, 0, 0, 0, 0, 0, 0, 0, 0, 1], true),
        (&[2, 0, 0, 0, 0, 1, 0xff], false),
    ];
    for (bytes, is_other) in first {
        let (client, task, _dir) = peer(move |listener| {
            let (mut io, _) = listener.accept().unwrap();
            io.write_all(bytes).unwrap();
            let _ = io.read_to_end(&mut Vec::new());
        });
        let client = client.timeout(Duration::from_millis(200));
        let error = client.connect().unwrap_err();
        let says_so = matches!(error, Error::OtherProtocol { .. });
        assert_eq!(says_so, is_other, "{bytes:?}: {error}");
        task.join().unwrap();
    }
}

#[test]
fn a_peer_that_closes_during_the_handshake_is_said_so() {
    let (client, task, _dir) = peer(|listener| drop(listener.accept().unwrap()));
    let error = client.connect().unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
    task.join().unwrap();
}

#[test]
fn a_send_that_runs_out_of_time_goes_on_with_the_next_flush() {
    const SIZE: usize = 4 << 20;
    let (start, wait) = std::sync::mpsc::channel();
    let (client, task, _dir) = greets(move |mut io| {
        wait.recv().unwrap();
        let mut all = Vec::new();
        io.read_to_end(&mut all).unwrap();
        let mut parser = FrameParser::new(WireMode::Auto, 2 * SIZE);
        let mut codec = ChannelCodec::new();
        parser.feed(&all);
        for size in [SIZE, 1] {
            // Its first frame was read: the sequence begins with a gap.
            let payload = loop {
                match parser.next_frame().unwrap() {
                    Some(Frame::Payload(payload)) => break payload,
                    Some(_) => {}
                    None => panic!("{size} is missing"),
                }
            };
            assert_eq!(codec.decode(payload).unwrap(), offer(size));
        }
        assert!(parser.next_frame().unwrap().is_none());
        assert!(parser.is_between_frames());
    });
    let mut client = client.connect().unwrap();
    let short = Some(Duration::from_millis(50));
    let error = client.send(&offer(SIZE), short).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(client.unsent() > 0 && client.unsent() < SIZE + 100);
    // There is no room for another one, which is not added.
    let before = client.unsent();
    assert!(client.queue(&offer(2), short).is_err());
    assert_eq!(client.unsent(), before);
    start.send(()).unwrap();
    client.flush(SOON).unwrap();
    client.send(&offer(1), SOON).unwrap();
    drop(client);
    task.join().unwrap();
}

#[test]
fn what_is_no_message_is_rejected_and_the_next_one_comes() {
    let (client, task, _dir) = greets(|mut io| {
        // {"t": 5}, then {"t": 2}, a depart; then the end inside a header.
        let frame = |seq, byte| [3, 0, 0, 0, 0, 4, 0, 0, 0, seq, 0xa1, 0x61, b't', byte];
        io.write_all(&frame(2, 5)).unwrap();
        io.write_all(&frame(3, 2)).unwrap();
        io.write_all(&[3, 0, 0]).unwrap();
    });
    let mut client = client.connect().unwrap();
    let error = client.recv(SOON).unwrap_err();
    assert!(matches!(error, Error::Rejected(_)), "{error}");
    assert!(!error.ends_connection() && !client.is_departing());
    let error = client.recv(SOON).unwrap_err();
    let Error::Framing(FramingError::Truncated { have: 3, .. }) = error else {
        panic!("{error:?}");
    };
    assert!(client.is_departing());
    task.join().unwrap();
}

#[test]
fn another_protocol_is_an_error() {
    let (client, task, _dir) = greets(|mut io| io.write_all(b"HTTP/1.1 400").unwrap());
    let mut client = client.connect().unwrap();
    let error = client.recv(SOON).unwrap_err();
    let Error::Framing(FramingError::UnknownVersion { byte: b'H' }) = error else {
        panic!("{error:?}");
    };
    assert!(error.ends_connection());
    task.join().unwrap();
}

#[test]
fn a_send_ends_in_time_beside_a_peer_that_reads_a_little_now_and_then() {
    let (client, task, _dir) = greets(|mut io| {
        let mut some = vec![0; 64 << 10];
        while io.read(&mut some).is_ok_and(|n| n > 0) {
            // Slower than the limit of the call allows for one message.
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut client = client.connect().unwrap();
    let (started, limit) = (Instant::now(), Duration::from_millis(150));
    let error = client.send(&offer(4 << 20), Some(limit)).unwrap_err();
    let took = started.elapsed();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(took >= limit && took < 4 * limit, "{took:?}");
    drop(client);
    task.join().unwrap();
}

#[test]
fn a_process_that_is_stopped_while_it_connects_goes_on_with_it() {
    const NAME: &str = "a_process_that_is_stopped_while_it_connects_goes_on_with_it";
    const PATH: &str = "KYNETA_CONNECT_TO";
    // The process that is stopped is this test in another process.
    if let Some(path) = std::env::var_os(PATH) {
        let identity = Identity::service("blocking").unwrap();
        Client::builder(SocketPath::new(path).unwrap(), identity)
            .connect()
            .unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    // One connection may wait for being accepted, and one more.
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&socket, 0).unwrap();
    let _waits = UnixStream::connect(&path).unwrap();
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["--exact", NAME]).env(PATH, &path);
    let mut child = command.spawn().unwrap();
    for signal in [Signal::STOP, Signal::CONT] {
        // Nothing shows from outside that it connects.
        thread::sleep(Duration::from_millis(300));
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    thread::sleep(Duration::from_millis(100));
    let listener = UnixListener::from(socket);
    drop(listener.accept().unwrap());
    listener.set_nonblocking(true).unwrap();
    let status = loop {
        if let Ok((mut io, _)) = listener.accept() {
            io.set_nonblocking(false).unwrap();
            let _ = io.write_all(&establish(WireVersion::V3));
            let _ = io.read_to_end(&mut Vec::new());
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
}
