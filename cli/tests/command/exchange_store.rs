//! `exchange --store`: processes that are killed at any moment go on with what they have reported.
//!
//! A failure lists the edits that were reported as stored and are lost, beside all values.

use std::{
    collections::BTreeSet,
    fs,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};

use super::{
    exchange::{Documents, until_value},
    process::{End, Process, command},
};
use crate::support::DEADLINE;

/// A seed, which is printed, and what follows from it.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = match std::env::var("KYNETA_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => RandomState::new().build_hasher().finish(),
        };
        eprintln!("KYNETA_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn pause(&mut self, most_ms: u64) {
        thread::sleep(Duration::from_millis(self.below(most_ms)));
    }
}

/// Documents whose schema has a list, which all kinds can have.
fn documents() -> Documents {
    let documents = Documents::new();
    let fields = json!([["items", {"k": "list", "item": {"k": "string"}}]]);
    let text = json!({"k": "struct", "fields": fields}).to_string();
    fs::write(&documents.schema, text).unwrap();
    documents
}

/// The items in each event about the document, of those lines.
fn reported(lines: &[String]) -> BTreeSet<String> {
    // The last line of a process that is killed may be cut.
    let events = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    let items = events.filter(|event: &Value| event["event"] == "doc");
    items.flat_map(|event| held(&event["value"])).collect()
}

