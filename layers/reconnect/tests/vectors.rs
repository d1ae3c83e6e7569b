//! Replays the client's table (`tests/vectors/mealy-client.json`): every row, every walk.
//!
//! A failure names the row or the walk. Where this machine differs on purpose, the differences are a list that has to
//! be exact.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use kyneta_uds_core::DisconnectReason;
use kyneta_uds_reconnect::{
    Effect, Failure, Input, Jitter, Machine, ReconnectPolicy, Recover, State,
};
use serde_json::{Value, json};

/// Where ours differs, by walk and by the policy's settings.
const DIFFERENCES: &[(&str, &[&str], &str)] = &[
    (
        "opens-and-closes",
        &["default", "short", "full-jitter", "no-attempts"],
        "A connection that ends before it has proved useful was an attempt that came to nothing: \
         a peer that accepts and closes at once must not be met without patience for ever.",
    ),
    (
        "error-then-close",
        &["default", "short", "full-jitter", "no-attempts"],
        "The same: the connection has broken before it has proved useful.",
    ),
];

fn cases(kind: &str) -> Vec<Value> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/mealy-client.json");
    let text = fs::read_to_string(path).expect("the vectors are part of the repository");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("a vector file is JSON");
    cases
        .into_iter()
        .filter(|case| case["kind"] == kind)
        .collect()
}

