//! Documents that the exchanges of two machines share.
//!
//! Two listeners with keys of their own, linked over loopback. A failure shows what a process has printed until the
//! end.

use std::{fs, thread::sleep, time::Duration};

use serde_json::{Value, json};

use super::{Machine, link};
use crate::{
    exchange::until_value,
    process::{Process, Signal, start},
};

/// The kinds of documents that machines share here; loro in a build with it.
const KINDS: &[&str] = if cfg!(feature = "loro") {
    &["json", "loro"]
} else {
    &["json"]
};

impl Machine {
    /// Takes part in a document of each kind, which has the name of its kind.
    fn exchange(&self, id: &str, other: &str) -> Process {
        let schema = self.dir.path().join("schema.json");
        let fields =
            json!([["mode", {"k": "string"}], ["items", {"k": "list", "item": {"k": "string"}}]]);
        let text = json!({"k": "struct", "fields": fields}).to_string();
        fs::write(&schema, text).unwrap();
        let opening = |kind| format!("{kind}={kind}:{}", schema.display());
        let openings: Vec<_> = KINDS.iter().map(opening).collect();
        let options = openings.iter().flat_map(|opening| ["--open", opening]);
        let command: Vec<_> = ["exchange", "--id", id]
            .into_iter()
            .chain(options)
            .collect();
        self.start(&command, other)
    }
}

/// Asks until the document holds this.
fn holds(process: &mut Process, kind: &str, value: &Value) {
    loop {
        process.write_line(json!({"doc": kind, "get": true}));
        let shown = process.until(&json!({"event": "doc", "doc": kind}));
        if shown["value"] == *value {
            return;
        }
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn documents_of_two_machines_are_equal_also_after_a_listener_was_killed() {
    let (oslo, rome) = (Machine::new(), Machine::new());
    let mut ann = oslo.exchange("ann", &rome.named("rome"));
    ann.until(&json!({"event": "role", "role": "listener"}));
    let mut bob = rome.exchange("bob", &oslo.named("oslo"));
    bob.until(&json!({"event": "role", "role": "listener"}));
    let mut eve = rome.exchange("eve", &oslo.named("oslo"));
    eve.until(&json!({"event": "role", "role": "connector"}));
    link(&mut ann, "rome", "up");
    link(&mut bob, "oslo", "up");
    for kind in KINDS {
        ann.write_line(json!({"doc": kind, "set": ["mode", "from oslo"]}));
        for process in [&mut bob, &mut eve] {
            until_value(process, kind, "mode", &json!("from oslo"));
        }
        eve.write_line(json!({"doc": kind, "push": ["items", "from rome"]}));
        until_value(&mut ann, kind, "items", &json!(["from rome"]));
    }

    bob.signal(Signal::KILL);
    eve.until(&json!({"event": "role", "role": "listener"}));
    // Each side goes on by itself; what eve writes here reaches oslo on the next link.
    for kind in KINDS {
        eve.write_line(json!({"doc": kind, "push": ["items", "alone"]}));
    }
    link(&mut eve, "oslo", "up");
    for kind in KINDS {
        let alone = json!({"mode": "from oslo", "items": ["from rome", "alone"]});
        holds(&mut ann, kind, &alone);
        ann.write_line(json!({"doc": kind, "set": ["mode", "again"]}));
        let again = json!({"mode": "again", "items": ["from rome", "alone"]});
        holds(&mut ann, kind, &again);
        holds(&mut eve, kind, &again);
    }
    for process in [eve, ann] {
        process.stop();
    }
}

#[test]
fn an_exchange_whose_role_is_fixed_runs_no_links() {
    for role in ["--listen", "--connect"] {
        let mut process = start(&[
            "exchange",
            "/tmp/x",
            role,
            "--machine-key",
            "k",
            "--machine-listen",
            "127.0.0.1:1",
        ]);
        let end = process.end();
        assert_eq!(end.code, 2, "{end:?}");
        assert!(end.stderr.contains("cannot be used with"), "{end:?}");
    }
}
