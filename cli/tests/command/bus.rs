//! A bus of JSON values: `bus`, `send`, `who` and `tap`.
//!
//! What stdout, stderr and the exit code say, to a person and to a script. A failure shows the line that came
//! instead, or all lines after twenty seconds without it.

use std::{fs, os::unix::fs::PermissionsExt as _, thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    process::{Process, Signal, command, start},
    support::common::Bus,
};

fn join(bus: &Bus, id: &str) -> Process {
    let path = bus.path.to_str().unwrap();
    let mut process = start(&["bus", path, "--json", "--id", id]);
    process.settled();
    process
}

fn member(id: &str, change: &str) -> Value {
    json!({"event": "member", "id": id, "change": change})
}

fn message(from: &str, to: &str, msg: &Value) -> Value {
    json!({"event": "message", "from": from, "to": to, "msg": msg})
}

/// A listener `a`, and `b` and `c`, which know each other.
fn three(bus: &Bus) -> [Process; 3] {
    let mut a = join(bus, "a");
    let mut b = join(bus, "b");
    a.until(&member("b", "joined"));
    let mut c = join(bus, "c");
    a.until(&member("c", "joined"));
    b.until(&member("c", "joined"));
    c.until(&member("b", "joined"));
    [a, b, c]
}

/// Exit code, stdout and stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = command(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn all_hear_all_before_and_after_the_listener_is_killed() {
    let bus = Bus::new();
    let [mut a, mut b, mut c] = three(&bus);
    let value = json!({"n": [1, 2.5, null]});
    b.write_line(json!({"publish": value}));
    a.until(&message("b", "all", &value));
    c.until(&message("b", "all", &value));
    b.until(&json!({"event": "delivered", "seq": 1, "missed": []}));
    a.signal(Signal::KILL);
    b.write_line(json!({"publish": "after"}));
    c.until(&message("b", "all", &json!("after")));
    c.write_line(json!({"publish": "me too"}));
    b.until(&message("c", "all", &json!("me too")));
    b.write_line(json!({"quit": true}));
    c.until(&member("b", "left"));
    assert_eq!(b.end().code, 0);
    c.stop();
}

#[test]
fn one_can_be_sent_to_and_asked() {
    let bus = Bus::new();
    let [a, mut b, mut c] = three(&bus);
    b.write_line(json!({"send": 1, "to": "c"}));
    c.until(&message("b", "me", &json!(1)));
    b.write_line(json!({"send": 1, "to": "d"}));
    b.until(&json!({"event": "error", "code": "unknown-member"}));
    b.write_line(json!({"request": "how many?", "to": "c", "id": 7}));
    c.until(&json!({"event": "request", "from": "b", "id": 1, "msg": "how many?"}));
    c.write_line(json!({"answer": 42, "id": 1}));
    b.until(&json!({"event": "answer", "id": 7, "msg": 42}));
    b.write_line(json!({"request": "how many?", "to": "c", "id": 8}));
    c.until(&json!({"event": "request", "from": "b", "id": 2}));
    c.write_line(json!({"fail": "none of yours", "id": 2}));
    b.until(&json!({"event": "answer", "id": 8, "error": "none of yours"}));
    b.write_line(json!({"request": 1, "to": "c", "id": 9, "timeout_ms": 20}));
    b.until(&json!({"event": "answer", "id": 9, "error": "no answer within 20 ms"}));
    b.write_line(json!({"request": 1, "to": "c", "id": 10}));
    c.until(&json!({"event": "request", "id": 4}));
    c.signal(Signal::TERM);
    b.until(&json!({"event": "answer", "id": 10}));
    assert_eq!(c.end().code, 0);
    b.write_line("rubbish");
    b.until(&json!({"event": "error", "code": "bad-input"}));
    for process in [b, a] {
        process.stop();
    }
}

