//! An stdout and an stderr that no process reads.
//!
//! Held: it ends, and its peers are served, although its output waits. A failure is the time limit of the test.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    process::{ChildStdout, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::{
    process::{Process, Signal, command, start},
    raw_peer::RawPeer,
    support::common::{Bus, raw},
};

/// A command whose stdout is read up to the first line and kept open.
fn unread(args: &[&str]) -> (Process, ChildStdout) {
    let mut child = command(args).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let process = Process::without_stdout(child);
    let mut byte = [0];
    while byte != *b"\n" {
        stdout.read_exact(&mut byte).unwrap();
    }
    (process, stdout)
}

/// Sends messages until the other side reads no more.
fn flood(raw: &mut RawPeer) {
    raw.stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let block = raw::frame(2, 0, b"\xa2\x61t\x13\x63doc\x61d").repeat(1_000);
    loop {
        match raw.stream.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn an_unread_stdout_does_not_keep_it_from_ending() {
    let bus = Bus::new();
    let socket = UnixListener::bind(&bus.path).unwrap();
    let path = bus.path.to_str().unwrap();
    let (mut client, held) = unread(&["connect", path, "--json", "--wire", "2"]);
    let mut hub = RawPeer::accept(&socket, 2, "hub");
    flood(&mut hub);
    client.signal(Signal::TERM);
    assert_eq!(client.wait_for_end().code, 0);
    drop((hub, held));

    let bus = Bus::new();
    let (mut hub, held) = unread(&["listen", bus.path.to_str().unwrap(), "--json"]);
    let mut flooding = RawPeer::established(&bus, 2, "flood");
    flood(&mut flooding);
    hub.signal(Signal::TERM);
    assert_eq!(hub.wait_for_end().code, 0);
    assert!(!bus.path.exists());
    drop(held);
}

#[test]
fn an_unread_stderr_blocks_nothing() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let mut child = command(["listen", path, "--json", "-vvv"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = child.stderr.take().unwrap();
    let mut hub = Process::without_stderr(child);
    assert_eq!(hub.next()["event"], "listening");
    for _ in 0..500 {
        RawPeer::connect(&bus).write(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(hub.next()["event"], "error");
    }
    hub.signal(Signal::TERM);
    assert_eq!(hub.end().code, 0);
    drop(held);
}

/// Without `--json` what is no message goes to stderr.
#[test]
fn an_unread_stderr_holds_no_member_of_a_bus_up() {
    let bus = Bus::new();
    let (full, held) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while (&full).write(&[b'-'; 4096]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    let mut command = command(["bus", bus.path.to_str().unwrap()]);
    let child = command.stderr(OwnedFd::from(full)).spawn().unwrap();
    let mut member = Process::without_stderr(child);
    let mut other = start(&["bus", bus.path.to_str().unwrap(), "--json", "--id", "other"]);
    other.until(&json!({"event": "member", "change": "joined"}));
    other.write_line(json!({"publish": "hello"}));
    assert_eq!(member.line(), "other: hello");
    member.signal(Signal::TERM);
    assert_eq!(member.end().code, 0);
    drop(held);
}

#[test]
fn a_stdin_that_cannot_be_read_is_named() {
    for args in [&["decode"][..], &["decode", "--raw"], &["encode"]] {
        let directory = File::open("/").unwrap();
        let mut command = command([&["wire"], args].concat());
        let output = command.stdin(directory).output().unwrap();
        let why = "kyneta-uds: stdin cannot be read: Is a directory (os error 21)\n";
        assert_eq!(String::from_utf8_lossy(&output.stderr), why, "{args:?}");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stderr_that_cannot_be_written_changes_no_code() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let who = command(["who", path]).stderr(full()).status().unwrap();
    assert_eq!(who.code(), Some(1));
    let same = ["peer", path, "--status", path];
    let usage = command(same).stderr(full()).status().unwrap();
    assert_eq!(usage.code(), Some(2));
    let child = command(["bus", path]).stderr(full()).spawn().unwrap();
    let mut member = Process::without_stderr(child);
    member.write_line("hello");
    assert_eq!(member.finish().code, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stdout_that_cannot_be_written_is_a_failure_however_the_command_ends() {
    for role in ["peer", "listen", "bus", "exchange"] {
        let bus = Bus::new();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = command([role, bus.path.to_str().unwrap(), "--json"]);
        let mut process = Process::without_stdout(command.stdout(full).spawn().unwrap());
        process.write_line(json!({"quit": true}));
        let end = process.wait_for_end();
        let why = "kyneta-uds: stdout cannot be written: No space left on device (os error 28)\n";
        assert_eq!((end.code, end.stderr.as_str()), (1, why), "{role}");
    }
}
