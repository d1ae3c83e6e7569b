//! Every state and every input.

use std::time::Duration;

use kyneta_uds_negotiate::machine::{
    Bind, Effect, Effects, Input, Negotiation, Probe,
    Role::{self, Connector, Disposed, Listener, Negotiating},
};

const INPUTS: [Input; 19] = [
    Input::Start,
    Input::Probed(Probe::Joined),
    Input::Probed(Probe::NobodyThere),
    Input::Probed(Probe::Busy),
    Input::Probed(Probe::Silent),
    Input::Probed(Probe::Denied),
    Input::Bound(Bind::Done),
    Input::Bound(Bind::InUse),
    Input::Bound(Bind::Denied),
    Input::ConnectionLost,
    Input::TurnedAway { times: 3 },
    Input::PathFree,
    Input::Restored(Bind::Done),
    Input::Restored(Bind::InUse),
    Input::Restored(Bind::Denied),
    Input::PathLost,
    Input::TimerFired,
    Input::Dispose,
    // Twice is once.
    Input::Dispose,
];

/// What leads to each state.
pub(crate) const STATES: [(&str, &[Input]); 9] = [
    ("new", &[]),
    ("probing", &[Input::Start]),
    (
        "binding",
        &[Input::Start, Input::Probed(Probe::NobodyThere)],
    ),
    ("waiting", &[Input::Start, Input::Probed(Probe::Busy)]),
    ("denied", &[Input::Start, Input::Probed(Probe::Denied)]),
    (
        "listener",
        &[
            Input::Start,
            Input::Probed(Probe::NobodyThere),
            Input::Bound(Bind::Done),
        ],
    ),
    (
        "restoring",
        &[
            Input::Start,
            Input::Probed(Probe::NobodyThere),
            Input::Bound(Bind::Done),
            Input::PathFree,
        ],
    ),
    ("connector", &[Input::Start, Input::Probed(Probe::Joined)]),
    ("disposed", &[Input::Dispose]),
];

pub(crate) fn at(inputs: &[Input]) -> Negotiation {
    let mut machine = Negotiation::new();
    for input in inputs {
        machine.on(*input, 0.5);
    }
    machine
}

const FIRST: Effect = Effect::Wait(Duration::from_micros(500));
/// After three that came to nothing.
const FOURTH: Effect = Effect::Wait(Duration::from_millis(4));
const LONG: Effect = Effect::Wait(Duration::from_millis(250));

/// What is to come of it. Whatever is not here changes nothing and does nothing.
fn expected(state: &str, input: Input) -> Option<(Role, Effects)> {
    use Effect::{
        Announce, Bind as Take, Disconnect, Probe as Ask, Report, Restore, StopListening,
    };
    let to = |role, effects: &[Effect]| Some((role, effects.to_vec()));
    match (state, input) {
        ("disposed", Input::Probed(Probe::Joined)) => to(Disposed, &[Disconnect]),
        ("disposed", Input::Bound(Bind::Done) | Input::Restored(Bind::Done)) => {
            to(Disposed, &[StopListening])
        }
        ("disposed", _) => None,
        ("listener" | "restoring", Input::Dispose) => {
            to(Disposed, &[StopListening, Announce(Disposed)])
        }
        ("connector", Input::Dispose) => to(Disposed, &[Disconnect, Announce(Disposed)]),
        (_, Input::Dispose) => to(Disposed, &[Announce(Disposed)]),

        ("new", Input::Start) => to(Negotiating, &[Announce(Negotiating), Ask]),
        ("probing", Input::Probed(Probe::Joined)) => to(Connector, &[Announce(Connector)]),
        ("probing", Input::Probed(Probe::NobodyThere)) => to(Negotiating, &[Take]),
        ("probing", Input::Probed(Probe::Busy | Probe::Silent)) => to(Negotiating, &[FIRST]),
        ("probing", Input::Probed(Probe::Denied)) => to(Negotiating, &[Report, LONG]),
        ("binding", Input::Bound(Bind::Done)) => to(Listener, &[Announce(Listener)]),
        ("binding", Input::Bound(Bind::InUse)) => to(Negotiating, &[FIRST]),
        ("binding", Input::Bound(Bind::Denied)) => to(Negotiating, &[Report, LONG]),
        ("waiting" | "denied", Input::TimerFired) => to(Negotiating, &[Ask]),

        ("connector", Input::ConnectionLost) => to(Negotiating, &[Announce(Negotiating), Ask]),
        ("connector", Input::TurnedAway { .. }) => {
            to(Negotiating, &[Announce(Negotiating), FOURTH])
        }
        ("listener" | "restoring", Input::PathLost)
        | ("restoring", Input::Restored(Bind::InUse)) => {
            to(Negotiating, &[StopListening, Announce(Negotiating), Ask])
        }
        ("listener", Input::PathFree) => to(Listener, &[Restore]),
        ("restoring", Input::Restored(Bind::Done)) => to(Listener, &[]),
        ("restoring", Input::Restored(Bind::Denied)) => to(Listener, &[Report]),

        // What nobody waits for is given back.
        ("connector", Input::Probed(_)) => None,
        ("listener" | "restoring", Input::Bound(_) | Input::Restored(_)) => None,
        (_, Input::Probed(Probe::Joined)) => to(at_role(state), &[Disconnect]),
        (_, Input::Bound(Bind::Done) | Input::Restored(Bind::Done)) => {
            to(at_role(state), &[StopListening])
        }
        _ => None,
    }
}

