//! Every order of every step, by a model checker.
//!
//! A failure names the property, and prints each step from the first to the one that breaks it, with the last state.

use std::time::Instant;

use kyneta_uds_negotiate::machine::Role;
use stateright::{Checker as _, Model, Property};

use crate::world::{Action, Before, Budget, World};

struct Checked {
    peers: usize,
    budget: Budget,
}

impl Model for Checked {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        Before::ALL
            .into_iter()
            .map(|before| World::new(self.peers, before, self.budget))
            .collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(world.actions());
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("when all is quiet there is one bus", |_, world: &World| {
                !world.is_quiet() || world.is_one_bus()
            }),
            Property::always(
                "the process that keeps the lock is alone",
                |model: &Self, world: &World| {
                    // A theft, or a removed lock, can make two for a moment; never for long.
                    let undisturbed = model.budget.thefts == 0 && model.budget.removals == 0;
                    let listeners = world.peers.iter().filter(|peer| peer.is_listening());
                    !undisturbed || listeners.count() <= 1
                },
            ),
            Property::always("disposed absorbs everything", |_, world: &World| {
                let mut disposed = world
                    .peers
                    .iter()
                    .filter(|peer| peer.role() == Role::Disposed);
                disposed.all(|peer| peer.is_absorbed())
            }),
            Property::sometimes(
                "a peer is left when all has gone wrong",
                |_, world: &World| {
                    let up = world.peers.iter().filter(|peer| peer.is_up()).count();
                    world.left.thefts + world.left.removals == 0 && world.is_quiet() && up > 0
                },
            ),
        ]
    }
}

fn check(peers: usize, budget: Budget) -> usize {
    let start = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = Checked { peers, budget }.checker().threads(threads);
    let checked = checker.spawn_bfs().join();
    println!(
        "{peers} peers, {budget:?}: {} states in {:.1?}",
        checked.unique_state_count(),
        start.elapsed()
    );
    if let Some((name, path)) = checked
        .discoveries()
        .into_iter()
        .find(|(name, _)| checked.discovery_classification(name).to_string() == "counterexample")
    {
        let last = format!("{:#?}", path.last_state());
        panic!("{name}: {:?}\n{last}", path.into_actions());
    }
    checked.assert_properties();
    checked.unique_state_count()
}

const NOTHING: Budget = Budget {
    crashes: 0,
    disposals: 0,
    thefts: 0,
    seconds: 0,
    removals: 0,
};

#[test]
fn two_peers_whatever_goes_wrong() {
    let budget = Budget {
        crashes: 1,
        disposals: 1,
        thefts: 1,
        removals: 1,
        ..NOTHING
    };
    check(2, NOTHING);
    check(2, budget);
}

#[test]
fn three_peers_that_crash_and_leave() {
    let budget = Budget {
        crashes: 2,
        disposals: 1,
        ..NOTHING
    };
    check(3, budget);
}

#[test]
fn three_peers_and_an_intruder() {
    let budget = Budget {
        crashes: 1,
        thefts: 1,
        ..NOTHING
    };
    check(3, budget);
}

#[test]
fn peers_move_to_the_listener_that_has_taken_the_path_from_another() {
    let budget = Budget {
        crashes: 1,
        thefts: 1,
        seconds: 1,
        ..NOTHING
    };
    check(2, budget);
}

#[test]
fn three_peers_and_a_stranger_that_removes() {
    let budget = Budget {
        crashes: 1,
        removals: 1,
        ..NOTHING
    };
    check(3, budget);
}
