//! Documents: `exchange`.
//!
//! Several processes at one path, their stdin and stdout. A failure shows the last values that a process has printed,
//! or the sentence on stderr.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    process::{Process, Signal, command, start},
    support::common::Bus,
};

/// A bus, with a schema beside it.
pub(crate) struct Documents {
    pub(crate) bus: Bus,
    pub(crate) schema: PathBuf,
}

impl Documents {
    pub(crate) fn new() -> Self {
        let bus = Bus::new();
        let schema = bus.path.with_file_name("schema.json");
        let fields = json!([
            ["mode", {"k": "string"}],
            ["hits", {"k": "counter"}],
            ["items", {"k": "list", "item": {"k": "string"}}],
            ["notes", {"k": "text"}],
            ["seen", {"k": "record", "item": {"k": "boolean"}}],
        ]);
        let text = json!({"k": "struct", "fields": fields}).to_string();
        fs::write(&schema, text).unwrap();
        Self { bus, schema }
    }

    pub(crate) fn opening(&self, doc: &str, kind: &str) -> String {
        format!("{doc}={kind}:{}", self.schema.display())
    }

    pub(crate) fn start(&self, id: &str, options: &[&str]) -> Process {
        let path = self.bus.path.to_str().unwrap();
        start(&[&["exchange", path, "--json", "--id", id], options].concat())
    }

    /// The first one, which listens, with the document `config`.
    fn first(&self) -> Process {
        let mut process = self.start("first", &["--open", &self.opening("config", "json")]);
        process.until(&json!({"event": "role", "role": "listener"}));
        process
    }

    /// Another one, which has what the first one has of it.
    fn member(&self, id: &str) -> Process {
        let mut process = self.start(id, &["--open", &self.opening("config", "json")]);
        process.until(&json!({"event": "synced", "doc": "config"}));
        process
    }
}

/// Waits until the document holds this, whatever else.
pub(crate) fn until_value(process: &mut Process, doc: &str, field: &str, value: &Value) -> Value {
    loop {
        let event = process.until(&json!({"event": "doc", "doc": doc}));
        if event["value"][field] == *value {
            return event;
        }
    }
}

#[test]
fn edits_of_each_reach_all_and_survive_the_listener() {
    let documents = Documents::new();
    let mut a = documents.first();
    let [mut b, mut c] = ["b", "c"].map(|id| documents.member(id));
    b.write_line(json!({"doc": "config", "set": ["mode", "auto"]}));
    for process in [&mut a, &mut b, &mut c] {
        until_value(process, "config", "mode", &json!("auto"));
    }
    a.signal(Signal::KILL);
    b.write_line(json!({"doc": "config", "push": ["items", "after"]}));
    until_value(&mut c, "config", "items", &json!(["after"]));
    c.write_line(json!({"doc": "config", "increment": ["hits", 2]}));
    until_value(&mut b, "config", "hits", &json!(2));

    let mut late = documents.member("late");
    late.write_line(json!({"doc": "config", "get": true}));
    let event = late.until(&json!({"event": "doc", "doc": "config"}));
    let expected = json!({"mode": "auto", "hits": 2, "items": ["after"], "notes": "", "seen": {}});
    assert_eq!(event["value"], expected);
    for process in [b, c, late] {
        process.stop();
    }
}

#[test]
fn each_command_does_what_it_says() {
    let documents = Documents::new();
    let mut a = documents.first();
    for (line, field, value) in [
        (json!({"set": ["mode", "x"]}), "mode", json!("x")),
        (json!({"set": ["notes", "hello"]}), "notes", json!("hello")),
        (
            json!({"insert": ["notes", 5, "!"]}),
            "notes",
            json!("hello!"),
        ),
        (json!({"delete": ["notes", 0, 1]}), "notes", json!("ello!")),
        (json!({"push": ["items", "b"]}), "items", json!(["b"])),
        (
            json!({"insert": ["items", 0, "a"]}),
            "items",
            json!(["a", "b"]),
        ),
        (json!({"delete": ["items", 1, 1]}), "items", json!(["a"])),
        (json!({"increment": ["hits", 1.5]}), "hits", json!(1.5)),
        (
            json!({"set": ["seen.bob", true]}),
            "seen",
            json!({"bob": true}),
        ),
        (json!({"get": true}), "mode", json!("x")),
    ] {
        let mut line = line;
        line["doc"] = json!("config");
        a.write_line(&line);
        let event = a.until(&json!({"event": "doc", "doc": "config"}));
        assert_eq!(event["value"][field], value, "{line}");
    }
    for (line, code) in [
        (
            json!({"doc": "config", "set": ["nothing", 1]}),
            "not-edited",
        ),
        (json!({"doc": "config", "set": ["mode", 1]}), "not-edited"),
        (json!({"doc": "other", "get": true}), "no-document"),
        (json!({"doc": "config", "sett": ["mode", 1]}), "bad-input"),
    ] {
        a.write_line(&line);
        a.until(&json!({"event": "error", "code": code}));
    }
    a.write_line(json!({"doc": "config", "destroy": true}));
    a.write_line(json!({"doc": "config", "get": true}));
    a.until(&json!({"event": "error", "code": "no-document"}));
    a.write_line(json!({"quit": true}));
    assert_eq!(a.end().code, 0);
}

