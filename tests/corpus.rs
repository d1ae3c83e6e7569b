//! Replays the corpus of the fuzz targets: what a hostile peer may send, written by hand or found by libFuzzer,
//! through the functions that are fuzzed.

// A target panics when it finds a fault.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

#[allow(unreachable_pub, dead_code)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

fn replay(name: &str) {
    let (_, target) = targets::TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .unwrap();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut inputs = 0;
    for file in fs::read_dir(&dir).unwrap() {
        let file = file.unwrap().path();
        let input = fs::read(&file).unwrap();
        let replayed = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(replayed.is_ok(), "{}", file.display());
        inputs += 1;
    }
    println!("{name}: {inputs} inputs");
    assert!(inputs > 10, "the corpus of {name} is missing");
}

#[test]
fn frames() {
    replay("frames");
}

#[test]
fn decode() {
    replay("decode");
}

#[test]
fn session() {
    replay("session");
}

#[test]
fn client() {
    replay("client");
}

#[test]
fn negotiate() {
    replay("negotiate");
}

#[test]
fn relay() {
    replay("relay");
}

#[test]
fn schema() {
    replay("schema");
}

#[test]
fn offers() {
    replay("offers");
}

#[test]
fn sync() {
    replay("sync");
}

#[test]
fn bus() {
    replay("bus");
}
