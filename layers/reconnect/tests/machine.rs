//! Every state with every input: the next state, and the effects.
//!
//! A failure shows the state and the name of the input.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use kyneta_uds_core::DisconnectReason;
use kyneta_uds_reconnect::{Effect, Input, Machine, State};

use Effect::{Adopt, CancelTimer, Close, Connect, GiveUp, Release, SetTimer};

const SECOND: Duration = Duration::from_secs(1);

/// Waits a second for each failed attempt, and gives up after two.
fn recover(attempts: u32, _: &DisconnectReason) -> Result<Option<Duration>, DisconnectReason> {
    if attempts < 3 {
        Ok(Some(SECOND * attempts))
    } else {
        Err(DisconnectReason::MaxRetriesExceeded { attempts })
    }
}

fn broken() -> DisconnectReason {
    DisconnectReason::error("broken")
}

fn inputs() -> [(&'static str, Input); 7] {
    [
        ("start", Input::Start),
        ("opened", Input::Opened),
        ("proved", Input::Proved),
        ("closed", Input::Closed),
        ("failed", Input::Failed(broken())),
        ("fired", Input::TimerFired),
        ("stop", Input::Stop),
    ]
}

/// States to start from, by name; "fresh" is a connection, made by attempt 2, that was not useful yet.
fn machine(name: &str) -> Machine {
    let disconnected = |reason| Machine::from(State::Disconnected { reason });
    let delay = Some(SECOND);
    match name {
        "new" => disconnected(None),
        "stopped" => disconnected(Some(DisconnectReason::Intentional)),
        "over" => disconnected(Some(DisconnectReason::MaxRetriesExceeded { attempts: 3 })),
        "connecting 1" => Machine::from(State::Connecting { attempt: 1 }),
        "connecting 3" => Machine::from(State::Connecting { attempt: 3 }),
        "connected" => Machine::from(State::Connected),
        "fresh" => {
            let mut machine = Machine::from(State::Connecting { attempt: 2 });
            machine.handle(Input::Opened, recover);
            machine
        }
        "reconnecting 1" => Machine::from(State::Reconnecting { attempt: 1, delay }),
        "reconnecting 2" => Machine::from(State::Reconnecting { attempt: 2, delay }),
        other => panic!("{other}"),
    }
}

/// State, input: next state, effects. What is not listed is ignored.
fn table() -> Vec<(&'static str, &'static str, &'static str, Vec<Effect>)> {
    let connect = |attempt| vec![Connect { attempt }];
    let wait = |seconds| SetTimer(Some(SECOND * seconds));
    vec![
        ("new", "start", "connecting (attempt 1)", connect(1)),
        ("stopped", "start", "connecting (attempt 1)", connect(1)),
        ("over", "start", "connecting (attempt 1)", connect(1)),
        ("connecting 1", "opened", "connected", vec![Adopt]),
        (
            "connecting 1",
            "failed",
            "reconnecting (attempt 2 after 1s)",
            vec![wait(1)],
        ),
        (
            "connecting 1",
            "stop",
            "disconnected (disconnected on purpose)",
            vec![CancelTimer],
        ),
        ("connecting 3", "opened", "connected", vec![Adopt]),
        (
            "connecting 3",
            "failed",
            "disconnected (gave up after 3 attempts)",
            vec![GiveUp],
        ),
        (
            "connecting 3",
            "stop",
            "disconnected (disconnected on purpose)",
            vec![CancelTimer],
        ),
        (
            "connected",
            "closed",
            "reconnecting (attempt 1 after 0ns)",
            vec![Release, wait(0)],
        ),
        (
            "connected",
            "failed",
            "reconnecting (attempt 1 after 0ns)",
            vec![Release, wait(0)],
        ),
        (
            "connected",
            "stop",
            "disconnected (disconnected on purpose)",
            vec![CancelTimer, Close],
        ),
        (
            "fresh",
            "closed",
            "reconnecting (attempt 3 after 2s)",
            vec![Release, wait(2)],
        ),
        (
            "fresh",
            "failed",
            "reconnecting (attempt 3 after 2s)",
            vec![Release, wait(2)],
        ),
        (
            "fresh",
            "stop",
            "disconnected (disconnected on purpose)",
            vec![CancelTimer, Close],
        ),
        (
            "reconnecting 1",
            "fired",
            "connecting (attempt 1)",
            connect(1),
        ),
        (
            "reconnecting 1",
            "stop",
            "disconnected (disconnected on purpose)",
            vec![CancelTimer],
        ),
        (
            "reconnecting 2",
            "fired",
            "connecting (attempt 2)",
            connect(2),
        ),
        (
            "reconnecting 2",
            "stop",
            "disconnected (disconnected on purpose)",
            vec![CancelTimer],
        ),
    ]
}

#[test]
fn every_state_with_every_input() {
    let table = table();
    let states = [
        "new",
        "stopped",
        "over",
        "connecting 1",
        "connecting 3",
        "connected",
        "fresh",
        "reconnecting 1",
        "reconnecting 2",
    ];
    let mut listed = 0;
    for state in states {
        for (name, input) in inputs() {
            let mut machine = machine(state);
            let before = machine.state().to_string();
            let outcome = machine.handle(input, recover);
            let after = machine.state().to_string();
            match table.iter().find(|row| (row.0, row.1) == (state, name)) {
                Some((_, _, next, effects)) => {
                    listed += 1;
                    assert_eq!(
                        (after.as_str(), &outcome.effects),
                        (*next, effects),
                        "{state}, {name}"
                    );
                    let transition = outcome.transition.expect("a transition");
                    assert_eq!(transition.from.to_string(), before);
                    assert_eq!(transition.to.to_string(), after);
                }
                None => {
                    assert_eq!(after, before, "{state}, {name}");
                    assert!(outcome.transition.is_none() && outcome.effects.is_empty());
                }
            }
        }
    }
    assert_eq!(listed, table.len());
}

#[test]
fn what_proves_useful_counts_from_the_start_again() {
    let mut machine = machine("fresh");
    machine.handle(Input::Proved, recover);
    machine.handle(Input::Closed, recover);
    assert_eq!(
        machine.state().to_string(),
        "reconnecting (attempt 1 after 0ns)"
    );
}

#[test]
fn the_reason_that_the_policy_gives_is_the_last_word() {
    let mut machine = machine("connected");
    machine.handle(Input::Failed(broken()), |attempts, reason| {
        assert_eq!((attempts, reason.to_string().as_str()), (0, "broken"));
        Err(DisconnectReason::Closed)
    });
    assert_eq!(
        machine.state().to_string(),
        "disconnected (closed by the peer)"
    );
}
