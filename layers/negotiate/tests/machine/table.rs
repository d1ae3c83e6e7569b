//! Every state and every input.
//!
//! A row has a state, an input, the next state and the effects. A failure shows the row that differs, or the pair
//! that has none.

use std::{collections::HashSet, time::Duration};

use kyneta_uds_negotiate::machine::{
    Bind, Effect, Effects, Input, Negotiation, Only, Probe,
    Role::{self, Connector, Disposed, Listener, Negotiating},
    WaitReason,
};

const INPUTS: [Input; 25] = [
    Input::Start,
    Input::TakenOver,
    Input::Probed(Probe::Joined),
    Input::Probed(Probe::NoListener),
    Input::Probed(Probe::Busy),
    Input::Probed(Probe::Silent),
    Input::Probed(Probe::Foreign),
    Input::Probed(Probe::Rejected),
    Input::Probed(Probe::NotAllowed),
    Input::Probed(Probe::Denied),
    Input::Bound(Bind::Done),
    Input::Bound(Bind::InUse),
    Input::Bound(Bind::Denied),
    Input::ConnectionLost,
    Input::Rejected { times: 3 },
    Input::PathMoved,
    Input::PathFree,
    Input::Restored(Bind::Done),
    Input::Restored(Bind::InUse),
    Input::Restored(Bind::Denied),
    Input::PathLost,
    Input::TimerFired,
    Input::Overdue,
    Input::Dispose,
    // Repeated: no further effect.
    Input::Dispose,
];

