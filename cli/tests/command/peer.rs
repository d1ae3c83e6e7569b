//! `peer`: the first listens, the rest connect, survivors take over.
//!
//! A failure shows the event that came instead of the awaited one, or the file that was left.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use serde_json::{Value, json};

use crate::{
    process::{Process, Signal, start},
    raw_peer::RawPeer,
    support::common::Bus,
};

fn msg(doc: &str) -> Value {
    json!({"type": "dismiss", "docId": doc})
}

fn sent(count: usize) -> Value {
    json!({"event": "sent", "count": count})
}

fn role(role: &str) -> Value {
    json!({"event": "role", "role": role})
}

fn change(peer: &str, change: &str) -> Value {
    json!({"event": "peer", "peer": peer, "change": change})
}

fn enter(bus: &Bus, id: &str, options: &[&str]) -> Process {
    let path = bus.path.to_str().unwrap();
    let args = ["peer", path, "--json", "--id", id, "--no-relay"];
    let mut process = start(&[&args, options].concat());
    assert_eq!(process.next(), role("negotiating"));
    process
}

/// The first peer at its path.
fn first(bus: &Bus, id: &str, options: &[&str]) -> Process {
    let mut process = enter(bus, id, options);
    assert_eq!(process.next(), role("listener"));
    process
}

/// One more peer, connected to `hub`.
fn another(bus: &Bus, id: &str, hub: (&mut Process, &str)) -> Process {
    let mut process = enter(bus, id, &[]);
    assert_eq!(process.next(), role("connector"));
    let event = process.next();
    assert_eq!(
        (&event["peer"], &event["change"]),
        (&json!(hub.1), &json!("established"))
    );
    hub.0.until(&change(id, "established"));
    process
}

