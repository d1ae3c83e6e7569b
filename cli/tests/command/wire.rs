//! `wire` with each of its commands, held against the vectors.
//!
//! A failure says wire version, direction and cut of a session, or the name of a walk, and shows both results.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::process::start;

/// The recorded session of a wire version: direction, bytes, messages.
fn session(wire: u8) -> Vec<(String, Vec<u8>, Vec<Value>)> {
    let name = format!("../tests/vectors/session-v{wire}.json");
    let text = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let session: Value = serde_json::from_slice(&text).unwrap();
    let entries = session["sequence"].as_array().unwrap();
    let entries = entries
        .iter()
        .filter(|entry| entry["conn"] == 1)
        .map(|entry| {
            let frames = entry["frames"].as_array().unwrap().iter();
            let bytes = frames.flat_map(|hex| hex::decode(hex.as_str().unwrap()).unwrap());
            let decoded = entry["decoded"].as_array().unwrap().clone();
            (
                entry["dir"].as_str().unwrap().to_owned(),
                bytes.collect(),
                decoded,
            )
        });
    entries.collect()
}

/// The cases of a kind in a file of vectors.
fn cases(file: &str, kind: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut cases: Vec<Value> =
        serde_json::from_slice(&fs::read(path.join(file)).unwrap()).unwrap();
    cases.retain(|case| case["kind"] == kind);
    cases
}

/// Feeds lines to one process; returns its answers.
fn run(args: &[&str], lines: Vec<String>) -> Vec<Value> {
    let mut process = start(args);
    let mut stdin = process.stdin();
    let count = lines.len();
    let saying = std::thread::spawn(move || {
        std::io::Write::write_all(&mut stdin, lines.concat().as_bytes()).unwrap();
    });
    let answers = (0..count).map(|_| process.next()).collect();
    saying.join().unwrap();
    let end = process.finish();
    assert_eq!((end.code, end.stderr.as_str()), (0, ""));
    answers
}

fn piece(dir: &str, bytes: &[u8]) -> String {
    format!(
        "{{\"dir\":\"{dir}\",\"bytes\":\"{}\"}}\n",
        hex::encode(bytes)
    )
}

/// JavaScript has one number type: 1 and 1.0 are equal.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => ours.as_f64() == theirs.as_f64(),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same(a, b))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len() && ours.iter().all(|(key, value)| same(value, &theirs[key]))
        }
        _ => ours == theirs,
    }
}

#[test]
fn a_session_decodes_the_same_however_it_is_cut() {
    for wire in [2, 3] {
        for dir in ["A->B", "B->A"] {
            let entries = session(wire).into_iter().filter(|(of, ..)| of == dir);
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (_, frames, messages) in entries {
                bytes.extend(frames);
                expected.extend(messages.into_iter().map(|msg| json!({ "ok": msg })));
            }
            let expected = Value::Array(expected);
            // A direction for each cut, so that each has its own tables.
            let lines = (0..=bytes.len()).flat_map(|cut| {
                let (first, second) = bytes.split_at(cut);
                let dir = format!("{cut}->B");
                [piece(&dir, first), piece(&dir, second)]
            });
            let answers = run(&["wire", "decode"], lines.collect());
            for (cut, answers) in answers.chunks(2).enumerate() {
                let results = answers
                    .iter()
                    .flat_map(|answer| answer["results"].as_array());
                let results = Value::Array(results.flatten().cloned().collect());
                assert!(
                    same(&results, &expected),
                    "wire {wire}, {dir}, cut at {cut}: {results}"
                );
            }
            // Byte by byte.
            let lines = bytes.iter().map(|byte| piece(dir, &[*byte])).collect();
            let answers = run(&["wire", "decode"], lines);
            let results = answers
                .iter()
                .flat_map(|answer| answer["results"].as_array());
            let results = Value::Array(results.flatten().cloned().collect());
            assert!(same(&results, &expected), "wire {wire}, {dir}: {results}");
        }
    }
}

#[test]
fn a_session_encodes_to_the_bytes_of_the_reference() {
    for wire in [2, 3] {
        let session = session(wire);
        let lines = session.iter().flat_map(|(dir, _, messages)| {
            let lines = messages
                .iter()
                .map(move |msg| json!({"dir": dir, "msg": msg}));
            lines.map(|line| format!("{line}\n"))
        });
        let args = ["wire", "encode", "--wire", &wire.to_string()];
        let mut answers = run(&args, lines.collect()).into_iter();
        for (dir, bytes, messages) in &session {
            let ours = messages.iter().map(|_| {
                let answer = answers.next().unwrap();
                assert_eq!(&answer["dir"], dir);
                answer["bytes"].as_str().unwrap().to_owned()
            });
            assert_eq!(
                ours.collect::<String>(),
                hex::encode(bytes),
                "wire {wire}, {dir}"
            );
        }
    }
}

