//! Loro and Yjs documents that Rust exchanges share with JavaScript ones of both releases, which hold them in the libraries
//! that the TypeScript package uses. Either language listens.
//!
//! Needs `node` and `npm`, which fetches the versions of tests/node/libraries once; without them the tests pass and print
//! that they were skipped.
//!
//! `cargo nextest run -p kyneta-uds-cli --features loro,yjs --test command exchange_libraries --no-capture`

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    process::{Process, start},
    support::common::Bus,
};

/// The directory with the libraries, or why there is none.
fn libraries() -> Result<PathBuf, String> {
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node-libraries");
    if installed.exists() {
        return Ok(installed);
    }
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/node/libraries");
    let fresh = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for file in ["package.json", "package-lock.json"] {
        fs::copy(pinned.join(file), fresh.path().join(file)).unwrap();
    }
    let options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let npm = Command::new("npm")
        .args(options)
        .current_dir(fresh.path())
        .output();
    let npm = npm.map_err(|error| format!("npm: {error}"))?;
    if !npm.status.success() {
        let said = String::from_utf8_lossy(&npm.stderr);
        return Err(format!("npm ci: {said}"));
    }
    // Another test may have been faster.
    match fs::rename(fresh.path(), &installed) {
        Err(error) if !installed.exists() => panic!("{error}"),
        _ => Ok(installed),
    }
}

/// A type of documents of tests/node/exchange/types.mjs, which is its name, too.
struct Kind {
    doc: &'static str,
    substrate: &'static str,
    has_counter: bool,
}

const LORO: Kind = Kind {
    doc: "board",
    substrate: "loro",
    has_counter: true,
};

const YJS: Kind = Kind {
    doc: "pad",
    substrate: "yjs",
    has_counter: false,
};

impl Kind {
    fn opening(&self, bus: &Bus) -> String {
        let mut fields = vec![
            json!(["text", {"k": "text"}]),
            json!(["items", {"k": "list", "item": {"k": "string"}}]),
            json!(["meta", {"k": "struct", "fields": [["owner", {"k": "string"}], ["n", {"k": "number"}]]}]),
            json!(["tags", {"k": "record", "item": {"k": "boolean"}}]),
        ];
        if self.has_counter {
            fields.push(json!(["mode", {"k": "string"}]));
            fields.push(json!(["hits", {"k": "counter"}]));
        }
        let file = bus.path.with_file_name("schema.json");
        fs::write(&file, json!({"k": "struct", "fields": fields}).to_string()).unwrap();
        format!("{}={}:{}", self.doc, self.substrate, file.display())
    }
}

/// A process with the document, in either language.
struct Member {
    process: Process,
    is_node: bool,
    doc: &'static str,
}

impl Member {
    fn rust(kind: &Kind, bus: &Bus, id: &str) -> Self {
        let opening = kind.opening(bus);
        let options = ["--json", "--stay", "--id", id, "--open", &opening];
        let mut process = start(&[&["exchange", bus.at()], &options[..]].concat());
        process.until(&json!({"event": "role"}));
        Self {
            process,
            is_node: false,
            doc: kind.doc,
        }
    }

    fn node(kind: &Kind, bus: &Bus, wire: &str, libraries: &Path, how: &str, id: &str) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/node/member.mjs");
        let mut node = Command::new("node");
        node.arg(program)
            .args([how, bus.at(), wire, id])
            .arg(libraries);
        node.stdin(Stdio::piped());
        node.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::of(node);
        let is_ready = if how == "join" {
            "listening"
        } else {
            "connected"
        };
        process.until(&json!({"event": is_ready}));
        process.write_line(json!({"doc": kind.doc, "open": kind.doc}));
        Self {
            process,
            is_node: true,
            doc: kind.doc,
        }
    }

    /// An edit of each kind: what it appends to texts is `word`.
    fn edit(&mut self, kind: &Kind, word: &str) {
        let mut edits = vec![
            json!(["insert", "text", 0, format!("{word};")]),
            json!(["push", "items", word]),
            json!(["set", "meta.owner", word]),
        ];
        if kind.has_counter {
            edits.push(json!(["set", "mode", word]));
            edits.push(json!(["increment", "hits", 2]));
        }
        if self.is_node {
            let as_path = |mut edit: Value| {
                let path: Vec<_> = edit[1].as_str().unwrap().split('.').collect();
                edit[1] = json!(path);
                edit
            };
            let mut edits: Vec<_> = edits.into_iter().map(as_path).collect();
            edits.push(json!(["put", ["tags"], word, true]));
            self.process
                .write_line(json!({"doc": self.doc, "edit": edits}));
            return;
        }
        edits.push(json!(["set", format!("tags.{word}"), true]));
        for edit in edits {
            let (name, rest) = edit.as_array().unwrap().split_first().unwrap();
            let mut line = json!({"doc": self.doc});
            line[name.as_str().unwrap()] = json!(rest);
            self.process.write_line(line);
        }
    }

    fn delete_first_item(&mut self) {
        let line = match self.is_node {
            true => json!({"doc": self.doc, "edit": [["delete", ["items"], 0, 1]]}),
            false => json!({"doc": self.doc, "delete": ["items", 0, 1]}),
        };
        self.process.write_line(line);
    }

    /// What it reports next of the document.
    fn next(&mut self) -> Value {
        let event = if self.is_node { "value" } else { "doc" };
        let line = loop {
            let line = self.process.next();
            assert_ne!(line["event"], "error", "{line}");
            if line["event"] == event && line["doc"] == self.doc {
                break line;
            }
        };
        line["value"].clone()
    }
}

