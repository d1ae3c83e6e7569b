//! Peers with one wire version only, with invalid bytes, and without reads.
//!
//! The peers are bare sockets. A failure shows the event of the listener, or the bytes that it has sent.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixListener,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    process::start,
    raw_peer::{RawPeer, establish},
    roles::{client, listener},
    support::common::{Bus, raw},
};

/// The listener ignores the other wire version.
#[test]
fn a_client_connects_to_a_listener_of_one_wire_version_within_a_second() {
    for wire in [2, 3] {
        let bus = Bus::new();
        let socket = UnixListener::bind(&bus.path).unwrap();
        let serving = thread::spawn(move || {
            loop {
                let (mut stream, _) = socket.accept().unwrap();
                let mut first = [0; 256];
                let read = stream.read(&mut first).unwrap();
                assert!(read > 10, "an establish at once");
                if first[0] == wire {
                    let answer = raw::frame(wire, 1, &establish("only"));
                    stream.write_all(&answer).unwrap();
                    // Its depart, to the end of the stream.
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).unwrap();
                    return rest;
                }
                // No answer, to the end of the stream.
                assert_eq!(stream.read(&mut first).unwrap(), 0);
            }
        });
        let mut client = start(&["connect", bus.path.to_str().unwrap(), "--json"]);
        assert_eq!(client.next()["state"], "connecting");
        let started = Instant::now();
        let established = json!({"event": "peer", "peer": "only", "change": "established"});
        let event = client.until(&established);
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(event["wire"], wire);
        client.stop();
        assert_eq!(
            serving.join().unwrap(),
            raw::frame(wire, 2, b"\xa1\x61t\x02")
        );
    }
}

#[test]
fn a_listener_that_does_not_answer_is_named_in_the_error() {
    let bus = Bus::new();
    let _silent = UnixListener::bind(&bus.path).unwrap();
    let path = bus.path.to_str().unwrap();
    let mut client = start(&["connect", path, "--json", "--no-reconnect"]);
    let event = client.until(&json!({"event": "state", "state": "disconnected"}));
    assert_eq!(event["reason"]["type"], "error", "{event}");
    let end = client.end();
    assert_eq!(end.code, 1);
    assert!(
        end.stderr.contains("wire") && end.stderr.contains('2'),
        "{end:?}"
    );
}

/// As of a process that is killed while it writes.
#[test]
fn a_connection_that_ends_inside_a_frame_has_failed_and_said_nothing_wrong() {
    let (bus, mut listener) = listener(&[]);
    let mut raw = RawPeer::established(&bus, 3, "cut");
    listener.until(&json!({"event": "peer", "peer": "cut", "change": "established"}));
    let frame = raw::frame(3, 2, &[0x60; 1000]);
    raw.write(&frame[..500]);
    raw.stream.shutdown(Shutdown::Write).unwrap();
    let error = listener.until(&json!({"event": "error", "peer": "cut"}));
    assert_eq!(error["code"], "connection-failed", "{error}");
    let text = error["message"].as_str().unwrap();
    assert!(text.contains("ended inside a frame"), "{error}");
    listener.stop();
}

#[test]
fn invalid_bytes_give_an_error_event_and_the_others_go_on() {
    let (bus, mut listener) = listener(&["--echo"]);
    let (mut client, _) = client(&bus, &[]);
    listener.until(&json!({"event": "peer", "change": "established"}));

    // A probe gives no event.
    drop(RawPeer::connect(&bus));
    // Before the handshake.
    for invalid in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 100],
        b"\x03\x00\xff\xff\xff\xff\0\0\0\x01",
    ] {
        let mut raw = RawPeer::connect(&bus);
        raw.write(invalid);
        assert_eq!(raw.read_to_end(), b"");
        let event = listener.next();
        assert_eq!(event["event"], "error", "{event}");
    }
    // After it: an invalid message only gives an event, an invalid header ends the connection.
    let mut raw = RawPeer::established(&bus, 3, "raw");
    listener.until(&json!({"event": "peer", "peer": "raw", "change": "established"}));
    raw.write(&raw::frame(3, 2, b"\xff"));
    listener.until(&json!({"event": "error", "peer": "raw", "code": "decode-failed"}));
    raw.write(&raw::frame(3, 3, b"\xa2\x61t\x13\x63doc\x61d"));
    listener.until(&json!({"event": "message", "msg": {"type": "dismiss", "docId": "d"}}));
    raw.write(b"\x03\x00\xff\xff\xff\xff\0\0\0\x04");
    let event = listener.until(&json!({"event": "error", "peer": "raw"}));
    let message = event["message"].as_str().unwrap();
    assert!(
        message.contains("4294967295") && message.contains("67108864"),
        "{message}"
    );
    listener.until(&json!({"event": "peer", "peer": "raw", "change": "disconnected"}));
    raw.read_to_end();

    let offer = json!({"type": "offer", "docId": "d", "version": "1",
                       "payload": {"kind": "since", "encoding": "json", "data": "{}"}});
    client.write_line(json!({ "send": offer }));
    client.until(&json!({"event": "message", "msg": offer}));
    client.stop();
    listener.stop();
}

#[test]
fn a_peer_that_never_reads_is_disconnected_and_the_others_go_on() {
    let (bus, mut listener) = listener(&["--stall-limit", "300", "--max-queue", "4"]);
    let _never_reads = RawPeer::established(&bus, 3, "never-reads");
    listener.until(&json!({"event": "peer", "peer": "never-reads", "change": "established"}));
    let (mut reader, _) = client(&bus, &[]);
    listener.until(&json!({"event": "peer", "change": "established"}));
    const MANY: usize = 100;
    let data = "00".repeat(16 << 10);
    for i in 0..MANY {
        listener.write_line(format!(
            r#"{{"send":{{"type":"offer","docId":"d","version":"{i}","payload":{{"kind":"since","encoding":"binary","data":{{"$bytes":"{data}"}}}}}}}}"#
        ));
    }
    let mut sent = 0;
    let mut disconnected = 0;
    while sent < MANY {
        let event = listener.next();
        match event["event"].as_str().unwrap() {
            "sent" => sent += 1,
            "error" => assert_eq!(
                (&event["code"], &event["peer"]),
                (&json!("stalled"), &json!("never-reads"))
            ),
            _ => {
                assert_eq!(
                    (&event["peer"], &event["change"]),
                    (&json!("never-reads"), &json!("disconnected"))
                );
                disconnected += 1;
            }
        }
    }
    assert_eq!(disconnected, 1);
    for i in 0..MANY {
        assert_eq!(reader.next()["msg"]["version"], i.to_string());
    }
    reader.stop();
    listener.stop();
}

#[test]
fn missing_and_repeated_frames_give_error_events() {
    let (bus, mut listener) = listener(&[]);
    let mut raw = RawPeer::established(&bus, 3, "raw");
    let message = |seq| raw::frame(3, seq, b"\xa2\x61t\x13\x63doc\x61d");
    raw.write(&[message(2), message(3), message(6), message(6)].concat());
    listener.until(&json!({"event": "message", "peer": "raw"}));
    let gap = listener.until(&json!({"event": "error", "peer": "raw", "code": "sequence-gap"}));
    assert_eq!(gap["message"], "2 frames of the peer are missing");
    listener.until(&json!({"event": "error", "peer": "raw", "code": "repeated-frame"}));
    listener.stop();
}