#[test]
fn raw_bytes_are_a_line_for_each_frame() {
    for wire in [2, 3] {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (_, frames, messages) in session(wire).into_iter().filter(|(dir, ..)| dir == "A->B") {
            bytes.extend(frames);
            expected.extend(messages);
        }
        let mut process = start(&["wire", "decode", "--raw"]);
        process.write(&bytes);
        for msg in &expected {
            assert!(same(&process.next(), msg), "wire {wire}: {msg}");
        }
        let end = process.finish();
        assert_eq!((end.code, end.rest), (0, Vec::new()));
    }
}

#[test]
fn invalid_bytes_are_errors_in_their_place() {
    let depart = "03000000000400000001a1617402";
    for (bytes, expected) in [
        ("", &[][..]),
        (depart, &["ok"]),
        // An empty payload, invalid CBOR, an invalid message, an unknown alias.
        ("03000000000000000001", &["decode-failed"]),
        ("03000000000100000001ff", &["decode-failed"]),
        ("0300000000010000000101", &["invalid-wire-message"]),
        (
            "03000000000800000001a261741362647805",
            &["alias-resolution-failed"],
        ),
        // A header of 4 GiB, and what comes after it.
        ("0300ffffffff00000001ff", &["reassembly-failed"]),
    ] {
        let answer = &run(
            &["wire", "decode", "--max-frame", "64MiB"],
            vec![piece_of_hex(bytes)],
        )[0];
        let results = answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["error"]["code"].as_str().unwrap_or("ok").to_owned());
        assert_eq!(results.collect::<Vec<_>>(), expected, "{bytes}: {answer}");
        assert_eq!(answer["dir"], "A->B");
    }
}

fn piece_of_hex(hex: &str) -> String {
    format!("{{\"dir\":\"A->B\",\"bytes\":\"{hex}\"}}\n")
}

