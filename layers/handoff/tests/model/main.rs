//! Both machines together, with the code that runs: every order of their steps, of crashes, timeouts and lost words.
//!
//! One predecessor and two successors, the second of which asks when the predecessor has refused the first; the
//! first may wake up at any later time. Each effect is a step of its own, so a crash comes between any two.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use world::World;

/// What one case explores.
#[derive(Debug, Clone, Copy)]
struct Case {
    connections: u32,
    /// Messages that may be acknowledged in all.
    acknowledged: u8,
    /// Words that may be lost.
    losses: u8,
    /// Processes that may crash.
    crashes: u8,
    /// Timeouts that may come early.
    timeouts: u8,
    successors: u8,
}

#[derive(Debug, Default)]
struct Explored {
    states: usize,
    ends: usize,
    /// Ends with all connections at a successor, with the listener alone at it, and with the predecessor serving.
    taken: usize,
    listener: usize,
    stayed: usize,
}

fn explore(case: Case) -> Explored {
    let first = World::new(case);
    let mut seen = HashSet::from([hash(&first)]);
    let mut open = vec![first];
    let mut explored = Explored::default();
    while let Some(world) = open.pop() {
        world.check();
        let mut next = world.steps();
        // Processes that do not crash any more.
        if next.is_empty() {
            explored.ends += 1;
            world.check_end();
            explored.taken += usize::from(world.taken());
            explored.listener += usize::from(world.listener_alone());
            explored.stayed += usize::from(world.stayed());
        }
        next.extend(world.crashes());
        open.extend(next.into_iter().filter(|next| seen.insert(hash(next))));
    }
    explored.states = seen.len();
    explored
}

/// Two worlds of 10^7 have the same with a probability of 3 in a million.
fn hash(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

fn run(cases: &[Case]) {
    let mut states = 0;
    for case in cases {
        let explored = explore(*case);
        println!("{case:?}: {explored:?}");
        assert!(explored.taken > 0 && explored.stayed > 0, "{explored:?}");
        assert!(case.crashes == 0 || explored.listener > 0, "{explored:?}");
        states += explored.states;
    }
    println!("{states} states");
}

const SMALL: Case = Case {
    connections: 1,
    acknowledged: 2,
    losses: 0,
    crashes: 2,
    timeouts: 2,
    successors: 1,
};

#[test]
fn whichever_process_crashes_one_serves_and_nothing_acknowledged_is_lost() {
    run(&[
        SMALL,
        Case {
            connections: 0,
            ..SMALL
        },
        Case {
            connections: 254,
            losses: 2,
            ..SMALL
        },
    ]);
}

#[test]
fn a_successor_that_was_refused_never_serves_later() {
    run(&[Case {
        acknowledged: 1,
        timeouts: 0,
        crashes: 1,
        successors: 2,
        ..SMALL
    }]);
}

/// 10^6 states and more: `KYNETA_MODEL=long`.
#[test]
fn in_every_order_of_many_events() {
    if std::env::var("KYNETA_MODEL").as_deref() != Ok("long") {
        return;
    }
    let two = Case {
        successors: 2,
        losses: 1,
        ..SMALL
    };
    run(&[
        two,
        Case {
            connections: 600,
            acknowledged: 4,
            losses: 3,
            timeouts: 3,
            ..SMALL
        },
    ]);
}