#[test]
fn a_line_from_a_script_reaches_a_server_and_one_that_replicates_keeps_it() {
    let documents = Documents::new();
    let path = documents.bus.path.to_str().unwrap();
    let mut hub = documents.start("hub", &["--listen", "--replicate"]);
    hub.until(&json!({"event": "listening", "path": path}));
    for (doc, kind) in [("config", "json"), ("presence", "ephemeral")] {
        let opening = documents.opening(doc, kind);
        let mut script = documents.start("script", &["--connect", "--open", &opening]);
        script.write_line(json!({"doc": doc, "set": ["mode", "scripted"]}));
        drop(script.stdin());
        assert_eq!(script.end().code, 0);
        until_value(&mut hub, doc, "mode", &json!("scripted"));
    }
    // Its author has left.
    let mut reader = documents.member("reader");
    reader.write_line(json!({"doc": "config", "get": true}));
    until_value(&mut reader, "config", "mode", &json!("scripted"));
    reader.stop();
    hub.stop();
}

#[test]
fn another_schema_is_reported_with_both_hashes() {
    let documents = Documents::new();
    let other = documents.bus.path.with_file_name("other.json");
    fs::write(
        &other,
        r#"{"k":"struct","fields":[["mode",{"k":"number"}]]}"#,
    )
    .unwrap();
    let mut a = documents.first();
    let opening = format!("config=json:{}", other.display());
    let mut b = documents.start("b", &["--open", &opening]);
    let code = "schema-hash-mismatch";
    let event = b.until(&json!({"event": "diagnostic", "code": code, "doc": "config"}));
    let (local, remote) = (
        event["local"].as_str().unwrap(),
        event["remote"].as_str().unwrap(),
    );
    assert!(local.starts_with("02") && remote.starts_with("02") && local != remote);
    assert_eq!(event["local_schema"], r#"["p",[["mode",["s","number"]]]]"#);
    assert_eq!(event["remote_schema"], Value::Null);
    a.write_line(json!({"doc": "config", "get": true}));
    a.until(&json!({"event": "doc", "doc": "config"}));
    a.stop();
    b.stop();
}

#[test]
fn a_schema_that_cannot_be_read_is_wrong_usage() {
    let documents = Documents::new();
    let path = documents.bus.path.to_str().unwrap();
    fs::write(
        &documents.schema,
        r#"{"k":"struct","fields":[["a",{"k":"txt"}]]}"#,
    )
    .unwrap();
    let opening = documents.opening("config", "json");
    let output = command(["exchange", path, "--open", &opening])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("there is no kind \"txt\""), "{stderr}");
}