#[test]
fn a_line_that_is_not_understood_is_answered_and_fails_at_the_end() {
    let mut process = start(&["wire", "decode"]);
    for (line, expected) in [
        ("rubbish", "bad-input"),
        (r#"{"dir":"A->B"}"#, "bad-input"),
        (r#"{"dir":"A->B","bytes":"0"}"#, "bad-input"),
        (r#"{"dir":"AB","bytes":""}"#, "bad-input"),
    ] {
        process.write_line(line);
        assert_eq!(process.next()["error"]["code"], expected, "{line}");
    }
    process.write(piece_of_hex("03000000000400000001a1617402").as_bytes());
    assert_eq!(
        process.next()["results"],
        json!([{"ok": {"type": "depart"}}])
    );
    assert_eq!(process.finish().code, 1);
}

/// Runs the walks of a file of vectors, without their effects and what they end with; returns how many there are.
fn replay(name: &str, file: &str) -> usize {
    let mut walks = cases(file, "walk");
    let mut expected = Vec::new();
    for walk in &mut walks {
        let steps = walk["steps"].as_array_mut().unwrap().iter_mut();
        let effects = steps.map(|step| step.as_object_mut().unwrap().remove("effects").unwrap());
        expected.push(Value::Array(effects.collect()));
        walk.as_object_mut().unwrap().remove("end");
    }
    let lines = walks.iter().map(|walk| format!("{walk}\n")).collect();
    assert_eq!(run(&["wire", name], lines), expected);
    walks.len()
}

#[test]
fn every_recorded_walk_of_the_hub_has_its_effects() {
    assert_eq!(replay("relay", "relay.json"), 240);
}

#[test]
fn every_recorded_walk_of_a_peer_has_its_effects() {
    assert_eq!(replay("sync", "exchange-sync.json"), 450);
}

#[test]
fn a_walk_that_is_not_understood_is_answered_with_the_reason() {
    let mut process = start(&["wire", "sync"]);
    for (line, reason) in [
        (r#"{"wire":4,"steps":[]}"#, "wire"),
        (r#"{"wire":3}"#, "steps"),
        (r#"{"steps":[{"in":"quiet"},{"in":"noise"}]}"#, "steps.1.in"),
        (r#"{"steps":[{"in":"peer-available"}]}"#, "steps.0.peer"),
        (r#"{"denyShare":[["d"]],"steps":[]}"#, "denyShare.0"),
    ] {
        process.write_line(line);
        let error = process.next()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(error.starts_with(reason), "{line}: {error}");
    }
    process.write_line(r#"{"steps":[{"in":"quiet"}]}"#);
    assert_eq!(process.next(), json!([[]]));
    assert_eq!(process.finish().code, 1);
}

#[test]
fn every_recorded_schema_has_its_hashes_and_identities() {
    let cases = cases("exchange-schema.json", "schema");
    let expected: Vec<_> = cases
        .iter()
        .map(|case| {
            let (old, new) = (&case["1.8.0"], &case["2.3.2"]);
            json!({
                "v1": old["schemaHash"],
                "v2": new["schemaHash"],
                "supported1": old["supportedHashes"],
                "supported2": new["supportedHashes"],
                "identities": new["identities"],
            })
        })
        .collect();
    let lines = cases.iter().map(|case| format!("{}\n", case["decl"]));
    assert_eq!(run(&["wire", "schema"], lines.collect()), expected);
}

#[test]
fn a_schema_that_cannot_be_is_answered_with_the_reason() {
    let mut process = start(&["wire", "schema"]);
    let not_json = "the schema is not JSON: expected value at line 1 column 1";
    for (line, expected) in [
        ("rubbish", not_json),
        ("\u{feff}", not_json),
        ("{\"k\":\"tex\"}", "schema: there is no kind \"tex\""),
    ] {
        process.write_line(line);
        assert_eq!(process.next(), json!({ "error": expected }));
    }
    let end = process.finish();
    let summary = "kyneta-uds: 3 lines were not understood; their answers say why\n";
    assert_eq!((end.code, end.stderr.as_str()), (1, summary));
}

#[test]
fn every_recorded_pair_of_versions_has_its_order() {
    let cases = cases("exchange-versions.json", "compare");
    let lines = cases.iter().map(|case| {
        let pair = json!({"substrate": case["substrate"], "wire": case["wire"], "a": case["a"], "b": case["b"]});
        format!("{pair}\n")
    });
    let answers = run(&["wire", "version"], lines.collect());
    for (answer, case) in answers.iter().zip(&cases) {
        match case.get("order") {
            Some(order) => {
                assert_eq!(
                    *answer,
                    json!({"order": order, "reverse": case["reverse"]}),
                    "{case}"
                );
            }
            None => assert!(
                answer["error"].as_str().unwrap().contains("is no version"),
                "{answer}"
            ),
        }
    }
}

#[test]
fn every_recorded_walk_of_a_bus_has_its_effects() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/bus.json");
    let vectors: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut walks: Vec<_> = vectors
        .into_iter()
        .filter(|case| case["kind"] != "meta")
        .collect();
    assert_eq!(walks.len(), 200);
    let mut expected = Vec::new();
    for walk in &mut walks {
        walk.as_object_mut().unwrap().remove("state");
        let steps = walk["steps"].as_array_mut().unwrap().iter_mut();
        let effects = steps.map(|step| step.as_object_mut().unwrap().remove("effects").unwrap());
        expected.push(Value::Array(effects.collect()));
    }
    let lines = walks.iter().map(|walk| format!("{walk}\n")).collect();
    assert_eq!(run(&["wire", "bus"], lines), expected);
}

#[test]
fn a_walk_of_a_bus_that_is_none_is_answered_with_the_field() {
    let mut process = start(&["wire", "bus"]);
    for (line, expected) in [
        (r#"{"kind":"hub","steps":[]}"#, "me: missing"),
        (
            r#"{"kind":"hub","me":"1","steps":[]}"#,
            "me: \"1\" is no \"number/incarnation\"",
        ),
        (
            r#"{"kind":"peer","me":"1/0","steps":[]}"#,
            "kind: \"peer\" is none of member, hub",
        ),
        (
            r#"{"kind":"hub","me":"1/0","steps":[{"event":{"conn":0,"take":{"t":"hi"}}}]}"#,
            "steps.0.event.take.t: \"hi\" is none of hello, pos, ack, start, msg, bye",
        ),
    ] {
        process.write_line(line);
        assert_eq!(process.next()["error"]["message"], expected, "{line}");
    }
    assert_eq!(process.finish().code, 1);
}
