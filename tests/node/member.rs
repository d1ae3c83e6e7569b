//! A process in which `member.mjs` runs: its documents, as it last reported them.
//!
//! In: commands, as lines on its stdin. Out: the last value of each document. A wait that is in vain prints what it
//! has reported.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use kyneta_uds::WireVersion;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Notify,
};

/// How it comes to a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    /// It connects, again and again.
    Connect,
    /// It listens where no process does.
    Join,
}

pub(crate) struct Member {
    pub(crate) id: String,
    process: Child,
    stdin: ChildStdin,
    reported: Arc<Reported>,
}

#[derive(Default)]
struct Reported {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The last event that is not about a document.
    last: String,
    values: HashMap<String, Value>,
    errors: Vec<String>,
    reported_at: Option<Instant>,
}

impl Member {
    pub(crate) fn start(
        runtime: &OsStr,
        path: &Path,
        wire: WireVersion,
        id: &str,
        entry: Entry,
    ) -> Self {
        let mut process = Command::new(runtime)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/node/member.mjs"
            ))
            .arg(match entry {
                Entry::Connect => "connect",
                Entry::Join => "join",
            })
            .arg(path)
            .arg(wire.byte().to_string())
            .arg(id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let reported = Arc::new(Reported::default());
        let stdout = process.stdout.take().unwrap();
        tokio::spawn(listen(stdout, Arc::clone(&reported)));
        Self {
            id: id.to_owned(),
            stdin: process.stdin.take().unwrap(),
            process,
            reported,
        }
    }

    async fn say(&mut self, command: Value) {
        let line = format!("{command}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    pub(crate) async fn open(&mut self, doc: &str, kind: &str) {
        self.say(json!({"doc": doc, "open": kind})).await;
    }

    /// One batch of one edit.
    pub(crate) async fn edit(&mut self, doc: &str, edit: Value) {
        self.say(json!({"doc": doc, "edit": [edit]})).await;
    }

    pub(crate) async fn close(&mut self, doc: &str) {
        self.say(json!({"doc": doc, "close": true})).await;
    }

    /// Its replica, as it last was.
    pub(crate) fn value(&self, doc: &str) -> Option<Value> {
        let state = self.reported.state.lock().unwrap();
        assert!(state.errors.is_empty(), "{}: {:?}", self.id, state.errors);
        state.values.get(doc).cloned()
    }

    /// How long it has reported nothing.
    pub(crate) fn idle(&self) -> Duration {
        let at = self.reported.state.lock().unwrap().reported_at;
        at.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Waits for what it reports next, if it has not reported since the last call.
    pub(crate) async fn changed(&self) {
        self.reported.changed.notified().await;
    }

    /// Waits until its last event is this one.
    pub(crate) async fn until(&self, event: &str) {
        while self.reported.state.lock().unwrap().last != event {
            self.changed().await;
        }
    }

    /// Departs.
    pub(crate) async fn quit(mut self) {
        self.say(json!({"quit": true})).await;
        assert!(self.process.wait().await.unwrap().success());
    }

    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

async fn listen(stdout: ChildStdout, reported: Arc<Reported>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let event: Value = serde_json::from_str(&line).unwrap();
        let mut state = reported.state.lock().unwrap();
        state.reported_at = Some(Instant::now());
        match event["event"].as_str().unwrap() {
            "value" => {
                let doc = event["doc"].as_str().unwrap().to_owned();
                state.values.insert(doc, event["value"].clone());
            }
            "error" => state.errors.push(event["reason"].to_string()),
            name => name.clone_into(&mut state.last),
        }
        drop(state);
        reported.changed.notify_one();
    }
}