#[test]
fn another_protocol_is_refused_with_both_names() {
    let bus = Bus::new();
    let mut a = join(&bus, "a");
    let path = bus.path.to_str().unwrap();
    let mut other = start(&["bus", path, "--json", "--id", "b", "--protocol", "other/1"]);
    a.until(&json!({"event": "error", "code": "protocol", "peer": "b"}));
    let end = other.end();
    assert_eq!(end.code, 1);
    assert!(
        end.stderr.contains("json/1") && end.stderr.contains("other/1"),
        "{}",
        end.stderr
    );
    a.stop();
}

#[test]
fn a_member_whose_id_a_newer_process_has_ends_with_the_reason() {
    let bus = Bus::new();
    let [a, b, mut c] = three(&bus);
    // A member that has connected, and the listener.
    for (id, mut older) in [("b", b), ("a", a)] {
        let mut newer = join(&bus, id);
        older.until(&json!({"event": "error", "code": "replaced"}));
        let end = older.end();
        assert_eq!(end.code, 1);
        assert!(
            end.stderr.contains("does not admit this member"),
            "{}",
            end.stderr
        );
        newer.until(&member("c", "joined"));
        newer.write_line(json!({"publish": "mine"}));
        c.until(&message(id, "all", &json!("mine")));
        newer.stop();
    }
    c.stop();
}

#[test]
fn text_lines_are_heard_as_text() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let mut a = join(&bus, "a");
    let mut b = start(&["bus", path, "--id", "b"]);
    a.until(&member("b", "joined"));
    b.write_line("hello there");
    a.until(&message("b", "all", &json!("hello there")));
    a.write_line(json!({"publish": "and you"}));
    assert_eq!(b.line(), "a: and you");
    // The end of stdin ends it: something was read.
    drop(b.stdin());
    assert_eq!(b.wait_for_end().code, 0);
    a.until(&member("b", "left"));
    a.stop();
}