fn policy(options: &Value) -> (&'static str, ReconnectPolicy) {
    let given = &options["reconnect"];
    let mut policy = ReconnectPolicy::new();
    let millis = |name: &str| given[name].as_u64().map(Duration::from_millis);
    for name in given.as_object().into_iter().flat_map(|given| given.keys()) {
        policy = match name.as_str() {
            "enabled" if given[name] == false => ReconnectPolicy::off(),
            "maxAttempts" => policy.max_attempts(given[name].as_u64().unwrap() as u32),
            "baseDelay" => policy.base(millis(name).unwrap()),
            "maxDelay" => policy.max(millis(name).unwrap()),
            "fullJitter" if given[name] == true => policy.jitter(Jitter::Full),
            other => panic!("an option of the vectors that is not known: {other}"),
        };
    }
    let name = match given {
        Value::Null => "default",
        given if given.get("enabled").is_some() => "off",
        given if given.get("maxAttempts").is_some() => "no-attempts",
        given if given.get("fullJitter").is_some() => "full-jitter",
        _ => "short",
    };
    (name, policy)
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Quoted(Value);

/// The reference's error, as JSON inside ours.
fn error(json: &Value) -> DisconnectReason {
    let mut quoted = json.clone();
    quoted.as_object_mut().unwrap().remove("type");
    DisconnectReason::error(Quoted(quoted))
}

fn reason(json: &Value) -> DisconnectReason {
    match json["type"].as_str().unwrap() {
        "intentional" => DisconnectReason::Intentional,
        "closed" => DisconnectReason::Closed,
        "error" => error(json),
        "max-retries-exceeded" => DisconnectReason::MaxRetriesExceeded {
            attempts: json["attempts"].as_u64().unwrap() as u32,
        },
        other => panic!("{other}"),
    }
}

fn state(json: &Value) -> State {
    let attempt = json["attempt"].as_u64().unwrap_or_default() as u32;
    match json["status"].as_str().unwrap() {
        "disconnected" => State::Disconnected {
            reason: json.get("reason").map(reason),
        },
        "connecting" => State::Connecting { attempt },
        "connected" => State::Connected,
        "reconnecting" => State::Reconnecting {
            attempt,
            delay: json["nextAttemptMs"]
                .as_f64()
                .map(|ms| Duration::from_secs_f64(ms / 1e3)),
        },
        other => panic!("{other}"),
    }
}

fn input(msg: &Value) -> Input {
    match msg["type"].as_str().unwrap() {
        "start" => Input::Start,
        "connection-opened" => Input::Opened,
        "connection-closed" => Input::Closed,
        "connection-error" => Input::Failed(error(msg)),
        "reconnect-timer-fired" => Input::TimerFired,
        "stop" => Input::Stop,
        other => panic!("{other}"),
    }
}

/// A wait in nanoseconds: the reference counts in fractions of a millisecond.
fn nanos(ms: f64) -> u64 {
    (ms * 1e6).round() as u64
}

fn said(state: &State) -> Value {
    match state {
        State::Disconnected { reason: None } => json!({ "status": "disconnected" }),
        State::Disconnected {
            reason: Some(reason),
        } => {
            let mut said = match reason {
                DisconnectReason::Error(error) => {
                    error.get_ref().downcast_ref::<Quoted>().unwrap().0.clone()
                }
                DisconnectReason::MaxRetriesExceeded { attempts } => {
                    json!({ "attempts": attempts })
                }
                _ => json!({}),
            };
            said["type"] = reason.kind().into();
            json!({ "status": "disconnected", "reason": said })
        }
        State::Connecting { attempt } => json!({ "status": "connecting", "attempt": attempt }),
        State::Connected => json!({ "status": "connected" }),
        State::Reconnecting { attempt, delay } => json!({
            "status": "reconnecting",
            "attempt": attempt,
            "nextAttemptMs": delay.unwrap().as_nanos() as u64,
        }),
    }
}

fn done(effects: &[Effect], path: &Value) -> Vec<Value> {
    effects
        .iter()
        .flat_map(|effect| match effect {
            Effect::Connect { attempt } => {
                vec![json!({ "type": "connect", "path": path, "attempt": attempt })]
            }
            Effect::Adopt => vec![json!({ "type": "add-channel-and-establish" })],
            Effect::Release => vec![json!({ "type": "remove-channel" })],
            // One effect here: a closed channel does not reconnect.
            Effect::Close => {
                vec![
                    json!({ "type": "close-connection" }),
                    json!({ "type": "remove-channel" }),
                ]
            }
            Effect::SetTimer(delay) => vec![json!({
                "type": "start-reconnect-timer",
                "delayMs": delay.unwrap().as_nanos() as u64,
            })],
            Effect::CancelTimer => vec![json!({ "type": "cancel-reconnect-timer" })],
            // In the reference the state alone shows it.
            Effect::GiveUp => vec![],
        })
        .collect()
}

/// The vectors' value with its waits in our form.
fn expected(json: &Value) -> Value {
    let mut json = json.clone();
    for name in ["nextAttemptMs", "delayMs"] {
        if let Some(ms) = json.get_mut(name) {
            *ms = nanos(ms.as_f64().unwrap()).into();
        }
    }
    json
}

/// One input: the next state, the effects, how often randomness was asked for, whether the state is
/// the one before.
fn step(machine: &mut Machine, case: &Value, input: Input) -> (Value, Vec<Value>, u64, bool) {
    let (_, mut policy) = policy(&case["options"]);
    let mut calls = 0;
    let mut random = || {
        calls += 1;
        case["random"].as_f64().unwrap()
    };
    let mut delay = None;
    let outcome = machine.handle(input, |attempts, reason| {
        let wait = policy.recover(Failure::new(attempts, reason, &mut random))?;
        delay = wait.duration();
        Ok(delay)
    });
    (
        said(machine.state()),
        done(&outcome.effects, &case["options"]["path"]),
        calls,
        outcome.transition.is_none(),
    )
}

fn wanted(step: &Value) -> (Value, Vec<Value>) {
    let effects = step["effects"].as_array().unwrap();
    (
        expected(&step["next"]),
        effects.iter().map(expected).collect(),
    )
}

#[test]
fn it_begins_as_the_reference_does() {
    let cases = cases("init");
    for case in &cases {
        assert_eq!((said(&State::default()), vec![]), wanted(case));
    }
    assert_eq!(cases.len(), 9);
}

#[test]
fn every_row_is_the_references() {
    let cases = cases("row");
    for case in &cases {
        let mut machine = Machine::from(state(&case["model"]));
        let (next, effects, calls, same) = step(&mut machine, case, input(&case["msg"]));
        assert_eq!((next, effects), wanted(case), "{case}");
        assert_eq!(Value::from(calls), case["randomCalls"], "{case}");
        assert_eq!(Value::from(same), case["same"], "{case}");
    }
    assert_eq!(cases.len(), 1134);
}

/// Whether a walk goes as the reference's. `proved`: each connection proves useful at once.
fn walks_alike(case: &Value, proved: bool) -> bool {
    let mut machine = Machine::default();
    case["steps"].as_array().unwrap().iter().all(|at| {
        let (next, effects, ..) = step(&mut machine, case, input(&at["msg"]));
        if proved && at["msg"]["type"] == "connection-opened" {
            step(&mut machine, case, Input::Proved);
        }
        (next, effects) == wanted(at)
    })
}

#[test]
fn every_walk_is_the_references_when_connections_are_useful() {
    let cases = cases("walk");
    for case in &cases {
        assert!(walks_alike(case, true), "{case}");
    }
    assert_eq!(cases.len(), 45);
}

#[test]
fn where_connections_are_not_useful_the_differences_are_listed() {
    let mut differing = BTreeSet::new();
    for case in cases("walk") {
        if !walks_alike(&case, false) {
            let name = case["name"].as_str().unwrap().to_owned();
            differing.insert((name, policy(&case["options"]).0));
        }
    }
    let listed: BTreeSet<_> = DIFFERENCES
        .iter()
        .flat_map(|(walk, policies, _reason)| {
            policies.iter().map(|policy| ((*walk).to_owned(), *policy))
        })
        .collect();
    let unlisted: Vec<_> = differing.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&differing).collect();
    assert!(unlisted.is_empty(), "not listed: {unlisted:#?}");
    assert!(stale.is_empty(), "listed, but equal: {stale:#?}");
}
