//! Replays the corpus of the fuzz target `yjs`, and inputs that are like it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};

use fastrand::Rng;

#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/yjs.rs"]
mod target;

/// How many altered inputs are tried.
const ALTERED: u64 = 4_000;

fn corpus() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/yjs");
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    // Whatever the order of the directory, a seed draws the same.
    files.sort();
    files
        .into_iter()
        .map(|file| fs::read(file).unwrap())
        .collect()
}

#[test]
fn no_input_of_the_corpus_shows_a_fault() {
    let inputs = corpus();
    assert!(inputs.len() > 10, "the corpus is missing");
    for input in inputs {
        target::yjs(&input);
    }
}

#[test]
fn no_altered_input_shows_a_fault() {
    let inputs = corpus();
    for seed in 0..ALTERED {
        let mut rng = Rng::with_seed(seed);
        let mut input = inputs[rng.usize(..inputs.len())].clone();
        for _ in 0..rng.usize(1..6) {
            alter(&mut rng, &mut input, &inputs);
        }
        // A panic names the input.
        let _seed = Seed(seed);
        target::yjs(&input);
    }
}

fn alter(rng: &mut Rng, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
    let at = rng.usize(..=input.len());
    match rng.usize(..5) {
        0 => input.truncate(at),
        1 => input.insert(at, rng.u8(..)),
        2 => input.extend_from_slice(&inputs[rng.usize(..inputs.len())]),
        3 if at < input.len() => drop(input.remove(at)),
        _ if at < input.len() => input[at] = [rng.u8(..), 0, 1, 0x7f, 0xff][rng.usize(..5)],
        _ => {}
    }
}

/// Says which seed it was, if the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}
