//! A stack in a senseless order does not compile, and rustc says why in a sentence of ours.
//!
//! What rustc says around it changes from release to release, so it is compared under one release
//! alone. After a change that is meant: `TRYBUILD=overwrite cargo test --test stack_order`.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// The release that `tests/ui/*.stderr` were written by.
const RUSTC: &str = "rustc 1.95.";

const NO_FRAMES: &str = "this stack does not make frame transports: `";
const NO_MESSAGES: &str = "this stack does not make channels: `";
const NO_CLONES: &str =
    "this stack makes channels one at a time, and cannot be cloned for each connection: `";
const NO_BYTES: &str = "is not a byte stream, so it cannot be cut into frames";

/// Each case, and what its first error says.
const CASES: [(&str, &str); 8] = [
    ("cbor_over_the_connector", NO_FRAMES),
    ("handshake_over_frames", NO_MESSAGES),
    ("framing_above_cbor", NO_FRAMES),
    ("framing_alone", NO_MESSAGES),
    ("framing_twice", NO_BYTES),
    ("negotiate_without_cbor", NO_MESSAGES),
    ("queue_without_cbor", NO_MESSAGES),
    ("rate_limit_below_negotiate", NO_CLONES),
];

#[test]
fn a_senseless_order_does_not_compile() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .unwrap()
        .stdout;
    let version = String::from_utf8(version).unwrap();
    if !version.starts_with(RUSTC) {
        eprintln!("skipped: the expected words are those of {RUSTC}*, this is {version}");
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}

/// None of rustc's errors is told without a sentence of ours.
#[test]
fn every_error_says_it_in_a_sentence_of_ours() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    for (case, first) in CASES {
        let said = fs::read_to_string(dir.join(case).with_extension("stderr")).unwrap();
        let mut errors = said
            .lines()
            .filter(|line| line.starts_with("error"))
            .peekable();
        assert!(errors.peek().unwrap().contains(first), "{case}: {said}");
        for error in errors {
            let ours = [NO_FRAMES, NO_MESSAGES, NO_CLONES, NO_BYTES];
            assert!(
                ours.iter().any(|ours| error.contains(ours)),
                "{case}: {error}"
            );
        }
    }
    let files: BTreeSet<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_os_string())
        .collect();
    let cases: BTreeSet<_> = CASES.iter().map(|(case, _)| (*case).into()).collect();
    assert_eq!(files, cases);
}
