//! Replays the corpus of the fuzz target `loro`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};

#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/loro.rs"]
mod target;

#[test]
fn no_input_of_the_corpus_shows_a_fault() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/loro");
    let mut inputs = 0;
    for file in fs::read_dir(dir).unwrap() {
        target::loro(&fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 10, "the corpus is missing");
}
