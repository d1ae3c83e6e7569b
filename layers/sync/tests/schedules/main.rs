//! Random schedules of machines, from seeds: peers join, leave, are killed and come back, edit, suspend and destroy
//! documents, read slowly; connections are cut, pushes are lost, the hub is killed and another takes its place. In the
//! end all replicas are equal.
//!
//! A seed that fails is named; `KYNETA_SEED=n` runs it alone and prints each event. `KYNETA_RUNS=100000` makes it a
//! long run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod content;
#[path = "../../../../tests/support/schedules/edits.rs"]
mod edits;
mod node;
#[path = "../../../../tests/support/schedules/random.rs"]
mod random;
mod traps;
mod world;

use world::{Plan, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(modes: &'static str, through_a_hub: bool) {
    let plan = Plan {
        modes,
        through_a_hub,
    };
    if let Some(seed) = number("KYNETA_SEED") {
        World::new(seed, plan, true).run().map(drop).unwrap();
        return;
    }
    let runs = number("KYNETA_RUNS").unwrap_or(300);
    let (mut kills, mut lost) = (0, 0);
    for seed in 0..runs {
        match World::new(seed, plan, false).run() {
            Ok(world) => {
                kills += world.kills;
                lost += world.lost;
            }
            Err(error) => panic!("{plan:?}, KYNETA_SEED={seed}: {error}"),
        }
    }
    println!("{plan:?}: {runs} runs, {kills} killed, {lost} pushes lost, all equal");
}

#[test]
fn concurrent_documents_become_equal_through_a_hub() {
    run("ccc", true);
}

#[test]
fn serialized_documents_become_equal_through_a_hub() {
    run("ss", true);
}

#[test]
fn snapshots_become_equal_through_a_hub() {
    run("ee", true);
}

#[test]
fn documents_of_all_modes_become_equal_through_a_hub() {
    run("cse", true);
}

#[test]
fn concurrent_documents_become_equal_in_pairs() {
    run("ccc", false);
}

#[test]
fn serialized_documents_become_equal_in_pairs() {
    run("ss", false);
}

#[test]
fn snapshots_become_equal_in_pairs() {
    run("ee", false);
}

#[test]
fn documents_of_all_modes_become_equal_in_pairs() {
    run("cse", false);
}