/// All of it.
fn size(value: &Value) -> [usize; 4] {
    [
        value["text"]
            .as_str()
            .unwrap_or_default()
            .matches(';')
            .count(),
        value["items"].as_array().map_or(0, Vec::len),
        value["tags"].as_object().map_or(0, serde_json::Map::len),
        // Two for each edit, where there is a counter.
        value["hits"].as_f64().unwrap_or_default() as usize,
    ]
}

/// Until all have all edits and the same value; how long that took.
fn until_equal(members: &mut [&mut Member], expected: [usize; 4]) -> Duration {
    let began = Instant::now();
    let mut values: Vec<Value> = Vec::new();
    for member in &mut *members {
        let line = json!({"doc": member.doc, "get": true});
        member.process.write_line(line);
        let mut value = member.next();
        while size(&value) != expected {
            value = member.next();
        }
        values.push(value);
    }
    // Each has all edits: what they come to no longer depends on what is under way.
    assert!(
        values.windows(2).all(|pair| pair[0] == pair[1]),
        "{values:#?}"
    );
    began.elapsed()
}

/// Edits both ways and at once, a late joiner of each language, a listener that is killed, and a restart.
fn shared(kind: &Kind, libraries: &Path, rust_listens: bool, wire: &str) {
    let bus = Bus::new();
    let node = |how: &str, id: &str| Member::node(kind, &bus, wire, libraries, how, id);
    let (mut rust, mut js) = match rust_listens {
        true => {
            let rust = Member::rust(kind, &bus, "rust");
            (rust, node("connect", "node"))
        }
        false => {
            let js = node("join", "node");
            (Member::rust(kind, &bus, "rust"), js)
        }
    };
    let mut edits = 0;
    let mut expected = |edits_more: usize, items_less: usize| {
        edits += edits_more;
        let hits = if kind.has_counter { 2 * edits } else { 0 };
        [edits, edits - items_less, edits, hits]
    };
    rust.edit(kind, "rust");
    until_equal(&mut [&mut rust, &mut js], expected(1, 0));
    js.edit(kind, "node");
    until_equal(&mut [&mut rust, &mut js], expected(1, 0));
    for round in 0..5 {
        rust.edit(kind, &format!("r{round}"));
        js.edit(kind, &format!("n{round}"));
    }
    let took = until_equal(&mut [&mut rust, &mut js], expected(10, 0));
    js.delete_first_item();
    until_equal(&mut [&mut rust, &mut js], expected(0, 1));

    let mut late_js = node("connect", "late-node");
    let mut late_rust = Member::rust(kind, &bus, "late-rust");
    until_equal(
        &mut [&mut rust, &mut js, &mut late_js, &mut late_rust],
        expected(0, 1),
    );
    late_js.edit(kind, "late-node");
    late_rust.edit(kind, "late-rust");
    until_equal(
        &mut [&mut rust, &mut js, &mut late_js, &mut late_rust],
        expected(2, 1),
    );

    // The listener is killed: a Rust process takes the path, and all edit before they meet again.
    let killed = if rust_listens { rust } else { js };
    let is_node = killed.is_node;
    drop(killed);
    late_js.edit(kind, "meanwhile-node");
    late_rust.edit(kind, "meanwhile-rust");
    let mut again = match is_node {
        true => node("connect", "node"),
        false => Member::rust(kind, &bus, "rust"),
    };
    until_equal(
        &mut [&mut again, &mut late_js, &mut late_rust],
        expected(2, 1),
    );
    again.edit(kind, "again");
    until_equal(
        &mut [&mut again, &mut late_js, &mut late_rust],
        expected(1, 1),
    );
    let listener = if rust_listens { "Rust" } else { "JavaScript" };
    println!(
        "{}, wire version {wire}, {listener} listens: equal {took:.1?} after ten edits at once",
        kind.substrate
    );
}

fn shared_in_all_settings(kind: &Kind) {
    let libraries = match libraries() {
        Ok(libraries) => libraries,
        Err(why) => {
            println!("skipped: there are no JavaScript libraries: {why}");
            return;
        }
    };
    if let Err(error) = Command::new("node").arg("--version").output() {
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        println!("skipped: there is no `node` on the PATH");
        return;
    }
    for wire in ["3", "2"] {
        for rust_listens in [true, false] {
            shared(kind, &libraries, rust_listens, wire);
        }
    }
}

#[test]
fn loro_documents_are_equal_in_rust_and_javascript() {
    shared_in_all_settings(&LORO);
}

#[test]
fn yjs_documents_are_equal_in_rust_and_javascript() {
    shared_in_all_settings(&YJS);
}
