//! `connect` without a connection: its events, what waits, when it gives up.
//!
//! A failure shows the event that came instead of the awaited one, with all of its fields.

use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::{
    process::{Process, Signal, start},
    raw_peer::RawPeer,
    roles::{client, listener, listener_at},
    support::common::Bus,
};

fn msg(doc: &str) -> Value {
    json!({"type": "dismiss", "docId": doc})
}

fn sent() -> Value {
    json!({"event": "sent", "count": 1})
}

/// A client without a listener.
fn alone(bus: &Bus, options: &[&str]) -> Process {
    let path = bus.path.to_str().unwrap();
    start(&[&["connect", path, "--json"], options].concat())
}

#[test]
fn messages_sent_while_disconnected_arrive_in_order_after_the_reconnect() {
    for signal in [Signal::KILL, Signal::TERM] {
        let (bus, mut first) = listener(&["--id", "hub"]);
        let (mut client, _) = client(&bus, &["--id", "c", "--base-delay", "50"]);
        first.until(&json!({"event": "peer", "peer": "c"}));
        // A useful connection, so that its loss begins a new count of attempts.
        first.write_line(json!({"send": msg("useful")}));
        client.until(&json!({"event": "message"}));
        first.signal(signal);
        first.end();
        let gone = match signal {
            Signal::KILL => "disconnected",
            _ => "departed",
        };
        client.until(&json!({"event": "peer", "peer": "hub", "change": gone}));
        let waiting = client.next();
        assert_eq!(waiting["reason"], json!({"type": "closed"}), "{waiting}");
        assert_eq!(
            (&waiting["event"], &waiting["state"], &waiting["attempt"]),
            (&json!("state"), &json!("reconnecting"), &json!(1))
        );
        let delay = waiting["delay_ms"].as_u64().unwrap();
        assert!((50..=60).contains(&delay), "{waiting}");
        const MANY: usize = 20;
        for i in 0..MANY {
            client.write_line(json!({"send": msg(&i.to_string())}));
        }
        // A message for one peer does not wait for it.
        client.write_line(json!({"send": msg("lost"), "to": "hub"}));
        client.until(&json!({"event": "error", "code": "unknown-peer"}));

        let mut second = listener_at(&bus, &["--id", "hub", "--no-relay"]);
        client.until(&json!({"event": "state", "state": "connected"}));
        let back = client.next();
        let change = if signal == Signal::KILL {
            "reconnected"
        } else {
            "established"
        };
        assert_eq!(back["change"], change, "{back}");
        for _ in 0..MANY {
            assert_eq!(client.next(), sent());
        }
        assert_eq!(client.next(), json!({"event": "sent", "count": 0}));
        second.until(&json!({"event": "peer", "peer": "c", "change": "established"}));
        for i in 0..MANY {
            assert_eq!(second.next()["msg"], msg(&i.to_string()));
        }
        client.stop();
        second.stop();
    }
}

#[test]
fn stdin_is_read_before_a_process_listens() {
    let bus = Bus::new();
    let mut client = alone(&bus, &["--base-delay", "20", "--retries", "1000"]);
    client.write_line(json!({"send": msg("early")}));
    client.until(&json!({"event": "state", "state": "reconnecting"}));
    let mut hub = listener_at(&bus, &[]);
    client.until(&sent());
    hub.until(&json!({"event": "message", "msg": msg("early")}));
    client.stop();
    hub.stop();
}

#[test]
fn it_gives_up_after_the_retries_and_prints_the_cause() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let mut client = alone(
        &bus,
        &["--retries", "3", "--base-delay", "1", "--max-delay", "3"],
    );
    let refused = format!(
        "no connection: {path}: no process listens: No such file or directory (os error 2)"
    );
    for attempt in 1..=3 {
        let connecting = json!({"event": "state", "state": "connecting", "attempt": attempt});
        assert_eq!(client.next(), connecting);
        if attempt < 3 {
            let waiting = client.next();
            assert!(waiting["delay_ms"].as_u64().unwrap() <= 3, "{waiting}");
            let expected = json!({"event": "state", "state": "reconnecting",
                "attempt": attempt + 1, "delay_ms": waiting["delay_ms"],
                "reason": {"type": "error", "message": refused}});
            assert_eq!(waiting, expected);
        }
    }
    let reason = json!({"type": "max-retries-exceeded", "attempts": 3});
    let last = json!({"event": "state", "state": "disconnected", "reason": reason});
    assert_eq!(client.next(), last);
    let end = client.end();
    assert_eq!((end.code, end.rest.len()), (1, 0));
    assert_eq!(
        end.stderr,
        format!(
            "kyneta-uds: gave up after 3 attempts: the path could not be connected to: {refused}\n"
        )
    );
}

