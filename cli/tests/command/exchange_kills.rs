//! Documents of a path whose listeners are killed, one after the other, while they are edited.
//!
//! Held: all processes print one value at last, which has every edit that its process has reported. A failure prints
//! the values of all, and which of the two is not so.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    process::command,
    support::{DEADLINE, common::Bus},
};

const KILLS: usize = 8;

/// Between two edits. Edits of an ephemeral document within one millisecond have one version, and may stay unequal until
/// the next.
const PAUSE: Duration = Duration::from_millis(2);

/// A process that has both documents.
struct Member {
    child: Child,
    stdin: ChildStdin,
    seen: Arc<Mutex<Seen>>,
    /// What it has edited in.
    items: BTreeSet<String>,
}

#[derive(Default)]
struct Seen {
    is_listener: bool,
    is_synced: bool,
    /// By document: the value, and when it was reported.
    values: HashMap<String, (Value, Option<Instant>)>,
}

impl Seen {
    fn note(&mut self, event: &Value) {
        match event["event"].as_str() {
            Some("role") => self.is_listener = event["role"] == "listener",
            Some("synced") => self.is_synced |= event["doc"] == "log",
            Some("doc") => {
                let doc = event["doc"].as_str().unwrap().to_owned();
                let value = (event["value"].clone(), Some(Instant::now()));
                self.values.insert(doc, value);
            }
            _ => {}
        }
    }
}

impl Member {
    fn write(&mut self, line: &Value) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    fn push(&mut self, item: &str) {
        self.items.insert(item.to_owned());
        self.write(&json!({"doc": "log", "push": ["items", item]}));
    }

    fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    fn items(&self) -> BTreeSet<String> {
        let value = self.seen(|seen| seen.values.get("log").cloned().unwrap_or_default().0);
        let items = value["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

struct Group {
    bus: Bus,
    schema: PathBuf,
    kind: &'static str,
    members: Vec<Member>,
    started: usize,
    edits: usize,
    /// The one that edits, where one alone may.
    writer: usize,
    one_writer: bool,
}

impl Group {
    fn new(kind: &'static str, one_writer: bool, members: usize) -> Self {
        let bus = Bus::new();
        let schema = bus.path.with_file_name("schema.json");
        let fields =
            json!([["items", {"k": "list", "item": {"k": "string"}}], ["seen", {"k": "string"}]]);
        fs::write(
            &schema,
            json!({"k": "struct", "fields": fields}).to_string(),
        )
        .unwrap();
        let mut group = Self {
            bus,
            schema,
            kind,
            members: Vec::new(),
            started: 0,
            edits: 0,
            writer: 0,
            one_writer,
        };
        for _ in 0..members {
            group.start();
        }
        group
    }

    fn start(&mut self) {
        self.started += 1;
        let path = self.bus.path.to_str().unwrap();
        let schema = self.schema.display();
        let log = format!("log={}:{schema}", self.kind);
        let presence = format!("presence=ephemeral:{schema}");
        let id = format!("m{}", self.started);
        let args = [
            "exchange", path, "--json", "--stay", "--id", &id, "--open", &log, "--open", &presence,
        ];
        let mut child = command(args).stderr(Stdio::null()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        thread::spawn({
            let seen = seen.clone();
            move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Ok(event) = serde_json::from_str(&line) {
                        seen.lock().unwrap().note(&event);
                    }
                }
            }
        });
        self.members.push(Member {
            stdin: child.stdin.take().unwrap(),
            child,
            seen,
            items: BTreeSet::new(),
        });
    }

    fn edit(&mut self, count: usize) {
        for _ in 0..count {
            self.edits += 1;
            let item = format!("item-{}", self.edits);
            let any = self.edits % self.members.len();
            let at = if self.one_writer { self.writer } else { any };
            self.members[at].push(&item);
            self.members[any].write(&json!({"doc": "presence", "set": ["seen", item]}));
            thread::sleep(PAUSE);
        }
    }

    fn listener(&self) -> usize {
        let mut at = None;
        self.until("there is a listener", || {
            at = self
                .members
                .iter()
                .position(|member| member.seen(|seen| seen.is_listener));
            at.is_some()
        });
        at.unwrap()
    }

    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            let values: Vec<_> = self
                .members
                .iter()
                .map(|it| it.seen(|seen| seen.values.clone()))
                .collect();
            assert!(began.elapsed() < DEADLINE, "not true: {what}; {values:#?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until all have all that the members of now have edited in, and the same of these documents. How long that
    /// took after `since`, as the processes have reported it.
    fn until_equal(&self, docs: &[&str], since: Instant) -> Duration {
        let all: BTreeSet<String> = self
            .members
            .iter()
            .flat_map(|it| it.items.clone())
            .collect();
        self.until("all are equal", || {
            let of = |doc: &str| {
                let values = self
                    .members
                    .iter()
                    .map(|it| it.seen(|seen| seen.values.get(doc).cloned()));
                values
                    .map(|value| value.map(|(value, _)| value))
                    .collect::<Vec<_>>()
            };
            let is_equal = |doc| {
                let values = of(doc);
                values[0].is_some() && values.windows(2).all(|pair| pair[0] == pair[1])
            };
            self.members.iter().all(|it| it.items().is_superset(&all))
                && docs.iter().all(|doc| is_equal(doc))
        });
        let reported = |seen: &Seen| seen.values.values().filter_map(|(_, at)| *at).max();
        let last = self.members.iter().filter_map(|it| it.seen(reported)).max();
        last.unwrap_or(since).saturating_duration_since(since)
    }

    fn kill_the_listener(&mut self) {
        let at = self.listener();
        if self.one_writer && at == self.writer {
            // Another one edits from now on, and starts from all that there is.
            self.until_equal(&["log"], Instant::now());
            let heir = (at + 1) % self.members.len();
            let items = std::mem::take(&mut self.members[at].items);
            self.members[heir].items.extend(items);
            self.writer = heir;
        }
        self.members.remove(at).kill();
        if self.writer > at {
            self.writer -= 1;
        }
    }
}

fn equal_after_kills(kind: &'static str, one_writer: bool, members: usize) {
    let mut group = Group::new(kind, one_writer, members);
    group.listener();
    for _ in 0..KILLS {
        group.edit(10);
        group.kill_the_listener();
        // While there is none.
        group.edit(10);
        group.listener();
        group.start();
    }
    group.start();
    let late = group.members.last().unwrap();
    group.until("the late one is in sync", || {
        late.seen(|seen| seen.is_synced)
    });
    group.until_equal(&["log"], Instant::now());
    let changed = Instant::now();
    group.edit(1);
    let took = group.until_equal(&["log", "presence"], changed);
    println!(
        "{kind}: {} processes, {KILLS} kills, equal {took:?} after the last change",
        group.members.len()
    );
    for member in group.members {
        member.kill();
    }
}

#[test]
fn json_and_ephemeral_documents_are_equal_after_eight_kills_of_the_listener() {
    equal_after_kills("json", true, 4);
}

#[cfg(feature = "loro")]
#[test]
fn loro_and_ephemeral_documents_are_equal_after_eight_kills_of_the_listener() {
    equal_after_kills("loro", false, 5);
}

#[cfg(feature = "yjs")]
#[test]
fn yjs_and_ephemeral_documents_are_equal_after_eight_kills_of_the_listener() {
    equal_after_kills("yjs", false, 3);
}