/// Exit code, stdout and stderr of `doc`.
fn doc(documents: &Documents, args: &[&str]) -> (i32, String, String) {
    let path = documents.bus.path.to_str().unwrap();
    let output = command([&["doc", path], args].concat()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn a_person_lists_shows_and_sets_documents() {
    let documents = Documents::new();
    let opening = documents.opening("presence", "ephemeral");
    let config = documents.opening("config", "json");
    let mut a = documents.start("a", &["--open", &config, "--open", &opening]);
    a.until(&json!({"event": "role", "role": "listener"}));
    let mut b = documents.start("b", &["--open", &config]);
    b.until(&json!({"event": "synced", "doc": "config"}));
    a.write_line(json!({"doc": "config", "set": ["mode", "auto"]}));
    a.until(&json!({"event": "doc", "doc": "config"}));

    let (code, stdout, _) = doc(&documents, &[]);
    assert_eq!(code, 0);
    let hash = |line: &str| line.split('\t').nth(2).unwrap().to_owned();
    let hashes: Vec<_> = stdout.lines().map(hash).collect();
    let [config, presence] = hashes.try_into().unwrap();
    // `b` knows of the other one, and would open it with its schema.
    let listed = format!("config\tjson\t{config}\ta,b\npresence\tephemeral\t{presence}\ta,b\n");
    assert_eq!(stdout, listed);

    let shown = doc(&documents, &["config", "mode"]);
    assert_eq!(shown, (0, "\"auto\"\n".to_owned(), String::new()));
    let schema = documents.schema.to_str().unwrap();
    let set = doc(&documents, &["config", "mode", "dark", "--schema", schema]);
    assert_eq!(set, (0, "\"dark\"\n".to_owned(), String::new()));
    until_value(&mut a, "config", "mode", &json!("dark"));

    let (code, _, stderr) = doc(&documents, &["other"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("there is no document other"), "{stderr}");

    let file = documents.bus.path.with_file_name("other.json");
    fs::write(&file, r#"{"k":"struct","fields":[["x",{"k":"number"}]]}"#).unwrap();
    let other = file.to_str().unwrap();
    let (code, stdout, stderr) = doc(&documents, &["config", "x", "1", "--schema", other]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    let told = "config has another schema: hash ";
    assert!(stderr.contains(told), "{stderr}");
    for part in [config.as_str(), documents.bus.at(), "02", "01", other] {
        assert!(stderr.contains(part), "{stderr} without {part}");
    }
    // A member holds another document of that id.
    let mut c = documents.start("c", &["--open", &format!("config=json:{other}")]);
    c.until(&json!({"event": "diagnostic", "code": "schema-hash-mismatch"}));
    let (code, _, stderr) = doc(&documents, &["config", "x", "1", "--schema", other]);
    assert_eq!(code, 1);
    let told = "config is not set: members at ";
    assert!(
        stderr.contains(told) && stderr.contains(config.as_str()),
        "{stderr}"
    );
    c.stop();
    b.stop();
    a.stop();
    let (code, _, stderr) = doc(&documents, &[]);
    assert_eq!(code, 1, "{stderr}");
}

#[test]
fn a_person_is_told_that_there_is_no_document() {
    let documents = Documents::new();
    let path = documents.bus.path.display();
    let told = (
        0,
        String::new(),
        format!("there is no document at {path}\n"),
    );
    // The second one cannot be asked, and presents nothing.
    for options in [&["exchange"][..], &["peer", "--no-relay"]] {
        let (name, rest) = options.split_first().unwrap();
        let at = documents.bus.at();
        let mut a = start(&[&[*name, at, "--json", "--stay"], rest].concat());
        a.until(&json!({"event": "role", "role": "listener"}));
        assert_eq!(doc(&documents, &[]), told);
        a.stop();
    }
}

#[test]
fn a_person_follows_a_document_over_the_end_of_its_listener() {
    let documents = Documents::new();
    let path = documents.bus.path.to_str().unwrap();
    let mut a = documents.first();
    let mut b = documents.member("b");
    a.write_line(json!({"doc": "config", "set": ["mode", "one"]}));
    until_value(&mut b, "config", "mode", &json!("one"));
    let mut watch = start(&["doc", path, "config", "mode", "--watch"]);
    assert_eq!(watch.line(), "\"one\"");
    a.signal(Signal::KILL);
    b.until(&json!({"event": "role", "role": "listener"}));
    b.write_line(json!({"doc": "config", "set": ["mode", "two"]}));
    while watch.line() != "\"two\"" {}
    let watching = format!("doc-{}", watch.pid());
    watch.signal(Signal::INT);
    let end = watch.end();
    assert_eq!(end.code, 0, "{end:?}");
    let followed = json!({"event": "peer", "peer": watching});
    b.until(&followed);
    assert_eq!(b.until(&followed)["change"], "departed");
    assert!(
        end.stderr.contains("has ended: waiting for another"),
        "{end:?}"
    );
    b.stop();
}

#[cfg(feature = "loro")]
#[test]
fn loro_documents_are_edited_on_both_sides() {
    edited_on_both_sides("loro", true);
}

#[cfg(feature = "yjs")]
#[test]
fn yjs_documents_are_edited_on_both_sides() {
    edited_on_both_sides("yjs", false);
}

#[cfg(any(feature = "loro", feature = "yjs"))]
fn edited_on_both_sides(kind: &str, counts: bool) {
    let documents = Documents::new();
    if !counts {
        // Yjs has no counters.
        let fields = json!([["notes", {"k": "text"}]]);
        let text = json!({"k": "struct", "fields": fields}).to_string();
        fs::write(&documents.schema, text).unwrap();
    }
    let opening = documents.opening("notes", kind);
    let mut a = documents.start("a", &["--open", &opening]);
    a.until(&json!({"event": "role", "role": "listener"}));
    let mut b = documents.start("b", &["--open", &opening]);
    b.until(&json!({"event": "synced", "doc": "notes"}));
    a.write_line(json!({"doc": "notes", "insert": ["notes", 0, "from a"]}));
    until_value(&mut b, "notes", "notes", &json!("from a"));
    b.write_line(json!({"doc": "notes", "insert": ["notes", 6, " and b"]}));
    if counts {
        b.write_line(json!({"doc": "notes", "increment": ["hits", 2]}));
        a.write_line(json!({"doc": "notes", "increment": ["hits", 3]}));
    }
    for process in [&mut a, &mut b] {
        if counts {
            until_value(process, "notes", "hits", &json!(5));
        }
        process.write_line(json!({"doc": "notes", "get": true}));
        until_value(process, "notes", "notes", &json!("from a and b"));
    }
    for process in [b, a] {
        process.stop();
    }
}
