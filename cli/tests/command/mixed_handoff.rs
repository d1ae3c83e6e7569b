//! The exchange that listens is replaced again and again under Rust members, leaderless peers and JavaScript members, each a
//! process of its own: documents stay equal, and no other process sees more than a pause. Needs `node` on the PATH; without
//! it all members are Rust's.
//!
//! Longer: `KYNETA_RESTARTS=20 cargo nextest run -p kyneta-uds-cli --test command mixed_handoff --no-capture`

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use super::process::{Process, start};
use crate::support::common::Bus;

/// The document `config` of tests/node/exchange/types.mjs.
fn schema() -> Value {
    let fields = json!([
        ["mode", {"k": "string"}],
        ["limit", {"k": "number"}],
        ["hosts", {"k": "list", "item": {"k": "string"}}],
        ["flags", {"k": "record", "item": {"k": "boolean"}}],
    ]);
    json!({"k": "struct", "fields": fields})
}

fn opening(bus: &Bus) -> String {
    let schema_file = bus.path.with_file_name("schema.json");
    fs::write(&schema_file, schema().to_string()).unwrap();
    format!("config=json:{}", schema_file.display())
}

/// The exchange that listens, or its successor.
fn hub(bus: &Bus) -> Process {
    let store = bus.path.with_file_name("store");
    let (opening, store) = (opening(bus), store.to_str().unwrap().to_owned());
    let options = [
        "--stay",
        "--take-over",
        "--store",
        &store,
        "--open",
        &opening,
    ];
    start(
        &[
            &["exchange", bus.at(), "--json", "--id", "hub"],
            &options[..],
        ]
        .concat(),
    )
}

/// A member in another process, in either language.
enum Member {
    Rust(Process),
    Node(Process),
}

impl Member {
    fn rust(bus: &Bus, id: &str) -> Self {
        let opening = opening(bus);
        let options = ["--json", "--stay", "--id", id, "--open", &opening];
        let mut process = start(&[&["exchange", bus.at()], &options[..]].concat());
        process.until(&json!({"event": "role", "role": "connector"}));
        process.until(&json!({"event": "synced", "doc": "config"}));
        Self::Rust(process)
    }

    /// `None` where there is no `node`.
    fn node(bus: &Bus, id: &str) -> Option<Self> {
        Command::new("node").arg("--version").output().ok()?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/node/member.mjs");
        let mut node = Command::new("node");
        node.arg(program).args(["connect", bus.at(), "3", id]);
        node.stdin(Stdio::piped());
        node.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::of(node);
        process.until(&json!({"event": "connected"}));
        for doc in ["config", "notes"] {
            process.write_line(json!({"doc": doc, "open": doc}));
        }
        Some(Self::Node(process))
    }

    /// Appends to the list of the document.
    fn push(&mut self, text: &str) {
        match self {
            Self::Rust(process) => {
                process.write_line(json!({"doc": "config", "push": ["hosts", text]}));
            }
            Self::Node(process) => {
                process.write_line(json!({"doc": "config", "edit": [["push", ["hosts"], text]]}));
            }
        }
    }

    /// Until its document has this list. What shows that the listener was replaced fails.
    fn until_hosts(&mut self, hosts: &[String]) {
        let (process, kind) = match self {
            Self::Rust(process) => (process, "doc"),
            Self::Node(process) => (process, "value"),
        };
        process.write_line(json!({"doc": "config", "get": true}));
        let expected = json!(hosts);
        until(process, |line| {
            line["event"] == kind && line["doc"] == "config" && line["value"]["hosts"] == expected
        });
    }
}

/// A process that is not the listener: whatever it says, it says nothing of a disconnect.
fn until(process: &mut Process, is_it: impl Fn(&Value) -> bool) {
    loop {
        let line = process.next();
        for change in ["disconnected", "departed", "reconnecting"] {
            assert_ne!(line["change"], change, "{line}");
        }
        for event in [
            "role",
            "error",
            "closed",
            "connected",
            "listening",
            "waiting",
        ] {
            assert_ne!(line["event"], event, "{line}");
        }
        if is_it(&line) {
            return;
        }
    }
}