#[test]
fn scripts_send_ask_and_look_on() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let (code, _, stderr) = run(&["send", path, "to no member"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no other member is on the bus"), "{stderr}");
    for look in ["who", "tap", "doc"] {
        let (code, _, stderr) = run(&[look, path]);
        let is_named_once = stderr.matches(path).count() == 1;
        let is_said = stderr.contains("the path cannot be asked: ");
        assert!(code == 1 && is_said && is_named_once, "{stderr}");
    }

    let [mut a, mut b, c] = three(&bus);
    let raw = bus.path.with_file_name("raw");
    let mut tap = start(&[
        "tap",
        path,
        "--json",
        "--count",
        "1",
        "--raw",
        raw.to_str().unwrap(),
    ]);
    // It has begun when it has made its file.
    while !fs::exists(&raw).unwrap() {
        std::thread::yield_now();
    }
    let (code, _, stderr) = run(&["send", path, "from a script", "--id", "script"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let text = json!("from a script");
    a.until(&message("script", "all", &text));
    b.until(&message("script", "all", &text));
    assert_eq!(tap.next()["from"], "script");
    assert_eq!(tap.end().code, 0);
    let mut decode = command(["wire", "decode", "--raw"]);
    let decoded = decode
        .stdin(fs::File::open(&raw).unwrap())
        .output()
        .unwrap();
    let decoded = String::from_utf8(decoded.stdout).unwrap();
    assert_eq!(
        decoded,
        "[\"script\", [], 1, \"message\", \"from a script\"]\n"
    );

    let asking = std::thread::spawn({
        let path = path.to_owned();
        move || run(&["send", &path, "how many?", "--to", "b", "--request"])
    });
    let asked = b.until(&json!({"event": "request", "msg": "how many?"}));
    b.write_line(json!({"answer": 42, "id": asked["id"]}));
    assert_eq!(
        asking.join().unwrap(),
        (0, "42\n".to_owned(), String::new())
    );

    let (code, stdout, _) = run(&["who", path, "--json"]);
    let ids: Vec<_> = stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!((code, ids), (0, vec![json!("a"), json!("b"), json!("c")]));
    for process in [c, b, a] {
        process.stop();
    }
}

#[test]
fn a_script_is_told_of_a_member_that_does_not_answer() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let [mut a, b, c] = three(&bus);
    c.signal(Signal::STOP);
    let (code, _, stderr) = run(&["send", path, "hello", "--id", "script"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("not delivered to \"c\""), "{stderr}");
    a.until(&message("script", "all", &json!("hello")));
    c.signal(Signal::CONT);
    for process in [c, b, a] {
        process.stop();
    }
}

#[test]
fn a_kyneta_path_can_be_looked_at_without_joining_it() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let mut a = start(&["peer", path, "--json", "--id", "a", "--name", "Ann"]);
    a.until(&json!({"event": "role", "role": "listener"}));
    let mut b = start(&["peer", path, "--json", "--id", "b"]);
    b.until(&json!({"event": "peer", "peer": "a", "change": "established"}));
    a.until(&json!({"event": "peer", "peer": "b", "change": "established"}));

    let (code, stdout, _) = run(&["who", path, "--json"]);
    let who: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((code, who.len()), (0, 2), "{stdout}");
    assert_eq!(
        (&who[0]["id"], &who[0]["name"]),
        (&json!("a"), &json!("Ann"))
    );
    assert_eq!(
        (&who[1]["id"], &who[1]["uid"]),
        (&json!("b"), &who[0]["uid"])
    );

    let raw = bus.path.with_file_name("raw");
    let raw = raw.to_str().unwrap();
    let mut tap = start(&["tap", path, "--json", "--count", "2", "--raw", raw]);
    // It has begun when it has made its file.
    while !fs::exists(raw).unwrap() {
        std::thread::yield_now();
    }
    let dismiss = |doc: &str| json!({"type": "dismiss", "docId": doc});
    b.write_line(json!({"send": dismiss("up")}));
    a.until(&json!({"event": "message", "peer": "b", "msg": dismiss("up")}));
    a.write_line(json!({"send": dismiss("down")}));
    b.until(&json!({"event": "message", "peer": "a", "msg": dismiss("down")}));
    let seen = (tap.next(), tap.next());
    assert_eq!(seen.0["msg"], dismiss("up"));
    assert_eq!(
        (&seen.0["from"], &seen.0["to"]),
        (&json!("b"), &json!(["a"]))
    );
    assert_eq!(seen.1["msg"], dismiss("down"));
    assert_eq!(
        (&seen.1["from"], &seen.1["to"]),
        (&json!("a"), &json!(["b"]))
    );
    assert_eq!(tap.end().code, 0);
    let mut decode = command(["wire", "decode", "--raw"]);
    let decoded = decode.stdin(fs::File::open(raw).unwrap()).output().unwrap();
    let decoded = String::from_utf8(decoded.stdout).unwrap();
    let expected = [dismiss("up"), dismiss("down")];
    let decoded: Vec<Value> = decoded
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(decoded, expected);
    // Neither was a peer.
    a.write_line(json!({"send": dismiss("last")}));
    a.until(&json!({"event": "sent", "count": 1}));
    for process in [b, a] {
        process.stop();
    }
}

#[test]
fn the_status_of_a_bus_has_its_members_what_waits_and_its_counts() {
    let bus = Bus::new();
    let (path, status) = (
        bus.path.to_str().unwrap(),
        bus.path.with_file_name("s.sock"),
    );
    let status = status.to_str().unwrap();
    let mut a = start(&["bus", path, "--json", "--id", "a", "--status", status]);
    a.until(&json!({"event": "role", "role": "listener"}));
    let mut b = join(&bus, "b");
    a.until(&member("b", "joined"));
    b.write_line(json!({"publish": 1}));
    a.until(&message("b", "all", &json!(1)));
    let shown = start(&["status", status, "--json"]).next();
    let members = &shown["peers"];
    assert_eq!(
        (&shown["role"], &shown["id"]),
        (&json!("listener"), &json!("a"))
    );
    assert_eq!(
        (&members[0]["id"], &members[0]["queued"]["messages"]),
        (&json!("b"), &json!(0))
    );
    assert_eq!(
        (&shown["bus"]["joined"], &shown["bus"]["received"]),
        (&json!(1), &json!(1))
    );
    let (_, text, _) = run(&["status", status]);
    assert!(text.lines().any(|line| line == "received  1"), "{text}");

    // A process of another protocol is counted.
    start(&["bus", path, "--id", "c", "--protocol", "other/1"]).end();
    let mut stream = std::os::unix::net::UnixStream::connect(status).unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request).unwrap();
    let metrics = std::io::read_to_string(&mut stream).unwrap();
    let count = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|value| value.trim().parse::<u32>().ok())
    };
    assert_eq!(count("kyneta_uds_bus_joined_total "), Some(1), "{metrics}");
    // It may have tried once more before it ended.
    assert!(
        count("kyneta_uds_bus_refused_total ") >= Some(1),
        "{metrics}"
    );
    assert!(!metrics.contains("kyneta_uds_stalled_total"), "{metrics}");
    for process in [b, a] {
        process.stop();
    }
}

