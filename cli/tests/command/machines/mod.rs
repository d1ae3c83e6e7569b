//! Two machines on loopback ports: keys, links, what is reported.
//!
//! A failure shows the event of a link, or the end of a process that should have gone on.

#[cfg(target_os = "linux")]
mod buses;
mod documents;
mod kills;
#[cfg(target_os = "linux")]
mod namespaces;
#[cfg(all(target_os = "linux", feature = "nats"))]
mod nats;
mod reasons;
#[cfg(target_os = "linux")]
mod stalled;
#[cfg(target_os = "linux")]
mod tally;
#[cfg(target_os = "linux")]
mod three;

use std::{net::UdpSocket, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, Signal, start};

/// The public part of a key, in a file that is made.
fn key(file: &Path) -> String {
    let mut process = start(&["key", file.to_str().unwrap()]);
    let public = process.line();
    let end = process.finish();
    assert_eq!((end.code, end.rest.len()), (0, 0), "{end:?}");
    public
}

/// A UDP address that was free a moment ago.
fn address() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

struct Machine {
    dir: TempDir,
    address: String,
    key: String,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = key(&dir.path().join("key"));
        let address = address();
        Self { dir, address, key }
    }

    fn peer(&self, other: &str) -> Process {
        self.start(&["peer"], other)
    }

    fn start(&self, command: &[&str], other: &str) -> Process {
        let [path, file] = ["bus.sock", "key"].map(|name| self.dir.path().join(name));
        let [path, file] = [&path, &file].map(|path| path.to_str().unwrap());
        let args = [command, &[path, "--json", "--machine-key", file]].concat();
        let links = [
            "--machine-listen",
            self.address.as_str(),
            "--machine",
            other,
        ];
        start(&[&args[..], &links].concat())
    }

    fn named(&self, name: &str) -> String {
        format!("{name}={}@{}", self.key, self.address)
    }
}

fn link(process: &mut Process, machine: &str, change: &str) -> Value {
    loop {
        let line = process.next();
        if line["event"] == "link" && line["change"] == change {
            assert_eq!(line["machine"], machine);
            return line;
        }
    }
}

#[test]
fn a_key_file_is_made_once_and_its_public_part_stands_alone_on_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let public = key(&file);
    assert_eq!(public.len(), 64);
    assert_eq!(key(&file), public);
    assert_ne!(key(&dir.path().join("other")), public);
}

#[test]
fn two_machines_are_linked_and_a_successor_takes_the_link_over() {
    let (oslo, rome) = (Machine::new(), Machine::new());
    let mut in_oslo = oslo.peer(&rome.named("rome"));
    let mut in_rome = rome.peer(&oslo.named("oslo"));
    let up = link(&mut in_oslo, "rome", "up");
    assert_eq!(
        up,
        json!({"event": "link", "machine": "rome", "change": "up"})
    );
    link(&mut in_rome, "oslo", "up");

    in_rome.signal(Signal::KILL);
    let mut successor = rome.peer(&oslo.named("oslo"));
    link(&mut successor, "oslo", "up");
    link(&mut in_oslo, "rome", "up");
}

#[test]
fn a_machine_that_is_not_there_or_does_not_know_this_one_is_reported_with_the_reason() {
    let (oslo, rome, lima) = (Machine::new(), Machine::new(), Machine::new());
    let mut in_oslo = oslo.peer(&rome.named("rome"));
    let absent = link(&mut in_oslo, "rome", "absent");
    assert!(absent["reason"].is_string(), "{absent}");
    let mut in_rome = rome.peer(&lima.named("lima"));
    let refused = link(&mut in_oslo, "rome", "refused");
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .starts_with("refused there")
    );
    link(&mut in_rome, &oslo.key, "refused");
}

#[test]
fn members_of_a_bus_on_two_machines_hear_and_ask_each_other() {
    let (oslo, rome) = (Machine::new(), Machine::new());
    let mut ann = oslo.start(&["bus", "--id", "ann"], &rome.named("rome"));
    let mut bob = rome.start(&["bus", "--id", "bob"], &oslo.named("oslo"));
    let joined = ann.until(&json!({"event": "member", "change": "joined", "machine": "rome"}));
    assert_eq!(joined["id"], "bob@rome");
    bob.until(&json!({"event": "member", "change": "joined", "id": "ann@oslo"}));
    ann.write_line(json!({"publish": "to all"}));
    bob.until(&json!({"event": "message", "from": "ann@oslo", "to": "all", "msg": "to all"}));
    bob.write_line(json!({"request": 6, "to": "ann@oslo", "id": 1}));
    let asked = ann.until(&json!({"event": "request", "from": "bob@rome", "msg": 6}));
    ann.write_line(json!({"answer": 42, "id": asked["id"]}));
    bob.until(&json!({"event": "answer", "id": 1, "msg": 42}));

    bob.signal(Signal::TERM);
    assert_eq!(bob.end().code, 0);
    // Members and links are reported side by side.
    let mut expected = vec![
        json!({"event": "member", "change": "left", "id": "bob@rome"}),
        json!({"event": "link", "change": "down", "machine": "rome"}),
    ];
    while !expected.is_empty() {
        let event = ann.next();
        let is_it = |fields: &Value| {
            fields
                .as_object()
                .unwrap()
                .iter()
                .all(|(name, value)| event[name] == *value)
        };
        expected.retain(|fields| !is_it(fields));
    }
}
