//! Lines of stdin that are not commands.

use serde_json::json;

use crate::roles::{client, listener};

#[test]
fn an_invalid_line_gives_an_error_event_and_nothing_else() {
    let (bus, mut listener) = listener(&[]);
    let (mut client, _) = client(&bus, &[]);
    assert_eq!(listener.next()["change"], "established");
    let deep = "[".repeat(100_000);
    let long = format!(
        r#"{{"send":{{"type":"dismiss","docId":"{}"}}}}"#,
        "x".repeat(513)
    );
    let invalid: &[&[u8]] = &[
        b"rubbish",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"{\"quit\":false}",
        b"{\"quit\":1}",
        b"{\"quit\":true,\"send\":{\"type\":\"depart\"}}",
        b"{\"to\":\"p\"}",
        b"{\"send\":{}}",
        b"{\"send\":{\"type\":\"offr\"}}",
        b"{\"send\":{\"type\":\"dismiss\",\"docId\":1e999}}",
        b"{\"send\":{\"type\":\"dismiss\",\"docId\":\"\\ud800\"}}",
        b"{\"send\":{\"type\":\"dismiss\",\"docId\":\"\xff\xfe\"}}",
        b"\xff\xfe\x00",
        b"\0\0\0",
        deep.as_bytes(),
        long.as_bytes(),
    ];
    for line in invalid {
        client.write(line);
        client.write(b"\n");
        let event = client.next();
        let expected = (&json!("error"), &json!("bad-input"));
        assert_eq!((&event["event"], &event["code"]), expected, "{event}");
        assert!(event["message"].as_str().unwrap().len() < 1_000, "{event}");
    }
    // Blank lines are ignored, and a message is still sent after all that.
    client.write(b"\n \r\n\t\n");
    let msg = json!({"type": "interest", "docId": "d", "version": "\u{0}\u{1F600}", "reciprocate": false});
    client.write_line(json!({ "send": msg }));
    assert_eq!(client.next(), json!({"event": "sent", "count": 1}));
    assert_eq!(listener.next()["msg"], msg);
    client.stop();
    listener.stop();
}

#[test]
fn a_line_without_end_is_bounded() {
    let (bus, mut listener) = listener(&[]);
    let (mut client, _) = client(&bus, &["--max-frame", "1KiB"]);
    client.write(&vec![b'x'; 5 << 20]);
    client.write(b"\n");
    let event = client.next();
    assert_eq!(event["code"], "bad-input", "{event}");
    client.write_line(json!({"send": {"type": "dismiss", "docId": "d"}}));
    assert_eq!(client.next(), json!({"event": "sent", "count": 1}));
    listener.until(&json!({"event": "message"}));
    client.stop();
    listener.stop();
}
