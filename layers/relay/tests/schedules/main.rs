//! Random schedules of hubs and their members, from seeds: members join, leave, are killed and come back, edit,
//! read slowly; a hub is killed and another takes its place; links between hubs are cut and come back. In the end
//! all replicas are equal.
//!
//! A seed that fails is named; `KYNETA_SEED=n` runs it alone and prints each event. `KYNETA_RUNS=100000`
//! makes it a long run, from seed `KYNETA_FIRST` on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod check;
mod content;
#[path = "../../../../tests/support/schedules/edits.rs"]
mod edits;
mod member;
mod outcome;
mod plan;
#[path = "../../../../tests/support/schedules/random.rs"]
mod random;
mod traffic;
mod world;

use std::panic::catch_unwind;

use outcome::Outcome;
use plan::Plan;
use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a plan from many seeds, and says what the longest way to quiet was.
fn run(name: &str, plan: Plan) {
    if let Some(seed) = number("KYNETA_SEED") {
        World::new(seed, plan, true).run().unwrap();
        return;
    }
    let first = number("KYNETA_FIRST").unwrap_or(0);
    let runs = number("KYNETA_RUNS").unwrap_or(500);
    let (mut most, mut kills) = (Outcome::default(), 0);
    let mut failed = Vec::new();
    for seed in first..first + runs {
        let outcome = catch_unwind(|| World::new(seed, plan, false).run());
        match outcome.unwrap_or_else(|_| Err("a panic, see above".to_owned())) {
            Ok(outcome) => {
                kills += outcome.hub_kills;
                most = most.max(outcome);
            }
            Err(error) => failed.push((seed, error)),
        }
    }
    if let Some((seed, error)) = failed.first() {
        let seeds: Vec<_> = failed.iter().take(20).map(|(seed, _)| seed).collect();
        panic!(
            "{name}: {} of {runs} runs, KYNETA_SEED={seed}: {error}; seeds {seeds:?}",
            failed.len()
        );
    }
    println!(
        "{name}: {runs} runs, {kills} hubs killed, all equal; at most {} messages and {} rounds after the last \
         event, {} members, {} documents",
        most.messages, most.rounds, most.members, most.documents
    );
}

#[test]
fn concurrent_documents_become_equal() {
    run("concurrent", Plan::new("ccc"));
}

#[test]
fn serialized_documents_become_equal() {
    run("serialized", Plan::new("ss"));
}

#[test]
fn snapshots_become_equal() {
    run("snapshots", Plan::new("ee"));
}

#[test]
fn documents_of_all_classes_become_equal() {
    run("all classes", Plan::new("cse"));
}

#[test]
fn variants_of_concurrent_documents_become_equal_each() {
    run("concurrent variants", Plan::new("cc").variants(3));
}

#[test]
fn variants_of_serialized_documents_become_equal_each() {
    run("serialized variants", Plan::new("ss").variants(2));
}

#[test]
fn variants_of_snapshots_become_equal_each() {
    run("variants of snapshots", Plan::new("ee").variants(2));
}

#[test]
fn variants_of_all_classes_become_equal_each() {
    run("variants of all classes", Plan::new("xcs").variants(3));
}

#[test]
fn documents_behind_gates_become_equal() {
    run("gates", Plan::new("cse").gates());
}

#[test]
fn variants_behind_gates_become_equal_each() {
    run("gates, variants", Plan::new("cse").variants(2).gates());
}

#[test]
fn concurrent_documents_of_a_mesh_of_two_become_equal() {
    run("concurrent, mesh of 2", Plan::new("cc").mesh(2));
}

#[test]
fn concurrent_documents_of_a_mesh_of_three_become_equal() {
    run("concurrent, mesh of 3", Plan::new("cc").mesh(3));
}

#[test]
fn concurrent_documents_of_a_tree_of_four_become_equal() {
    run("concurrent, tree of 4", Plan::new("cc").tree(4));
}

#[test]
fn serialized_documents_of_a_mesh_of_two_become_equal() {
    run("serialized, mesh of 2", Plan::new("ss").mesh(2));
}

#[test]
fn serialized_documents_of_a_mesh_of_three_become_equal() {
    run("serialized, mesh of 3", Plan::new("ss").mesh(3));
}

#[test]
fn serialized_documents_of_a_tree_of_four_become_equal() {
    run("serialized, tree of 4", Plan::new("ss").tree(4));
}

#[test]
fn snapshots_of_a_mesh_of_two_become_equal() {
    run("snapshots, mesh of 2", Plan::new("ee").mesh(2));
}

#[test]
fn snapshots_of_a_mesh_of_three_become_equal() {
    run("snapshots, mesh of 3", Plan::new("ee").mesh(3));
}

#[test]
fn snapshots_of_a_tree_of_four_become_equal() {
    run("snapshots, tree of 4", Plan::new("ee").tree(4));
}