fn held(value: &Value) -> Vec<String> {
    let items = value["items"].as_array().unwrap().iter();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

fn kill(mut process: Process) -> End {
    process.signal(Signal::KILL);
    process.end()
}

fn get(process: &mut Process) -> Value {
    process.write_line(json!({"doc": "log", "get": true}));
    process.until(&json!({"event": "doc", "doc": "log"}))["value"].clone()
}

#[test]
fn what_was_reported_is_there_after_each_of_twelve_kills() {
    let documents = documents();
    let store = documents.bus.path.with_file_name("store");
    let options = [
        "--open",
        &documents.opening("log", "json"),
        "--store",
        store.to_str().unwrap(),
    ];
    let mut random = Random::new();
    let mut all = BTreeSet::new();
    for round in 0..12 {
        let mut process = documents.start("a", &options);
        process.until(&json!({"event": "role", "role": "listener"}));
        let now: BTreeSet<_> = held(&get(&mut process)).into_iter().collect();
        assert!(now.is_superset(&all), "lost: {:?}", all.difference(&now));
        let mut stdin = process.stdin();
        let writing = thread::spawn(move || {
            for item in 0.. {
                let line = json!({"doc": "log", "push": ["items", format!("{round}-{item}")]});
                if writeln!(stdin, "{line}").is_err() {
                    break;
                }
            }
        });
        random.pause(120);
        let end = kill(process);
        writing.join().unwrap();
        all.extend(now);
        all.extend(reported(&end.rest));
    }
    assert!(all.len() > 50, "{} were reported only", all.len());
}

/// With a store and a document, and a limit on the size of files, which stands for a full disk.
fn with_a_disk(documents: &Documents, store: &Path) -> Process {
    let inner = command([
        "exchange",
        documents.bus.path.to_str().unwrap(),
        "--json",
        "--open",
        &documents.opening("log", "json"),
        "--store",
        store.to_str().unwrap(),
    ]);
    // Writing beyond the limit is then an error, and no signal.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Process::of(shell)
}

fn limit_disk(process: &Process, current: Option<u64>) {
    let pid = Pid::from_raw(process.pid() as i32);
    let maximum = None;
    prlimit(pid, Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

fn push(process: &mut Process, item: &str, event: &str) -> Value {
    process.write_line(json!({"doc": "log", "push": ["items", item]}));
    process.until(&json!({"event": event}))
}

/// Nothing larger than what is there can be stored any more; what was pushed last is.
fn fill_disk(process: &mut Process, store: &Path, large: &str) {
    let size = fs::metadata(store.join("documents.redb")).unwrap().len();
    limit_disk(process, Some(size));
    let full = push(process, large, "error");
    assert_eq!(full["code"], "not-stored", "{full}");
}

#[test]
fn an_exchange_that_ends_with_what_its_store_has_no_room_for_has_failed() {
    let documents = documents();
    let store = documents.bus.path.with_file_name("store");
    let mut process = with_a_disk(&documents, &store);
    push(&mut process, "before", "stored");
    fill_disk(&mut process, &store, &"x".repeat(4 << 20));
    process.signal(Signal::TERM);
    let end = process.end();
    assert_eq!(end.code, 1, "{}", end.stderr);
    assert!(end.stderr.contains("log is not stored: "), "{}", end.stderr);
    assert!(end.stderr.contains("File too large"), "{}", end.stderr);
}

#[test]
fn an_exchange_that_ends_with_a_document_that_its_store_cannot_delete_has_failed() {
    let documents = documents();
    let store = documents.bus.path.with_file_name("store");
    let mut process = with_a_disk(&documents, &store);
    push(&mut process, "before", "stored");
    limit_disk(&process, Some(0));
    process.write_line(json!({"doc": "log", "destroy": true}));
    let refused = process.until(&json!({"event": "error"}));
    assert_eq!(refused["code"], "not-stored", "{refused}");
    process.signal(Signal::TERM);
    let end = process.end();
    assert_eq!(end.code, 1, "{}", end.stderr);
    let why = "log was destroyed, and the store may have it still";
    assert!(end.stderr.contains(why), "{}", end.stderr);
}

#[test]
fn a_store_goes_on_when_a_full_disk_has_room_again() {
    let documents = documents();
    let store = documents.bus.path.with_file_name("store");
    let mut process = with_a_disk(&documents, &store);
    push(&mut process, "before", "stored");
    let large = "x".repeat(4 << 20);
    fill_disk(&mut process, &store, &large);
    limit_disk(&process, None);
    process.until(&json!({"event": "stored", "doc": "log"}));
    push(&mut process, "after", "stored");
    process.stop();

    let mut again = documents.start(
        "a",
        &[
            "--open",
            &documents.opening("log", "json"),
            "--store",
            store.to_str().unwrap(),
        ],
    );
    again.until(&json!({"event": "role", "role": "listener"}));
    assert_eq!(held(&get(&mut again)), ["before", &large, "after"]);
    again.stop();
}

/// Three processes with stores edit one document. One after the other is killed, then all at once.
fn killed_in_turn(kind: &str, one_writer: bool) {
    let documents = documents();
    let opening = documents.opening("log", kind);
    let start = |member: usize| {
        let store = documents.bus.path.with_file_name(format!("store-{member}"));
        let options = ["--open", &opening, "--store", store.to_str().unwrap()];
        documents.start(&format!("m{member}"), &options)
    };
    let mut random = Random::new();
    let mut members: Vec<Process> = (0..3).map(start).collect();
    let mut all = BTreeSet::new();
    for round in 0..12 {
        let mut writer = 0;
        for item in 0..1 + random.below(20) {
            if !one_writer {
                writer = random.below(3) as usize;
            }
            let item = format!("{round}-{item}");
            members[writer].write_line(json!({"doc": "log", "push": ["items", item]}));
            if random.below(4) == 0 {
                random.pause(10);
            }
        }
        if round % 2 == 0 {
            // Else it may be killed while it starts.
            let event = members[writer].until(&json!({"event": "doc", "doc": "log"}));
            all.extend(held(&event["value"]));
        }
        random.pause(40);
        let victim = random.below(3) as usize;
        let killed = members.remove(victim);
        all.extend(reported(&kill(killed).rest));
        members.insert(victim, start(victim));
    }
    for member in members {
        all.extend(reported(&kill(member).rest));
    }
    let mut members: Vec<Process> = (0..3).map(start).collect();
    for member in &mut members {
        member.until(&json!({"event": "synced", "doc": "log"}));
    }
    members[0].write_line(json!({"doc": "log", "push": ["items", "the last one"]}));
    all.insert("the last one".to_owned());
    let changed = Instant::now();
    loop {
        let values: Vec<Value> = members.iter_mut().map(get).collect();
        let now: Vec<BTreeSet<_>> = values
            .iter()
            .map(|it| held(it).into_iter().collect())
            .collect();
        let is_complete = now.iter().all(|now| now.is_superset(&all));
        if is_complete && values.windows(2).all(|pair| pair[0] == pair[1]) {
            break;
        }
        let lost: Vec<Vec<_>> = now
            .iter()
            .map(|now| all.difference(now).collect())
            .collect();
        assert!(changed.elapsed() < DEADLINE, "lost: {lost:?} of {values:?}");
    }
    eprintln!("equal {:?} after the last change", changed.elapsed());
    assert!(all.len() > 5, "{} were reported only", all.len());
}

#[test]
fn json_documents_of_processes_that_are_killed_in_turn_are_equal_and_complete() {
    killed_in_turn("json", true);
}

#[cfg(feature = "loro")]
#[test]
fn loro_documents_of_processes_that_are_killed_in_turn_are_equal_and_complete() {
    killed_in_turn("loro", false);
}

#[cfg(feature = "yjs")]
#[test]
fn yjs_documents_of_processes_that_are_killed_in_turn_are_equal_and_complete() {
    killed_in_turn("yjs", false);
}

#[test]
fn a_store_that_is_in_use_or_is_none_is_a_sentence() {
    let documents = documents();
    let path = documents.bus.path.to_str().unwrap();
    let store = documents.bus.path.with_file_name("store");
    let store = store.to_str().unwrap();
    let opening = documents.opening("log", "json");
    let options = ["--open", &opening, "--store", store];
    let mut a = documents.start("a", &options);
    a.write_line(json!({"doc": "log", "push": ["items", "x"]}));
    until_value(&mut a, "log", "items", &json!(["x"]));
    let said = || {
        let output = command(["exchange", path, "--store", store])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let used = said();
    assert!(
        used.contains("documents.redb\" is in use: end the other process"),
        "{used}"
    );
    a.stop();
    fs::write(format!("{store}/documents.redb"), "something else").unwrap();
    let other = said();
    assert!(other.contains("is no store of documents"), "{other}");
}
