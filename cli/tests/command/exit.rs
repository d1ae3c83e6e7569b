//! How the command ends: on request, without a connection, without a reader; and what does not end it.
//!
//! A failure shows the code, the lines that were not read before, and stderr.

use std::{
    io::Read as _,
    path::Path,
    process::{ChildStdout, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    process::{Process, Signal, command, start},
    roles::{client, listener},
    support::DEADLINE,
};

#[test]
fn on_request_it_sends_depart_and_leaves_no_file() {
    enum Request {
        Signal(Signal),
        Quit,
    }
    for request in [
        Request::Signal(Signal::TERM),
        Request::Signal(Signal::INT),
        Request::Quit,
    ] {
        let (bus, mut listener) = listener(&["--id", "hub"]);
        let (mut staying, _) = client(&bus, &["--no-reconnect"]);
        let (mut leaving, _) = client(&bus, &["--id", "leaving"]);
        let end = |process: &mut Process| {
            match request {
                Request::Signal(signal) => process.signal(signal),
                Request::Quit => process.write_line(json!({"quit": true})),
            }
            process.end()
        };
        let left = end(&mut leaving);
        assert_eq!((left.code, left.stderr.as_str()), (0, ""));
        listener.until(&json!({"event": "peer", "peer": "leaving", "change": "departed"}));
        let last = left.rest.last().unwrap();
        assert!(last.contains(r#""state":"disconnected""#), "{last}");
        let ended = end(&mut listener);
        staying.until(&json!({"event": "peer", "peer": "hub", "change": "departed"}));
        staying.until(&json!({"event": "state", "state": "disconnected"}));
        assert_eq!(staying.end().code, 1);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        assert!(!bus.path.exists());
    }
}

#[test]
fn a_signal_right_after_the_start_ends_it_in_good_order() {
    let bus = crate::support::common::Bus::new();
    let path = bus.path.to_str().unwrap();
    for command in ["listen", "peer", "connect"] {
        let mut process = start(&[command, path, "--json"]);
        // Signals are caught before anything else is done.
        while !process.catches(Signal::HUP) {
            std::thread::yield_now();
        }
        process.signal(Signal::TERM);
        let end = process.end();
        assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{command}");
        assert!(!bus.path.exists());
    }
}

#[test]
fn a_terminated_client_has_departed_a_killed_one_is_disconnected() {
    let (bus, mut listener) = listener(&[]);
    for (signal, change, code) in [
        (Signal::TERM, "departed", 0),
        (Signal::KILL, "disconnected", -9),
    ] {
        let (mut client, _) = client(&bus, &["--id", "c"]);
        client.signal(signal);
        assert_eq!(client.end().code, code);
        listener.until(&json!({"event": "peer", "peer": "c", "change": change}));
    }
    listener.stop();
}

#[test]
fn messages_before_the_quit_are_sent() {
    let (bus, mut listener) = listener(&["--no-relay"]);
    let (mut client, _) = client(&bus, &["--id", "c"]);
    const MANY: usize = 1_000;
    for i in 0..MANY {
        client.write_line(json!({"send": {"type": "dismiss", "docId": i.to_string()}}));
    }
    client.write_line(json!({"quit": true}));
    assert_eq!(listener.next()["change"], "established");
    for i in 0..MANY {
        assert_eq!(listener.next()["msg"]["docId"], i.to_string());
    }
    assert_eq!(listener.next()["change"], "departed");
    let end = client.end();
    let sent = end
        .rest
        .iter()
        .filter(|line| *line == r#"{"event":"sent","count":1}"#);
    assert_eq!((end.code, sent.count()), (0, MANY));
    listener.stop();
}

#[test]
fn the_end_of_an_empty_stdin_does_not_end_it() {
    let (bus, mut listener) = listener(&["--echo"]);
    drop(listener.stdin());
    let (mut idle, _) = client(&bus, &["--id", "idle"]);
    drop(idle.stdin());
    listener.until(&json!({"event": "peer", "peer": "idle", "change": "established"}));
    // Both still pass messages on.
    let (mut other, _) = client(&bus, &["--id", "other"]);
    let offer = json!({"type": "offer", "docId": "d", "version": "1",
                       "payload": {"kind": "since", "encoding": "json", "data": "{}"}});
    other.write_line(json!({ "send": offer }));
    other.until(&json!({"event": "message", "msg": offer}));
    idle.stop();
    other.stop();
    listener.stop();
}

#[test]
fn the_end_of_a_stdin_that_was_read_ends_it_after_its_messages() {
    let (bus, mut listener) = listener(&[]);
    let (mut client, _) = client(&bus, &["--id", "c"]);
    let (mut stays, _) = crate::roles::client(&bus, &["--id", "stays", "--stay"]);
    for (process, doc) in [(&mut stays, "one"), (&mut client, "two")] {
        process.write_line(json!({"send": {"type": "dismiss", "docId": doc}}));
        drop(process.stdin());
        listener.until(&json!({"event": "message", "msg": {"type": "dismiss", "docId": doc}}));
    }
    let departed = json!({"event": "peer", "change": "departed"});
    assert_eq!(listener.until(&departed)["peer"], "c");
    let end = client.end();
    assert_eq!((end.code, end.stderr.as_str()), (0, ""));
    stays.stop();
    assert_eq!(listener.until(&departed)["peer"], "stays");
    listener.stop();
}

#[test]
fn unsent_messages_do_not_keep_a_peer_without_a_role_from_ending() {
    let bus = crate::support::common::Bus::new();
    let _silent = std::os::unix::net::UnixListener::bind(&bus.path).unwrap();
    let send = json!({"send": {"type": "dismiss", "docId": "d"}});
    for by_signal in [true, false] {
        let mut peer = start(&["peer", bus.path.to_str().unwrap(), "--json"]);
        for _ in 0..3 {
            peer.write_line(&send);
        }
        peer.until(&json!({"event": "waiting"}));
        let end = if by_signal {
            peer.signal(Signal::TERM);
            peer.end()
        } else {
            peer.finish()
        };
        assert_eq!(end.code, 0, "{end:?}");
        let unsent = r#"{"event":"sent","count":0}"#;
        assert_eq!(end.rest.iter().filter(|line| *line == unsent).count(), 3);
    }
}

#[test]
fn a_blank_line_counts_as_read() {
    let (bus, _listener) = listener(&[]);
    let (mut client, _) = client(&bus, &[]);
    client.write_line("");
    assert_eq!(client.finish().code, 0);
}

#[test]
fn a_closed_stdout_ends_it_in_good_order() {
    let bus = crate::support::common::Bus::new();
    let path = bus.path.to_str().unwrap();
    let mut child = command(["listen", path, "--json"]).spawn().unwrap();
    let mut stdout: ChildStdout = child.stdout.take().unwrap();
    let mut unread = Process::without_stdout(child);
    let mut byte = [0];
    while byte != *b"\n" {
        stdout.read_exact(&mut byte).unwrap();
    }
    drop(stdout);
    // The next event cannot be written.
    let (mut client, _) = client(&bus, &[]);
    client.until(&json!({"event": "peer", "change": "departed"}));
    let end = unread.end();
    assert_eq!((end.code, end.stderr.as_str()), (0, ""));
    assert!(!bus.path.exists());
}

/// Waits until the path is removed.
fn wait_until_removed(path: &Path) {
    let start = Instant::now();
    while path.exists() {
        assert!(
            start.elapsed() < DEADLINE,
            "{} is still there",
            path.display()
        );
        sleep(Duration::from_millis(2));
    }
}

/// A listener that has more messages for a peer than its socket holds; the peer does not read.
fn blocked() -> (
    crate::support::common::Bus,
    Process,
    crate::raw_peer::RawPeer,
) {
    let (bus, mut listener) = listener(&[]);
    let never_reads = crate::raw_peer::RawPeer::established(&bus, 3, "never-reads");
    listener.until(&json!({"event": "peer", "peer": "never-reads"}));
    let data = "00".repeat(1 << 20);
    listener.write_line(format!(
        r#"{{"send":{{"type":"offer","docId":"d","version":"1","payload":{{"kind":"since","encoding":"binary","data":{{"$bytes":"{data}"}}}}}}}}"#
    ));
    (bus, listener, never_reads)
}

#[test]
fn after_a_second_signal_it_does_not_wait_for_a_peer_that_never_reads() {
    let (bus, mut listener, _never_reads) = blocked();
    listener.write_line("not understood");
    listener.until(&json!({"event": "error", "code": "bad-input"}));
    listener.signal(Signal::TERM);
    // The path is removed first; the peer has more time.
    wait_until_removed(&bus.path);
    listener.signal(Signal::TERM);
    assert_eq!(listener.end().code, 1);
    assert!(!bus.path.exists());
}

#[test]
fn one_signal_after_a_quit_does_not_cut_the_end_short() {
    let (bus, mut listener, _never_reads) = blocked();
    listener.write_line(json!({"quit": true}));
    wait_until_removed(&bus.path);
    listener.signal(Signal::TERM);
    assert_eq!(listener.end().code, 0);
}

#[test]
fn with_too_few_files_to_open_it_says_so() {
    let bus = crate::support::common::Bus::new();
    let inner = command(["listen", bus.at()]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 6; exec \"$0\" \"$@\""]);
    limited.arg(inner.get_program()).args(inner.get_args());
    let ended = limited.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("RLIMIT_NOFILE"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    for (args, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["listen", "--help"], 0),
        (&["connect", "--help"], 0),
        (&["peer", "--help"], 0),
        (&["wire", "decode", "--help"], 0),
        (&["wire", "encode", "--help"], 0),
        (&["completions", "bash"], 0),
        (&["man"], 0),
        (&[], 2),
        (&["listen"], 2),
        (&["listn", "x"], 2),
        (&["listen", "x", "--no-such-flag"], 2),
        (&["peer"], 2),
        (&["peer", "x", "--id", ""], 2),
        (&["peer", "x", "--mode", "8"], 2),
        (&["connect", "x", "--mode", "600"], 2),
        (&["connect", "x", "--retries", "-1"], 2),
        (&["connect", "x", "--retries", "1", "--no-reconnect"], 2),
        (&["listen", "x", "--mode", "8"], 2),
        (&["listen", "x", "--mode", "1777"], 2),
        (&["listen", "x", "--type", "king"], 2),
        (&["listen", "x", "--wire", "4"], 2),
        (&["listen", "x", "--max-queue", "0"], 2),
        (&["listen", "x", "--max-frame", "4GiB"], 2),
        (&["listen", "x", "--stall-limit", "-1"], 2),
        (&["wire", "encode", "--wire", "auto"], 2),
    ] {
        let end = start(args).finish();
        assert_eq!(end.code, code, "{args:?}: {end:?}");
        let (printed, empty) = if code == 0 {
            (end.rest.join("\n"), end.stderr)
        } else {
            (end.stderr, end.rest.join("\n"))
        };
        assert!(
            !printed.is_empty() && empty.is_empty(),
            "{args:?}: {printed:?}, {empty:?}"
        );
    }
}