#[test]
fn without_reconnect_it_ends_when_the_connection_is_lost() {
    let (bus, mut hub) = listener(&["--id", "hub"]);
    let (mut client, _) = client(&bus, &["--no-reconnect"]);
    hub.signal(Signal::KILL);
    hub.end();
    let gone = json!({"event": "peer", "peer": "hub", "change": "disconnected"});
    client.until(&gone);
    let reason = json!({"type": "closed"});
    let last = json!({"event": "state", "state": "disconnected", "reason": reason});
    assert_eq!(client.next(), last);
    let end = client.end();
    assert_eq!((end.code, end.rest.len()), (1, 0));
    assert!(end.stderr.contains(bus.path.to_str().unwrap()), "{end:?}");
}

#[test]
fn a_signal_ends_it_while_it_waits_and_while_it_connects() {
    let ends_well = |mut client: Process| {
        client.signal(Signal::TERM);
        let end = client.end();
        assert_eq!((end.code, end.stderr.as_str()), (0, ""));
        let reason = json!({"type": "intentional"});
        let last = json!({"event": "state", "state": "disconnected", "reason": reason});
        let event: Value = serde_json::from_str(end.rest.last().unwrap()).unwrap();
        assert_eq!(event, last);
    };
    let bus = Bus::new();
    let mut waiting = alone(&bus, &[]);
    waiting.until(&json!({"event": "state", "state": "reconnecting"}));
    ends_well(waiting);

    let _silent = UnixListener::bind(&bus.path).unwrap();
    let mut connecting = alone(&bus, &[]);
    connecting.until(&json!({"event": "state", "state": "connecting"}));
    ends_well(connecting);
}

#[test]
fn it_disconnects_from_a_listener_that_never_reads_and_reconnects() {
    let bus = Bus::new();
    let socket = UnixListener::bind(&bus.path).unwrap();
    let options = [
        "--stall-limit",
        "200",
        "--max-queue",
        "2",
        "--base-delay",
        "1",
    ];
    let mut client = alone(&bus, &[&["--wire", "3"][..], &options].concat());
    let _never_reads = RawPeer::accept(&socket, 3, "hub");
    client.until(&json!({"event": "state", "state": "connected"}));
    let data = "00".repeat(64 << 10);
    for i in 0..20 {
        client.write_line(format!(
            r#"{{"send":{{"type":"offer","docId":"d","version":"{i}","payload":{{"kind":"since","encoding":"binary","data":{{"$bytes":"{data}"}}}}}}}}"#
        ));
    }
    client.until(&json!({"event": "error", "code": "stalled", "peer": "hub"}));
    client.until(&json!({"event": "peer", "peer": "hub", "change": "disconnected"}));
    let waiting = client.until(&json!({"event": "state", "state": "reconnecting"}));
    let why = waiting["reason"]["message"].as_str().unwrap();
    assert!(why.contains("does not read"), "{waiting}");
    let _again = RawPeer::accept(&socket, 3, "hub");
    client.until(&json!({"event": "state", "state": "connected"}));
}

#[test]
fn a_client_without_a_listener_reports_why_it_waits_after_a_second_and_later() {
    let bus = Bus::new();
    let mut client = alone(
        &bus,
        &[
            "--base-delay",
            "100",
            "--max-delay",
            "100",
            "--retries",
            "1000",
        ],
    );
    let refused = format!("{}: no process listens: No such file", bus.path.display());
    let mut last = 0;
    for at_least in [1000, 2000] {
        let waiting = client.until(&json!({"event": "waiting"}));
        assert!(
            waiting["why"].as_str().unwrap().contains(&refused),
            "{waiting}"
        );
        let for_ms = waiting["for_ms"].as_u64().unwrap();
        assert!(for_ms >= at_least && for_ms > last, "{waiting}");
        last = for_ms;
    }
    // The event is enough: no log line repeats it.
    assert_eq!(client.stop().stderr, "");
}