#[test]
fn a_message_for_a_path_of_another_kind_fails_with_the_reason() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let mut listener = start(&["listen", path, "--json"]);
    listener.until(&json!({"event": "listening"}));
    let (code, out, err) = run(&["send", path, "hello", "--timeout", "2000"]);
    assert_eq!((code, out.as_str()), (1, ""));
    let why = "cannot be joined: the connection failed: the listener speaks kyneta's protocol";
    assert!(err.contains(why), "{err}");
    listener.stop();
}

#[test]
fn a_bus_at_a_kyneta_path_is_refused_and_both_sides_say_why() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    for role in ["peer", "listen"] {
        let mut listener = start(&[role, path, "--json"]);
        listener.listens_as(role);
        let (code, out, err) = run(&["bus", path, "--json"]);
        assert_eq!(code, 1, "{out}");
        assert!(
            err.contains("the listener speaks kyneta's protocol"),
            "{err}"
        );
        let refused = listener.until(&json!({"event": "error", "code": "connection-failed"}));
        let why = refused["message"].as_str().unwrap();
        assert!(
            why.contains("does not speak kyneta's protocol: it is of a bus"),
            "{why}"
        );
        listener.stop();
    }
}

#[test]
fn a_kyneta_peer_at_the_path_of_a_bus_is_refused_and_both_sides_say_why() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let mut listener = start(&["bus", path, "--json", "--protocol", "shop/1"]);
    listener.until(&json!({"event": "role", "role": "listener"}));
    let why = "does not speak kyneta's protocol: it is of a bus";
    for args in [
        &["peer", path][..],
        &["peer", path, "--wire", "2"],
        &["connect", path, "--no-reconnect"],
        &["exchange", path],
    ] {
        let (code, _, err) = run(&[args, &["--json", "--id", "till"]].concat());
        assert!(code == 1 && err.contains(why), "{args:?}: {code} {err}");
    }
    let refused = listener.until(&json!({"event": "error", "code": "other-protocol"}));
    assert_eq!(refused["peer"], "till");
    assert_eq!(
        refused["message"],
        "the peer speaks kyneta's protocol, and the listener is a bus of \"shop/1\""
    );
    let (code, _, err) = run(&["doc", path]);
    assert!(code == 1 && err.contains("its listener is a bus"), "{err}");
    listener.stop();
}

#[test]
fn a_look_by_another_user_is_refused_and_says_why() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can change the uid");
        return;
    }
    for role in ["bus", "listen"] {
        let bus = Bus::new();
        let path = bus.path.to_str().unwrap();
        // The mode of the file allows it, the policy does not.
        let mut listener = start(&[role, path, "--json", "--mode", "666"]);
        listener.listens_as(role);
        while !bus.path.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        let dir = bus.path.parent().unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        for look in ["who", "tap", "doc"] {
            let mut other = std::process::Command::new("setpriv");
            let uid = ["--reuid", "4321", "--clear-groups"];
            let other = other.args(uid).arg(env!("CARGO_BIN_EXE_kyneta-uds"));
            let Ok(refused) = other.args([look, path]).output() else {
                println!("skipped: there is no `setpriv`");
                return;
            };
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(said.contains("does not allow this process"), "{said}");
        }
        listener.stop();
    }
}
