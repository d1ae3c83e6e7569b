//! Reads a vector file and expands its shorthands; the file's first element describes them.

use std::{fs, path::Path};

use kyneta_uds_core::WireVersion;
use serde_json::Value;

pub(crate) const WIRES: [WireVersion; 2] = [WireVersion::V2, WireVersion::V3];

pub(crate) fn read(name: &str) -> Value {
    // The fuzz crate reads them, too, from another directory.
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|dir| dir.join("tests/vectors").join(name))
        .find(|file| file.exists())
        .expect("the vectors are part of the repository");
    let text = fs::read_to_string(file).expect("a vector file is text");
    serde_json::from_str(&text).expect("a vector file is JSON")
}

/// The cases of one kind.
pub(crate) fn cases(wire: WireVersion, kind: &str) -> Vec<Value> {
    let Value::Array(cases) = read(&format!("v{wire}.json")) else {
        panic!("a list of cases")
    };
    cases
        .into_iter()
        .filter(|case| case["kind"] == kind)
        .collect()
}

/// The recorded session of two real peers.
pub(crate) fn captured(wire: WireVersion) -> Value {
    read(&format!("session-v{wire}.json"))
}

pub(crate) fn name(case: &Value) -> &str {
    case["name"].as_str().expect("a case has a name")
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn gen_bytes(n: u64) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + 7) as u8).collect()
}

pub(crate) fn gen_text(n: u64) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..n)
        .map(|i| char::from(ALPHABET[((i * 31 + 7) & 63) as usize]))
        .collect()
}

/// Hex, or a list of parts.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => hex::decode(text).expect("hex"),
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        part => {
            if let Some(text) = part["$repeat"].as_str() {
                let times = part["times"].as_u64().expect("times") as usize;
                hex::decode(text).expect("hex").repeat(times)
            } else if let Some(n) = part["$genBytes"].as_u64() {
                gen_bytes(n)
            } else {
                gen_text(part["$genText"].as_u64().expect("a known part")).into_bytes()
            }
        }
    }
}
