//! A path of one machine at a path of another, on loopback ports.
//!
//! Bytes of any protocol pass, so the ends here are bare sockets and exchanges. A failure shows the reason that one
//! end was told.

use std::{
    io::{Read as _, Write as _},
    net::UdpSocket,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread,
};

use serde_json::json;
use tempfile::TempDir;

use crate::process::{Process, Signal, start};

struct Splice {
    dir: TempDir,
    /// What `expose` has printed: KEY@ADDR.
    machine: String,
    expose: Process,
}

impl Splice {
    /// Exposes `there.sock`, to the machine of `rome.key`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| text(&dir.path().join(name));
        let address = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let public = start(&["key", &at("rome.key")]).line();
        let mut expose = start(&[
            "expose",
            &at("there.sock"),
            "--machine-key",
            &at("oslo.key"),
            "--machine-listen",
            &address.to_string(),
            "--allow-key",
            &public,
            "--json",
        ]);
        let line = expose.until(&json!({"event": "listening"}));
        let machine = line["machine"].as_str().unwrap().to_owned();
        Self {
            dir,
            machine,
            expose,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn reach(&self, key: &str) -> Process {
        let (path, key) = (text(&self.at("here.sock")), text(&self.at(key)));
        let mut reach = start(&[
            "reach",
            &self.machine,
            &path,
            "--machine-key",
            &key,
            "--json",
        ]);
        reach.until(&json!({"event": "listening"}));
        reach
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn documents_of_a_path_there_are_shared_by_an_exchange_here() {
    let splice = Splice::new();
    let schema = splice.at("schema.json");
    std::fs::write(
        &schema,
        r#"{"k":"struct","fields":[["mode",{"k":"string"}]]}"#,
    )
    .unwrap();
    let open = format!("config=json:{}", text(&schema));
    let there = text(&splice.at("there.sock"));
    let mut hub = start(&[
        "exchange", &there, "--listen", "--json", "--stay", "--open", &open,
    ]);
    hub.until(&json!({"event": "listening"}));
    let reach = splice.reach("rome.key");
    let here = text(&splice.at("here.sock"));
    let mut member = start(&[
        "exchange",
        &here,
        "--connect",
        "--json",
        "--stay",
        "--open",
        &open,
    ]);
    hub.write_line(json!({"doc": "config", "set": ["mode", "auto"]}));
    member.until(&json!({"event": "doc", "doc": "config", "value": {"mode": "auto"}}));
    member.signal(Signal::TERM);
    assert_eq!(member.end().code, 0);
    assert_eq!(reach.stop().code, 0);
    assert_eq!(splice.expose.stop().code, 0);
}

#[test]
fn bytes_pass_both_ways_in_full_and_each_end_is_passed_on() {
    const BYTES: usize = 8 << 20;
    let mut splice = Splice::new();
    let listener = UnixListener::bind(splice.at("there.sock")).unwrap();
    let mut reach = splice.reach("rome.key");
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let mut stream = UnixStream::connect(splice.at("here.sock")).unwrap();
    let sent: Vec<_> = (0..BYTES).map(|i| (i % 251) as u8).collect();
    stream.write_all(&sent).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == sent);
    echo.join().unwrap();
    for process in [&mut reach, &mut splice.expose] {
        process.until(&json!({"event": "splice", "change": "opened"}));
        let closed = process.until(&json!({"event": "splice", "change": "closed"}));
        assert_eq!(closed.get("reason"), None, "{closed}");
    }
}

#[test]
fn a_key_that_is_not_allowed_and_a_path_without_a_listener_are_refused_with_the_reason() {
    let mut splice = Splice::new();
    let connect = |splice: &Splice| {
        let mut stream = UnixStream::connect(splice.at("here.sock")).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    };
    let refused = json!({"event": "splice", "change": "refused"});
    let mut stranger = splice.reach("lima.key");
    connect(&splice);
    let line = stranger.until(&refused);
    assert!(
        line["reason"].as_str().unwrap().contains("may not allow"),
        "{line}"
    );
    let line = splice.expose.until(&refused);
    assert!(
        line["reason"].as_str().unwrap().contains("not allowed"),
        "{line}"
    );
    assert_eq!(stranger.stop().code, 0);

    let mut reach = splice.reach("rome.key");
    connect(&splice);
    let line = reach.until(&refused);
    assert!(
        line["reason"]
            .as_str()
            .unwrap()
            .contains("no process listens"),
        "{line}"
    );
    splice.expose.until(&refused);
}
