//! `listen --take-over`: a restart that no client sees.
//!
//! Clients send and are answered all the while. A failure shows the first line at a client that is no answer, or what
//! a successor has said.

mod between;
mod crashes;

use serde_json::{Value, json};

use crate::{
    process::{Process, Signal, start},
    support::common::Bus,
};

fn offer(number: u32) -> Value {
    json!({"send": {"type": "offer", "docId": "d", "version": number.to_string(),
        "payload": {"kind": "since", "encoding": "json", "data": "x"}}})
}

fn listen(bus: &Bus, more: &[&str]) -> Process {
    start(&[&["listen", bus.at(), "--json", "--stay"], more].concat())
}

/// The versions of the offers that have come back; anything that shows the restart fails.
fn echoes(client: &mut Process, count: u32) -> Vec<u32> {
    let mut seen = Vec::new();
    while seen.len() < count as usize {
        let line = client.next();
        match line["event"].as_str() {
            Some("message") => seen.push(line["msg"]["version"].as_str().unwrap().parse().unwrap()),
            Some("sent") => {}
            _ => panic!("{line}"),
        }
    }
    seen
}

#[test]
fn clients_that_talk_see_nothing_of_ten_restarts() {
    let bus = Bus::new();
    let mut server = listen(&bus, &["--echo", "--take-over"]);
    server.until(&json!({"event": "listening"}));
    let mut clients: Vec<_> = (0..6)
        .map(|n| {
            let id = format!("c{n}");
            let mut client = start(&["connect", bus.at(), "--json", "--stay", "--id", &id]);
            client.until(&json!({"event": "peer", "change": "established"}));
            client
        })
        .collect();
    let mut sent = 0;
    for _ in 0..10 {
        for _ in 0..20 {
            clients
                .iter_mut()
                .for_each(|client| client.write_line(offer(sent)));
            sent += 1;
        }
        let mut successor = listen(&bus, &["--echo", "--take-over"]);
        let took = successor.until(&json!({"event": "took-over", "connections": 6}));
        assert_eq!(took["pid"], server.pid());
        let handed = server.until(&json!({"event": "handed-over"}));
        assert_eq!(handed["pid"], successor.pid());
        let end = server.end();
        assert_eq!((end.code, end.stderr.as_str()), (0, ""));
        server = successor;
    }
    for client in &mut clients {
        assert_eq!(echoes(client, sent), (0..sent).collect::<Vec<_>>());
    }
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, 0);
}

#[test]
fn where_none_offers_it_fails_and_where_none_listens_it_binds() {
    let bus = Bus::new();
    let mut first = listen(&bus, &["--no-relay"]);
    first.until(&json!({"event": "listening"}));
    let end = listen(&bus, &["--no-relay", "--take-over"]).finish();
    assert_eq!(end.code, 1);
    assert!(end.stderr.contains("offers no handoff"), "{}", end.stderr);
    first.signal(Signal::KILL);
    first.end();
    let mut second = listen(&bus, &["--no-relay", "--take-over"]);
    second.until(&json!({"event": "listening"}));
    assert_eq!(second.stop().code, 0);
    assert!(!bus.path.exists());
}

/// A successor that says this and ends.
pub(crate) fn ask(path: &str, word: Option<&[u8]>) {
    use rustix::net::{
        AddressFamily, SendFlags, SocketAddrUnix, SocketType, connect, send, socket,
    };
    let control = format!("{path}.handoff");
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(control.as_str()).unwrap()).unwrap();
    if let Some(word) = word {
        send(&socket, word, SendFlags::empty()).unwrap();
    }
}