/// The inputs that lead to each state.
pub(crate) const STATES: [(&str, &[Input]); 10] = [
    ("new", &[]),
    ("probing", &[Input::Start]),
    ("binding", &[Input::Start, Input::Probed(Probe::NoListener)]),
    ("waiting", &[Input::Start, Input::Probed(Probe::Busy)]),
    ("denied", &[Input::Start, Input::Probed(Probe::Denied)]),
    (
        "listener",
        &[
            Input::Start,
            Input::Probed(Probe::NoListener),
            Input::Bound(Bind::Done),
        ],
    ),
    (
        "restoring",
        &[
            Input::Start,
            Input::Probed(Probe::NoListener),
            Input::Bound(Bind::Done),
            Input::PathFree,
        ],
    ),
    ("connector", &[Input::Start, Input::Probed(Probe::Joined)]),
    (
        "leaving",
        &[Input::Start, Input::Probed(Probe::Joined), Input::PathMoved],
    ),
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
/// After three short connections.
const FOURTH: Effect = Effect::Wait(Duration::from_millis(4));
const LONG: Effect = Effect::Wait(Duration::from_millis(250));
const REMIND: Effect = Effect::Remind(Duration::from_secs(1));

/// The next role and the effects. What is not listed changes nothing and has none.
fn expected(state: &str, input: Input) -> Option<(Role, Effects)> {
    use Effect::{
        Announce, Bind as Take, Disconnect, HalfClose, Probe as Ask, Report, Restore,
        StopListening, Waiting,
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
        ("connector" | "leaving", Input::Dispose) => {
            to(Disposed, &[Disconnect, Announce(Disposed)])
        }
        (_, Input::Dispose) => to(Disposed, &[Announce(Disposed)]),

        ("new", Input::TakenOver) => to(Listener, &[Announce(Listener)]),
        ("new", Input::Start) => to(Negotiating, &[Announce(Negotiating), REMIND, Ask]),
        ("probing", Input::Probed(Probe::Joined)) => to(Connector, &[Announce(Connector)]),
        ("probing", Input::Probed(Probe::NoListener)) => to(Negotiating, &[Take]),
        ("probing", Input::Probed(Probe::Busy | Probe::Silent | Probe::Rejected)) => {
            to(Negotiating, &[FIRST])
        }
        ("probing", Input::Probed(Probe::Denied | Probe::NotAllowed | Probe::Foreign)) => {
            to(Negotiating, &[Report, LONG])
        }
        ("binding", Input::Bound(Bind::Done)) => to(Listener, &[Announce(Listener)]),
        ("binding", Input::Bound(Bind::InUse)) => to(Negotiating, &[FIRST]),
        ("binding", Input::Bound(Bind::Denied)) => to(Negotiating, &[Report, LONG]),
        ("waiting" | "denied", Input::TimerFired) => to(Negotiating, &[Ask]),

        ("probing", Input::Overdue) => {
            to(Negotiating, &[Waiting(WaitReason::ListenerSilent), REMIND])
        }
        ("binding", Input::Overdue) => to(Negotiating, &[Waiting(WaitReason::Locked), REMIND]),
        ("waiting", Input::Overdue) => {
            to(Negotiating, &[Waiting(WaitReason::ListenerBusy), REMIND])
        }
        ("denied", Input::Overdue) => to(Negotiating, &[Waiting(WaitReason::InTheWay), REMIND]),

        ("connector" | "leaving", Input::ConnectionLost) | ("leaving", Input::Rejected { .. }) => {
            to(Negotiating, &[Announce(Negotiating), REMIND, Ask])
        }
        ("connector", Input::Rejected { .. }) => {
            to(Negotiating, &[Announce(Negotiating), REMIND, FOURTH])
        }
        ("connector", Input::PathMoved) => to(Connector, &[HalfClose]),
        ("listener" | "restoring", Input::PathLost)
        | ("restoring", Input::Restored(Bind::InUse)) => to(
            Negotiating,
            &[StopListening, Announce(Negotiating), REMIND, Ask],
        ),
        ("listener", Input::PathFree) => to(Listener, &[Restore]),
        ("restoring", Input::Restored(Bind::Done)) => to(Listener, &[]),
        ("restoring", Input::Restored(Bind::Denied)) => to(Listener, &[Report]),

        // What is not expected is given back.
        ("connector" | "leaving", Input::Probed(_)) => None,
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

/// In every state that can be reached.
#[test]
fn a_peer_that_is_fixed_to_a_role_never_attempts_the_other() {
    for only in [Only::Listener, Only::Connector] {
        let mut seen = HashSet::new();
        let mut next = vec![Negotiation::new().only(only)];
        while let Some(state) = next.pop() {
            if !seen.insert(state.clone()) {
                continue;
            }
            for input in INPUTS {
                let mut after = state.clone();
                for effect in after.on(input, 0.5) {
                    let is_other = match only {
                        Only::Listener => matches!(effect, Effect::Probe),
                        Only::Connector => matches!(effect, Effect::Bind),
                    };
                    assert!(!is_other, "{only:?} {state:?} {input:?}");
                }
                next.push(after);
            }
        }
        assert!(seen.len() > 100, "{only:?}: {} states", seen.len());
    }
}

#[test]
fn a_peer_that_only_connects_waits_for_a_listener_and_connects() {
    let mut machine = Negotiation::new().only(Only::Connector);
    machine.on(Input::Start, 0.5);
    let none = Input::Probed(Probe::NoListener);
    let mut waits = Vec::new();
    for _ in 0..14 {
        match machine.on(none, 0.5)[..] {
            [Effect::Wait(wait)] => waits.push(wait),
            ref other => panic!("{other:?}"),
        }
        assert_eq!(machine.on(Input::TimerFired, 0.5), [Effect::Probe]);
    }
    assert_eq!(waits[..8], doubling());
    assert_eq!(waits.last(), Some(&Duration::from_secs(1)));
    assert_eq!(machine.why(), Some(WaitReason::NoListener));
    let joined = machine.on(Input::Probed(Probe::Joined), 0.5);
    assert_eq!(joined, [Effect::Announce(Connector)]);
    let lost = machine.on(Input::ConnectionLost, 0.5);
    assert_eq!(lost.last(), Some(&Effect::Probe));
}

#[test]
fn a_peer_that_only_listens_reports_another_listener_and_tries_again() {
    let mut machine = Negotiation::new().only(Only::Listener);
    let begun = machine.on(Input::Start, 0.5);
    assert_eq!(begun.last(), Some(&Effect::Bind));
    let wait = |millis| Effect::Wait(Duration::from_millis(millis));
    let in_use = Input::Bound(Bind::InUse);
    assert_eq!(machine.on(in_use, 0.5), [Effect::Report, wait(250)]);
    assert_eq!(machine.on(Input::TimerFired, 0.5), [Effect::Bind]);
    assert_eq!(machine.on(in_use, 0.5), [wait(500)]);
    machine.on(Input::TimerFired, 0.5);
    let bound = machine.on(Input::Bound(Bind::Done), 0.5);
    assert_eq!(bound, [Effect::Announce(Listener)]);
    let lost = machine.on(Input::PathLost, 0.5);
    assert_eq!(lost.last(), Some(&Effect::Bind));
}

/// The waits after so many probes in a row with the same result.
fn waits(probe: Probe, count: usize, random: f64) -> Vec<Duration> {
    let mut machine = at(&[Input::Start]);
    (0..count)
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

/// 0.5, 1, 2, ... 64 ms.
fn doubling() -> Vec<Duration> {
    (0..8).map(|n| Duration::from_micros(500 << n)).collect()
}

#[test]
fn waits_double_to_their_longest_and_have_jitter() {
    let one = [
        doubling(),
        [128, 256, 512, 1000, 1000, 1000]
            .map(Duration::from_millis)
            .to_vec(),
    ]
    .concat();
    for probe in [Probe::Silent, Probe::Rejected] {
        assert_eq!(waits(probe, one.len(), 0.5), one);
        let of = |factor: f64| one.iter().map(|wait| wait.mul_f64(factor)).collect();
        let halves: Vec<_> = of(0.5);
        assert_eq!(waits(probe, one.len(), 0.0), halves);
        let longer: Vec<_> = of(1.5);
        assert_eq!(waits(probe, one.len(), 1.0), longer);
        assert_eq!(waits(probe, 9, f64::INFINITY), waits(probe, 9, 1.0));
        assert_eq!(waits(probe, 9, f64::NAN), waits(probe, 9, 0.5));
    }
    let denied: Vec<_> = waits(Probe::Denied, 4, 0.9)
        .iter()
        .map(Duration::as_millis)
        .collect();
    assert_eq!(denied, [250, 500, 1000, 1000]);
}

#[test]
fn a_wait_for_another_peer_is_a_tenth_of_a_second_at_most_for_twenty_waits() {
    let crowd = [
        doubling(),
        vec![Duration::from_millis(100); 20],
        [100, 200, 400, 800, 1000, 1000]
            .map(Duration::from_millis)
            .to_vec(),
    ]
    .concat();
    assert_eq!(waits(Probe::Busy, crowd.len(), 0.5), crowd);

    let mut machine = at(&[Input::Start]);
    for wait in crowd {
        machine.on(Input::Probed(Probe::NoListener), 0.5);
        let effects = machine.on(Input::Bound(Bind::InUse), 0.5);
        assert_eq!(effects, [Effect::Wait(wait)]);
        machine.on(Input::TimerFired, 0.5);
    }
}

#[test]
fn the_reason_is_reported_after_a_second_and_after_pauses_as_long_as_the_time_that_has_passed() {
    let mut machine = at(&[Input::Start]);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let effects = machine.on(Input::Overdue, 0.5);
        let [
            Effect::Waiting(WaitReason::ListenerSilent),
            Effect::Remind(pause),
        ] = effects[..]
        else {
            panic!("{effects:?}")
        };
        pauses.push(pause.as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);

    // The result of the last attempt, also while the next one is under way.
    let report = |machine: &mut Negotiation| machine.on(Input::Overdue, 0.5)[0];
    let mut machine = at(&[Input::Start]);
    for (probe, why) in [
        (Probe::Busy, WaitReason::ListenerBusy),
        (Probe::Silent, WaitReason::ListenerSilent),
        (Probe::Foreign, WaitReason::OtherProtocol),
        (Probe::Rejected, WaitReason::Rejected),
        (Probe::NotAllowed, WaitReason::ListenerNotAllowed),
        (Probe::Denied, WaitReason::InTheWay),
    ] {
        machine.on(Input::Probed(probe), 0.5);
        assert_eq!(report(&mut machine), Effect::Waiting(why));
        machine.on(Input::TimerFired, 0.5);
        assert_eq!(report(&mut machine), Effect::Waiting(why));
        assert_eq!(machine.why(), Some(why));
    }
    machine.on(Input::Probed(Probe::NoListener), 0.5);
    machine.on(Input::Bound(Bind::InUse), 0.5);
    assert_eq!(report(&mut machine), Effect::Waiting(WaitReason::Locked));
    machine.on(Input::TimerFired, 0.5);
    machine.on(Input::Probed(Probe::Joined), 0.5);
    assert_eq!(machine.why(), None);
    assert_eq!(machine.on(Input::Overdue, 0.5), []);
}

#[test]
fn a_listener_that_accepts_and_closes_repeatedly_is_reported_with_growing_pauses() {
    let reported = (0..=255).filter(|&times| {
        let mut machine = at(&[Input::Start, Input::Probed(Probe::Joined)]);
        let effects = machine.on(Input::Rejected { times }, 0.5);
        effects.contains(&Effect::Waiting(WaitReason::Rejected))
    });
    // After some seconds, each about twice as many as before; then once in 64.
    assert_eq!(
        reported.collect::<Vec<_>>(),
        [12, 13, 15, 19, 27, 43, 75, 139, 203]
    );
}

#[test]
fn an_obstacle_is_reported_once_in_a_row() {
    let mut machine = at(&[Input::Start]);
    let reports = |machine: &mut Negotiation, input| {
        let reported = machine.on(input, 0.5).contains(&Effect::Report);
        machine.on(Input::TimerFired, 0.5);
        reported
    };
    assert!(reports(&mut machine, Input::Probed(Probe::Denied)));
    assert!(!reports(&mut machine, Input::Probed(Probe::Denied)));
    machine.on(Input::Probed(Probe::NoListener), 0.5);
    assert!(
        !reports(&mut machine, Input::Bound(Bind::Denied)),
        "still the same row"
    );
    assert!(!reports(&mut machine, Input::Probed(Probe::Busy)));
    assert!(
        reports(&mut machine, Input::Probed(Probe::Denied)),
        "a new one"
    );

    let mut machine = at(STATES[5].1);
    for reported in [true, false, false] {
        machine.on(Input::PathFree, 0.5);
        let effects = machine.on(Input::Restored(Bind::Denied), 0.5);
        assert_eq!(effects.contains(&Effect::Report), reported);
    }
    machine.on(Input::PathFree, 0.5);
    machine.on(Input::Restored(Bind::Done), 0.5);
    machine.on(Input::PathFree, 0.5);
    let effects = machine.on(Input::Restored(Bind::Denied), 0.5);
    assert_eq!(effects, [Effect::Report]);
}