/// True if the directory of the path is empty.
fn is_clean(bus: &Bus) -> bool {
    let directory = bus.path.parent().unwrap();
    fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn alone_it_listens_and_its_messages_go_to_no_peer() {
    let bus = Bus::new();
    let mut a = first(&bus, "a", &["--mode", "640"]);
    let mode = fs::metadata(&bus.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    a.write_line(json!({"send": msg("d")}));
    assert_eq!(a.next(), sent(0));
    a.write_line(json!({"quit": true}));
    assert_eq!(a.next(), role("disposed"));
    let end = a.end();
    assert_eq!((end.code, end.stderr.as_str(), end.rest.len()), (0, "", 0));
    assert!(is_clean(&bus));
}

#[test]
fn messages_go_both_ways_to_one_and_to_all() {
    let bus = Bus::new();
    let mut a = first(&bus, "a", &["--echo"]);
    let mut b = another(&bus, "b", (&mut a, "a"));
    let mut c = another(&bus, "c", (&mut a, "a"));
    let from = |peer: &str, doc: &str| json!({"event": "message", "peer": peer, "msg": msg(doc)});

    a.write_line(json!({"send": msg("to all")}));
    assert_eq!(a.next(), sent(2));
    assert_eq!(b.next(), from("a", "to all"));
    assert_eq!(c.next(), from("a", "to all"));
    a.write_line(json!({"send": msg("to b"), "to": "b"}));
    assert_eq!(a.next(), sent(1));
    assert_eq!(b.next(), from("a", "to b"));
    for line in [
        json!({"send": msg("x")}),
        json!({"send": msg("x"), "to": "a"}),
    ] {
        b.write_line(line);
        assert_eq!(b.next(), sent(1));
        assert_eq!(a.next(), from("b", "x"));
    }
    // Connectors know the listener alone.
    b.write_line(json!({"send": msg("x"), "to": "c"}));
    let error = b.next();
    assert_eq!(error["code"], "unknown-peer", "{error}");
    assert_eq!(b.next(), sent(0));
    let offer = json!({"type": "offer", "docId": "d", "version": "1",
                       "payload": {"kind": "since", "encoding": "json", "data": "{}"}});
    c.write_line(json!({"send": offer}));
    c.until(&json!({"event": "message", "peer": "a", "msg": offer}));
    for process in [c, b, a] {
        process.stop();
    }
    assert!(is_clean(&bus));
}

#[test]
fn the_survivors_are_one_bus_again_and_messages_sent_meanwhile_arrive() {
    for (signal, end_of_a) in [
        (Signal::KILL, "disconnected"),
        (Signal::TERM, "departed"),
        (Signal::INT, "departed"),
    ] {
        let bus = Bus::new();
        let mut a = first(&bus, "a", &[]);
        let mut b = another(&bus, "b", (&mut a, "a"));
        let mut c = another(&bus, "c", (&mut a, "a"));
        a.signal(signal);
        b.until(&change("a", end_of_a));
        const MANY: usize = 20;
        for i in 0..MANY {
            b.write_line(json!({"send": msg(&i.to_string())}));
        }
        c.until(&change("a", end_of_a));
        let mut roles = [b.settled(), c.settled()];
        b.until(&change("c", "established"));
        c.until(&change("b", "established"));
        for i in 0..MANY {
            assert_eq!(c.next()["msg"], msg(&i.to_string()));
            assert_eq!(b.next(), sent(1));
        }
        c.write_line(json!({"send": msg("back")}));
        b.until(&json!({"event": "message", "peer": "c", "msg": msg("back")}));
        roles.sort();
        assert_eq!(roles, ["connector", "listener"]);
        let end = a.end();
        if signal == Signal::KILL {
            assert_eq!(end.code, -9);
        } else {
            assert_eq!((end.code, end.stderr.as_str()), (0, ""));
            let last = end.rest.last().unwrap();
            assert_eq!(last, r#"{"event":"role","role":"disposed"}"#);
        }
        b.stop();
        c.stop();
        assert!(is_clean(&bus));
    }
}

#[test]
fn peers_that_start_and_end_at_once_have_one_listener_and_leave_no_file() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    for _ in 0..3 {
        let mut all = [(); 4].map(|()| start(&["peer", path, "--json"]));
        let roles = all.each_mut().map(Process::settled);
        let listeners = roles.iter().filter(|role| *role == "listener").count();
        assert_eq!(listeners, 1, "{roles:?}");
        for process in &all {
            process.signal(Signal::TERM);
        }
        for process in &mut all {
            let end = process.end();
            assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{end:?}");
        }
        assert!(is_clean(&bus));
    }
}

#[test]
fn an_obstacle_at_the_path_is_named_and_not_removed() {
    let bus = Bus::new();
    let at = |name: &str| bus.path.with_file_name(name);
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("file"), "precious").unwrap();
    fs::create_dir(at("closed")).unwrap();
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    let mut cases = vec![
        (at("directory"), "is not a socket"),
        (at("file"), "is not a socket"),
        (at("nowhere/bus.sock"), "does not exist"),
    ];
    // Root can write anywhere.
    if fs::write(at("closed/probe"), "").is_err() {
        cases.push((at("closed/bus.sock"), "ermission denied"));
    }
    for (path, why) in cases {
        let path = path.to_str().unwrap();
        let end = start(&["peer", path, "--json"]).end();
        assert_eq!(end.code, 1, "{end:?}");
        let lines = end.stderr.lines().collect::<Vec<_>>();
        assert_eq!(lines.len(), 1, "{end:?}");
        assert!(lines[0].contains(path) && lines[0].contains(why), "{end:?}");
        let events: Vec<Value> = end
            .rest
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [negotiating, error, disposed] = &events[..] else {
            panic!("{events:#?}")
        };
        assert_eq!(
            (negotiating, disposed),
            (&role("negotiating"), &role("disposed"))
        );
        assert_eq!(error["code"], "in-the-way", "{error}");
        assert!(error["message"].as_str().unwrap().contains(path), "{error}");
    }
    assert_eq!(fs::read(at("file")).unwrap(), b"precious");
    assert!(at("directory").is_dir());
    let long = format!("/tmp/{}", "x".repeat(200));
    let end = start(&["peer", &long]).end();
    assert_eq!(end.code, 2, "{end:?}");
    assert!(end.stderr.contains(&long), "{end:?}");
}

#[test]
fn two_peers_with_one_id_give_an_error_event() {
    let bus = Bus::new();
    let mut a = first(&bus, "a", &[]);
    let b = another(&bus, "b", (&mut a, "a"));
    let _same = RawPeer::established(&bus, 3, "b");
    a.until(&json!({"event": "error", "code": "duplicate-peer", "peer": "b"}));
    let _self = RawPeer::established(&bus, 3, "a");
    a.until(&json!({"event": "error", "code": "self-connection", "peer": "a"}));
    b.stop();
}

#[test]
fn it_waits_for_a_listener_that_does_not_answer_and_ends_at_a_signal() {
    let bus = Bus::new();
    let foreign = UnixListener::bind(&bus.path).unwrap();
    let mut a = enter(&bus, "a", &[]);
    a.write_line(json!({"send": msg("waits")}));
    a.write_line("invalid");
    // Then the message was read.
    a.until(&json!({"event": "waiting"}));
    a.signal(Signal::TERM);
    let end = a.end();
    assert_eq!(end.code, 0, "{end:?}");
    // The message that waited for a role was not sent.
    let rest = [
        r#"{"event":"sent","count":0}"#,
        r#"{"event":"role","role":"disposed"}"#,
    ];
    assert_eq!(end.rest, rest);
    assert!(bus.path.exists());
    drop(foreign);
}

#[test]
fn a_peer_that_never_reads_is_disconnected_and_the_others_go_on() {
    let offers = |process: &mut Process| {
        let data = "00".repeat(64 << 10);
        for i in 0..20 {
            process.write_line(format!(
                r#"{{"send":{{"type":"offer","docId":"d","version":"{i}","payload":{{"kind":"since","encoding":"binary","data":{{"$bytes":"{data}"}}}}}}}}"#
            ));
        }
    };
    let options = ["--stall-limit", "200", "--max-queue", "2"];
    // As the listener.
    let bus = Bus::new();
    let mut a = first(&bus, "a", &options);
    let mut b = another(&bus, "b", (&mut a, "a"));
    let _never_reads = RawPeer::established(&bus, 3, "never-reads");
    a.until(&change("never-reads", "established"));
    offers(&mut a);
    a.until(&json!({"event": "error", "code": "stalled", "peer": "never-reads"}));
    a.until(&change("never-reads", "disconnected"));
    for i in 0..20 {
        assert_eq!(b.next()["msg"]["version"], i.to_string());
    }
    a.stop();
    b.stop();

    // As a connector, which then negotiates again.
    let bus = Bus::new();
    let socket = UnixListener::bind(&bus.path).unwrap();
    let mut a = enter(&bus, "a", &[&["--wire", "3"][..], &options].concat());
    let _never_reads = RawPeer::accept(&socket, 3, "never-reads");
    a.until(&change("never-reads", "established"));
    offers(&mut a);
    a.until(&json!({"event": "error", "code": "stalled", "peer": "never-reads"}));
    a.until(&change("never-reads", "disconnected"));
    a.until(&role("negotiating"));
    let _again = RawPeer::accept(&socket, 3, "never-reads");
    a.until(&role("connector"));
}