/// Until a document that the listener only passes on has both texts at a JavaScript member.
fn until_notes(member: &mut Member, texts: [&str; 2]) {
    let Member::Node(process) = member else {
        panic!("only JavaScript members have it")
    };
    process.write_line(json!({"doc": "notes", "get": true}));
    until(process, |line| {
        let text = line["value"]["text"].as_str().unwrap_or_default();
        line["doc"] == "notes" && texts.iter().all(|part| text.contains(part))
    });
}

#[test]
fn a_mixed_bus_sees_nothing_of_a_listener_that_is_replaced_again_and_again() {
    let restarts = std::env::var("KYNETA_RESTARTS").ok();
    let restarts: usize = restarts.map_or(4, |number| number.parse().unwrap());
    let bus = Bus::new();
    let mut listener = hub(&bus);
    listener.until(&json!({"event": "role", "role": "listener"}));
    let mut members = vec![Member::rust(&bus, "rust-a"), Member::rust(&bus, "rust-b")];
    let nodes = ["node-a", "node-b"].map(|id| Member::node(&bus, id));
    members.extend(nodes.into_iter().flatten());
    if members.len() < 4 {
        println!("without JavaScript members: there is no `node` on the PATH");
    }
    let mut peer = start(&["peer", bus.at(), "--json", "--stay", "--id", "peer"]);
    peer.until(&json!({"event": "role", "role": "connector"}));
    let connections = members.len() + 1;
    let began = Instant::now();
    let (mut hosts, mut pauses) = (Vec::new(), Vec::new());
    for restart in 0..restarts {
        // One writes at a time, in turn, across the restart.
        let writer = restart % members.len();
        let mut write = |members: &mut [Member]| {
            let text = format!("{restart}.{}", hosts.len());
            members[writer].push(&text);
            hosts.push(text);
        };
        (0..5).for_each(|_| write(&mut members));
        // Two at once in one that the listener holds nothing of.
        let notes = [format!("{restart}.x;"), format!("{restart}.y;")];
        for (member, text) in members.iter_mut().skip(2).zip(&notes) {
            let Member::Node(node) = member else { continue };
            node.write_line(json!({"doc": "notes", "edit": [["insert", ["text"], 0, text]]}));
        }
        let mut successor = hub(&bus);
        (0..5).for_each(|_| write(&mut members));
        let took = successor.until(&json!({"event": "took-over", "connections": connections}));
        assert_eq!(took["pid"], listener.pid());
        pauses.push(took["pause_us"].as_u64());
        (0..5).for_each(|_| write(&mut members));
        listener.until(&json!({"event": "handed-over", "pid": successor.pid()}));
        let end = listener.end();
        assert_eq!((end.code, end.stderr.as_str()), (0, ""));
        listener = successor;
        members
            .iter_mut()
            .for_each(|member| member.until_hosts(&hosts));
        for member in members.iter_mut().skip(2) {
            until_notes(member, [&notes[0], &notes[1]]);
        }
        listener.write_line(json!({"doc": "config", "get": true}));
        while listener.until(&json!({"event": "doc", "doc": "config"}))["value"]["hosts"]
            != json!(hosts)
        {}
    }
    pauses.sort_unstable();
    println!(
        "{connections} connections of both languages, {restarts} restarts in {:.1?}: {} edits, equal at all; frozen {:?} \
         us (median), {:?} us (longest)",
        began.elapsed(),
        hosts.len(),
        pauses[restarts / 2],
        pauses[restarts - 1],
    );
    // The peer has seen nothing either.
    peer.write_line(json!({"send": {"type": "interest", "docId": "other"}}));
    until(&mut peer, |line| line["event"] == "sent");
    peer.stop();
    listener.stop();
}