#[test]
fn a_successor_that_says_rubbish_or_dies_leaves_the_old_one_serving() {
    for command in ["listen", "peer"] {
        let bus = Bus::new();
        let with = ["--json", "--stay", "--echo", "--offer-handoff"];
        let mut server = start(&[&[command, bus.at()], &with[..]].concat());
        match command {
            "peer" => server.until(&json!({"event": "role", "role": "listener"})),
            _ => server.until(&json!({"event": "listening"})),
        };
        let mut client = start(&["connect", bus.at(), "--json", "--stay", "--id", "c"]);
        client.until(&json!({"event": "peer", "change": "established"}));
        for (number, word) in [(0, Some(&b"rubbish"[..])), (1, None)] {
            ask(bus.at(), word);
            let line = server.until(&json!({"event": "error", "code": "not-handed-over"}));
            assert!(line["message"].is_string());
            client.write_line(offer(number));
            assert_eq!(echoes(&mut client, 1), [number]);
        }
        // And the next one that asks takes over.
        let mut successor = start(&[&[command, bus.at()], &with[..], &["--take-over"]].concat());
        successor.until(&json!({"event": "took-over", "connections": 1}));
        assert_eq!(server.end().code, 0);
        client.write_line(offer(2));
        assert_eq!(echoes(&mut client, 1), [2]);
        assert_eq!(successor.stop().code, 0);
    }
}

#[test]
fn connectors_that_talk_see_nothing_of_ten_restarts_of_a_leaderless_listener() {
    let bus = Bus::new();
    let peer = |more: &[&str]| start(&[&["peer", bus.at(), "--json", "--stay"], more].concat());
    let mut listener = peer(&["--echo", "--take-over"]);
    listener.until(&json!({"event": "role", "role": "listener"}));
    let mut connectors: Vec<_> = (0..4)
        .map(|n| {
            let mut connector = peer(&["--id", &format!("c{n}")]);
            connector.until(&json!({"event": "role", "role": "connector"}));
            connector.until(&json!({"event": "peer", "change": "established"}));
            connector
        })
        .collect();
    let mut sent = 0;
    for _ in 0..10 {
        for _ in 0..20 {
            connectors
                .iter_mut()
                .for_each(|connector| connector.write_line(offer(sent)));
            sent += 1;
        }
        let mut successor = peer(&["--echo", "--take-over"]);
        let took = successor.until(&json!({"event": "took-over", "connections": 4}));
        assert_eq!(took["pid"], listener.pid());
        successor.until(&json!({"event": "role", "role": "listener"}));
        let handed = listener.until(&json!({"event": "handed-over"}));
        assert_eq!(handed["pid"], successor.pid());
        let end = listener.end();
        assert_eq!((end.code, end.stderr.as_str()), (0, ""));
        listener = successor;
    }
    for connector in &mut connectors {
        assert_eq!(echoes(connector, sent), (0..sent).collect::<Vec<_>>());
    }
    // A peer that joins now finds it, and the path goes with the last one.
    let mut late = peer(&["--id", "late"]);
    late.until(&json!({"event": "role", "role": "connector"}));
    late.stop();
    connectors.into_iter().for_each(|connector| {
        connector.stop();
    });
    assert_eq!(listener.stop().code, 0);
    assert!(!bus.path.exists());
    assert!(!std::path::Path::new(&format!("{}.handoff", bus.at())).exists());
}

#[test]
fn a_peer_that_finds_no_offer_joins_and_says_so() {
    let bus = Bus::new();
    let peer = |more: &[&str]| start(&[&["peer", bus.at(), "--json", "--stay"], more].concat());
    let mut listener = peer(&[]);
    listener.until(&json!({"event": "role", "role": "listener"}));
    let mut other = peer(&["--take-over"]);
    other.until(&json!({"event": "role", "role": "connector"}));
    let line = other.until(&json!({"event": "error", "code": "not-taken-over"}));
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("offers no handoff"), "{message}");
    // As the next listener it offers.
    listener.signal(Signal::KILL);
    listener.end();
    other.until(&json!({"event": "role", "role": "listener"}));
    let mut successor = peer(&["--take-over"]);
    successor.until(&json!({"event": "took-over", "connections": 0}));
    other.until(&json!({"event": "handed-over"}));
    assert_eq!(other.end().code, 0);
    assert_eq!(successor.stop().code, 0);
}
