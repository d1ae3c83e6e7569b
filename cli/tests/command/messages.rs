//! Messages between commands: of every size, in both wire versions, to one and to all.
//!
//! A failure says the size, and the beginning of the line that came instead.

use serde_json::json;

use crate::roles::{client, listener};

/// The line that sends an offer of bytes that are not all the same; and the message in it.
fn offer(size: usize) -> (String, String) {
    // The pattern begins again every 256 bytes.
    let period: String = (0..256)
        .map(|i| format!("{:02x}", (i * 31 + 7) as u8))
        .collect();
    let mut hex = period.repeat(size.div_ceil(256));
    hex.truncate(2 * size);
    let msg = format!(
        r#"{{"type":"offer","docId":"d","payload":{{"kind":"since","encoding":"binary","data":{{"$bytes":"{hex}"}}}},"version":"{size}"}}"#
    );
    (format!("{{\"send\":{msg}}}\n"), msg)
}

#[test]
fn messages_from_0_bytes_to_16_mib_are_echoed_intact_and_in_order() {
    const SMALL: &[usize] = &[0, 1, 23, 24, 255, 256, 65_535, 65_536, 1 << 20, 5];
    let large = [SMALL, &[16 << 20, 6]].concat();
    for (wire, sizes) in [("2", SMALL), ("3", &large)] {
        let (bus, listener) = listener(&["--echo", "--id", "echo"]);
        let (mut client, _) = client(&bus, &["--wire", wire]);
        let offers: Vec<_> = sizes.iter().copied().map(offer).collect();
        let mut stdin = client.stdin();
        let lines: String = offers.iter().map(|(line, _)| line.as_str()).collect();
        let writing = std::thread::spawn(move || {
            std::io::Write::write_all(&mut stdin, lines.as_bytes()).unwrap();
            stdin
        });
        let (mut sent, mut back) = (0, 0);
        while sent < sizes.len() || back < sizes.len() {
            let line = client.line();
            if line == r#"{"event":"sent","count":1}"# {
                sent += 1;
                continue;
            }
            let (_, msg) = &offers[back];
            let expected = format!(r#"{{"event":"message","peer":"echo","msg":{msg}}}"#);
            assert!(line == expected, "{} bytes: {:.200}", sizes[back], line);
            back += 1;
        }
        let _stdin = writing.join().unwrap();
        client.stop();
        listener.stop();
    }
}

#[test]
fn both_wire_versions_are_served_at_once_and_distinguished() {
    let (bus, mut listener) = listener(&["--id", "hub", "--no-relay"]);
    let (mut old, to_old) = client(
        &bus,
        &[
            "--id",
            "old",
            "--wire",
            "2",
            "--name",
            "Old",
            "--no-reconnect",
        ],
    );
    let (mut new, to_new) = client(
        &bus,
        &[
            "--id",
            "new",
            "--wire",
            "3",
            "--type",
            "bot",
            "--no-reconnect",
        ],
    );
    let hub = |wire: u8| {
        json!({"event": "peer", "peer": "hub", "change": "established", "type": "service",
               "wire": wire, "pid": listener.pid(), "uid": to_old["uid"]})
    };
    assert_eq!((&to_old, &to_new), (&hub(2), &hub(3)));
    let uid = &to_old["uid"];
    let expected = [
        json!({"event": "peer", "peer": "old", "change": "established", "name": "Old",
               "type": "service", "wire": 2, "pid": old.pid(), "uid": uid}),
        json!({"event": "peer", "peer": "new", "change": "established",
               "type": "bot", "wire": 3, "pid": new.pid(), "uid": uid}),
    ];
    for event in expected {
        assert_eq!(listener.next(), event);
    }

    // From each client, to one, to all, to an unknown peer.
    let msg = |doc: &str| json!({"type": "dismiss", "docId": doc});
    old.write_line(json!({"send": msg("from old")}));
    new.write_line(json!({"send": msg("from new")}));
    let mut received = [listener.next(), listener.next()];
    received.sort_by_key(|event| event["peer"].to_string());
    assert_eq!(
        received[0],
        json!({"event": "message", "peer": "new", "msg": msg("from new")})
    );
    assert_eq!(
        received[1],
        json!({"event": "message", "peer": "old", "msg": msg("from old")})
    );
    listener.write_line(json!({"send": msg("one"), "to": "old"}));
    listener.write_line(json!({"send": msg("all")}));
    listener.write_line(json!({"send": msg("lost"), "to": "missing"}));
    // An error comes at once, a count when the kernels have taken the message.
    let events: [_; 4] = std::array::from_fn(|_| listener.next());
    let (errors, counts): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|event| event["event"] == "error");
    assert_eq!(errors[0]["code"], "unknown-peer");
    let sent = |count: u8| json!({"event": "sent", "count": count});
    assert_eq!(counts, [sent(1), sent(2), sent(0)]);
    for (client, docs) in [(&mut old, &["one", "all"][..]), (&mut new, &["all"])] {
        assert_eq!(client.next(), sent(1));
        for doc in docs {
            let expected = json!({"event": "message", "peer": "hub", "msg": msg(doc)});
            assert_eq!(client.next(), expected);
        }
    }

    // When the listener has ended they end; its `depart` is reported.
    listener.stop();
    for mut client in [old, new] {
        client.until(&json!({"event": "peer", "peer": "hub", "change": "departed"}));
        client.until(&json!({"event": "state", "state": "disconnected"}));
        assert_eq!(client.end().code, 1);
    }
}