fn at_role(state: &str) -> Role {
    let (_, inputs) = STATES.iter().find(|(name, _)| *name == state).unwrap();
    at(inputs).role()
}

#[test]
fn every_state_and_every_input() {
    for (state, inputs) in STATES {
        for input in INPUTS {
            let before = at(inputs);
            let mut after = before.clone();
            let effects = after.on(input, 0.5);
            match expected(state, input) {
                Some((role, expected)) => {
                    assert_eq!(
                        (after.role(), effects),
                        (role, expected),
                        "{state} {input:?}"
                    );
                }
                None => {
                    assert_eq!((after, effects), (before, vec![]), "{state} {input:?}");
                }
            }
        }
    }
}

fn waits(probe: Probe, random: f64) -> Vec<Duration> {
    let mut machine = at(&[Input::Start]);
    (0..12)
        .map(|_| {
            let effects = machine.on(Input::Probed(probe), random);
            assert_eq!(machine.on(Input::TimerFired, random), [Effect::Probe]);
            match effects.last() {
                Some(Effect::Wait(wait)) => *wait,
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

#[test]
fn waits_double_to_their_longest_and_are_set_apart() {
    let micros = |list: [u64; 12]| list.map(Duration::from_micros);
    let middle = [
        500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 100_000, 100_000, 100_000, 100_000,
    ];
    for probe in [Probe::Busy, Probe::Silent] {
        assert_eq!(waits(probe, 0.5), micros(middle));
        assert_eq!(waits(probe, 0.0), micros(middle.map(|wait| wait / 2)));
        assert_eq!(waits(probe, 1.0), micros(middle.map(|wait| wait / 2 * 3)));
        assert_eq!(waits(probe, f64::INFINITY), waits(probe, 1.0));
        assert_eq!(waits(probe, f64::NAN), waits(probe, 0.5));
    }
    let denied: Vec<_> = waits(Probe::Denied, 0.9)
        .iter()
        .map(Duration::as_millis)
        .collect();
    assert_eq!(denied[..4], [250, 500, 1000, 1000]);
}

#[test]
fn a_refusal_is_told_once_in_a_row() {
    let mut machine = at(&[Input::Start]);
    let told = |machine: &mut Negotiation, input| {
        let told = machine.on(input, 0.5).contains(&Effect::Report);
        machine.on(Input::TimerFired, 0.5);
        told
    };
    assert!(told(&mut machine, Input::Probed(Probe::Denied)));
    assert!(!told(&mut machine, Input::Probed(Probe::Denied)));
    machine.on(Input::Probed(Probe::NobodyThere), 0.5);
    assert!(
        !told(&mut machine, Input::Bound(Bind::Denied)),
        "still the same row"
    );
    assert!(!told(&mut machine, Input::Probed(Probe::Busy)));
    assert!(
        told(&mut machine, Input::Probed(Probe::Denied)),
        "a new one"
    );

    let mut machine = at(STATES[5].1);
    for told in [true, false, false] {
        machine.on(Input::PathFree, 0.5);
        let effects = machine.on(Input::Restored(Bind::Denied), 0.5);
        assert_eq!(effects.contains(&Effect::Report), told);
    }
    machine.on(Input::PathFree, 0.5);
    machine.on(Input::Restored(Bind::Done), 0.5);
    machine.on(Input::PathFree, 0.5);
    let effects = machine.on(Input::Restored(Bind::Denied), 0.5);
    assert_eq!(effects, [Effect::Report]);
}
