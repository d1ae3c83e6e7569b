//! `peer`: the first listens, the rest connect, survivors take over.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use serde_json::{Value, json};

use crate::{
    process::{Process, Signal, start},
    raw_peer::Raw,
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
    let mut process = start(&[&["peer", path, "--json", "--id", id], options].concat());
    assert_eq!(process.next(), role("negotiating"));
    process
}

/// The first at its path.
fn first(bus: &Bus, id: &str, options: &[&str]) -> Process {
    let mut process = enter(bus, id, options);
    assert_eq!(process.next(), role("listener"));
    process
}

/// One more, which `hub` has met.
fn another(bus: &Bus, id: &str, hub: (&mut Process, &str)) -> Process {
    let mut process = enter(bus, id, &[]);
    assert_eq!(process.next(), role("connector"));
    let met = process.next();
    assert_eq!(
        (&met["peer"], &met["change"]),
        (&json!(hub.1), &json!("established"))
    );
    hub.0.until(&change(id, "established"));
    process
}

/// Its next role that is one.
fn settled(process: &mut Process) -> String {
    loop {
        let event = process.until(&json!({"event": "role"}));
        let role = event["role"].as_str().unwrap();
        if role != "negotiating" {
            return role.to_owned();
        }
    }
}

/// Nothing is left at the path or beside it.
fn is_clean(bus: &Bus) -> bool {
    let directory = bus.path.parent().unwrap();
    fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn alone_it_listens_and_its_messages_go_to_nobody() {
    let bus = Bus::new();
    let mut a = first(&bus, "a", &["--mode", "640"]);
    let mode = fs::metadata(&bus.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    a.say(json!({"send": msg("d")}));
    assert_eq!(a.next(), sent(0));
    a.say(json!({"quit": true}));
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

    a.say(json!({"send": msg("to all")}));
    assert_eq!(a.next(), sent(2));
    assert_eq!(b.next(), from("a", "to all"));
    assert_eq!(c.next(), from("a", "to all"));
    a.say(json!({"send": msg("to b"), "to": "b"}));
    assert_eq!(a.next(), sent(1));
    assert_eq!(b.next(), from("a", "to b"));
    for line in [
        json!({"send": msg("x")}),
        json!({"send": msg("x"), "to": "a"}),
    ] {
        b.say(line);
        assert_eq!(b.next(), sent(1));
        assert_eq!(a.next(), from("b", "x"));
    }
    // Connectors know the listener alone.
    b.say(json!({"send": msg("x"), "to": "c"}));
    let error = b.next();
    assert_eq!(error["code"], "unknown-peer", "{error}");
    assert_eq!(b.next(), sent(0));
    let offer = json!({"type": "offer", "docId": "d", "version": "1",
                       "payload": {"kind": "since", "encoding": "json", "data": "{}"}});
    c.say(json!({"send": offer}));
    c.until(&json!({"event": "message", "peer": "a", "msg": offer}));
    for process in [c, b, a] {
        process.stop();
    }
    assert!(is_clean(&bus));
}

#[test]
fn the_survivors_are_one_bus_again_and_what_was_said_meanwhile_arrives() {
    for (signal, parting) in [
        (Signal::KILL, "disconnected"),
        (Signal::TERM, "departed"),
        (Signal::INT, "departed"),
    ] {
        let bus = Bus::new();
        let mut a = first(&bus, "a", &[]);
        let mut b = another(&bus, "b", (&mut a, "a"));
        let mut c = another(&bus, "c", (&mut a, "a"));
        a.signal(signal);
        b.until(&change("a", parting));
        const MANY: usize = 20;
        for i in 0..MANY {
            b.say(json!({"send": msg(&i.to_string())}));
        }
        c.until(&change("a", parting));
        let mut roles = [settled(&mut b), settled(&mut c)];
        b.until(&change("c", "established"));
        c.until(&change("b", "established"));
        for i in 0..MANY {
            assert_eq!(c.next()["msg"], msg(&i.to_string()));
            assert_eq!(b.next(), sent(1));
        }
        c.say(json!({"send": msg("back")}));
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
fn all_who_begin_and_end_at_once_have_one_listener_and_leave_nothing() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    for _ in 0..3 {
        let mut all = [(); 4].map(|()| start(&["peer", path, "--json"]));
        let roles = all.each_mut().map(settled);
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
fn what_is_in_its_way_is_named_and_left_alone() {
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
    // To root nothing is closed.
    if fs::write(at("closed/probe"), "").is_err() {
        cases.push((at("closed/bus.sock"), "ermission denied"));
    }
    for (path, why) in cases {
        let path = path.to_str().unwrap();
        let end = start(&["peer", path, "--json"]).end();
        assert_eq!(end.code, 1, "{end:?}");
        let said = end.stderr.lines().collect::<Vec<_>>();
        assert_eq!(said.len(), 1, "{end:?}");
        assert!(said[0].contains(path) && said[0].contains(why), "{end:?}");
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
fn two_with_one_name_are_told_of() {
    let bus = Bus::new();
    let mut a = first(&bus, "a", &[]);
    let b = another(&bus, "b", (&mut a, "a"));
    let _same = Raw::introduced(&bus, 3, "b");
    a.until(&json!({"event": "error", "code": "duplicate-peer", "peer": "b"}));
    let _self = Raw::introduced(&bus, 3, "a");
    a.until(&json!({"event": "error", "code": "self-connection", "peer": "a"}));
    b.stop();
}

#[test]
fn a_listener_that_does_not_answer_is_waited_for_and_a_signal_heard() {
    let bus = Bus::new();
    let foreign = UnixListener::bind(&bus.path).unwrap();
    let mut a = enter(&bus, "a", &[]);
    a.say(json!({"send": msg("waits")}));
    a.say("rubbish");
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
fn who_does_not_read_is_cut_and_the_rest_go_on() {
    let offers = |process: &mut Process| {
        let data = "00".repeat(64 << 10);
        for i in 0..20 {
            process.say(format!(
                r#"{{"send":{{"type":"offer","docId":"d","version":"{i}","payload":{{"kind":"since","encoding":"binary","data":{{"$bytes":"{data}"}}}}}}}}"#
            ));
        }
    };
    let options = ["--stall-limit", "200", "--max-queue", "2"];
    // As the listener.
    let bus = Bus::new();
    let mut a = first(&bus, "a", &options);
    let mut b = another(&bus, "b", (&mut a, "a"));
    let _stubborn = Raw::introduced(&bus, 3, "stubborn");
    a.until(&change("stubborn", "established"));
    offers(&mut a);
    a.until(&json!({"event": "error", "code": "stalled", "peer": "stubborn"}));
    a.until(&change("stubborn", "disconnected"));
    for i in 0..20 {
        assert_eq!(b.next()["msg"]["version"], i.to_string());
    }
    a.stop();
    b.stop();

    // As a connector, which goes on as one of many.
    let bus = Bus::new();
    let socket = UnixListener::bind(&bus.path).unwrap();
    let mut a = enter(&bus, "a", &[&["--wire", "3"][..], &options].concat());
    let _stubborn = Raw::accept(&socket, 3, "stubborn");
    a.until(&change("stubborn", "established"));
    offers(&mut a);
    a.until(&json!({"event": "error", "code": "stalled", "peer": "stubborn"}));
    a.until(&change("stubborn", "disconnected"));
    a.until(&role("negotiating"));
    let _again = Raw::accept(&socket, 3, "stubborn");
    a.until(&role("connector"));
}
