//! The reference's own table (`tests/vectors/mealy-peer.json`), row by row.
//!
//! A row that differs from ours must be listed with its reason, and what is listed must differ.

use std::collections::BTreeSet;

use kyneta_uds_negotiate::machine::{Bind, Effect, Input, Probe};
use serde_json::Value;

use crate::table::{STATES, at};

/// Role, message, what the reference does, what ours does, and why.
const DIFFERENCES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "negotiating",
        "probe connected",
        "negotiating, connect",
        "connector",
        "the probe is kept as the connection, so no listener can leave between the two",
    ),
    (
        "negotiating",
        "probe eacces",
        "negotiating",
        "negotiating, report, wait jittered",
        "the reference negotiates for ever in silence; ours says why, and heals when it can",
    ),
    (
        "negotiating",
        "probe eaddrinuse",
        "negotiating, wait fixed",
        "negotiating, wait jittered",
        "peers that all wait 200 ms meet again, and are late",
    ),
    (
        "negotiating",
        "listen-failed",
        "negotiating, wait fixed",
        "negotiating, wait jittered",
        "as above: a peer that was not first joins within a millisecond",
    ),
    (
        "negotiating",
        "dispose",
        "disposed, give up",
        "disposed",
        "nothing is held while negotiating: the shell drops what is under way",
    ),
    (
        "listener",
        "lost",
        "negotiating, probe",
        "negotiating, give up, probe",
        "1.8.0 without a transport has nothing to give up; a listener of ours always has a path",
    ),
    (
        "listener",
        "dispose",
        "disposed",
        "disposed, give up",
        "as above",
    ),
    (
        "listener",
        "is connector",
        "connector",
        "listener, give up",
        "a connection that comes when we listen already would leave two roles to one peer",
    ),
    (
        "listener",
        "probe connected",
        "listener",
        "listener, give up",
        "our probe is a connection, and is closed when it comes too late",
    ),
    (
        "listener",
        "listen-failed",
        "negotiating, wait fixed",
        "listener",
        "a bind that comes too late is not that of the path that we have",
    ),
    (
        "connector",
        "listen-failed",
        "negotiating, wait fixed",
        "connector",
        "as above: the connection stands",
    ),
    (
        "connector",
        "is listener",
        "listener",
        "connector, give up",
        "a path that is bound too late is given back",
    ),
    (
        "connector",
        "lost",
        "negotiating, give up, probe",
        "negotiating, probe",
        "what is lost needs no end",
    ),
    (
        "connector",
        "dispose",
        "disposed",
        "disposed, give up",
        "1.8.0 without a transport has nothing to close; a connector of ours always has a connection",
    ),
    (
        "disposed",
        "is connector",
        "disposed",
        "disposed, give up",
        "what comes too late is given back, and does not linger",
    ),
    (
        "disposed",
        "is listener",
        "disposed",
        "disposed, give up",
        "as above",
    ),
    (
        "disposed",
        "probe connected",
        "disposed",
        "disposed, give up",
        "as above",
    ),
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The message by one name for both releases.
fn message(msg: &Value) -> String {
    match text(&msg["type"]) {
        "probe-result" => format!("probe {}", text(&msg["result"])),
        "transport-added" | "role-established" => format!("is {}", text(&msg["role"])),
        "transport-disconnected" | "connection-lost" => "lost".into(),
        other => other.into(),
    }
}

/// The input of our machine, and in which of its states: the reference has one state where ours has
/// several.
fn ours(role: &str, message: &str) -> (&'static str, Input) {
    let input = match message {
        "probe connected" | "is connector" => Input::Probed(Probe::Joined),
        "probe enoent" | "probe econnrefused" => Input::Probed(Probe::NoListener),
        "probe eaddrinuse" => Input::Probed(Probe::Busy),
        "probe eacces" => Input::Probed(Probe::Denied),
        "is listener" => Input::Bound(Bind::Done),
        "listen-failed" => Input::Bound(Bind::InUse),
        "lost" if role == "listener" => Input::PathLost,
        "lost" => Input::ConnectionLost,
        "dispose" => Input::Dispose,
        other => panic!("{other}"),
    };
    let state = match (role, input) {
        ("negotiating", Input::Bound(_)) => "binding",
        ("negotiating", _) => "probing",
        (role, _) => role,
    };
    (
        STATES.iter().find(|(name, _)| *name == state).unwrap().0,
        input,
    )
}

fn their_effect(effect: &Value) -> &'static str {
    match text(&effect["type"]) {
        "probe" => "probe",
        "start-connector" => "connect",
        "start-listener" => "bind",
        "delay-then-probe" => "wait fixed",
        "remove-transport" | "teardown" => "give up",
        other => panic!("{other}"),
    }
}

fn our_effect(effect: &Effect) -> Option<&'static str> {
    Some(match effect {
        Effect::Probe => "probe",
        Effect::Bind => "bind",
        Effect::Wait(_) => "wait jittered",
        Effect::Restore => "restore",
        Effect::StopListening | Effect::Disconnect => "give up",
        Effect::Report => "report",
        Effect::Announce(_) | Effect::Remind(_) => return None,
        other => panic!("the reference's inputs do not lead to {other:?}"),
    })
}

#[test]
fn the_references_table_row_by_row() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/mealy-peer.json"
    );
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let (mut same, mut differ) = (0, 0);
    let mut seen = BTreeSet::new();
    for row in &rows {
        let (role, message, inputs, input) = match text(&row["kind"]) {
            "init" => ("none", "init".to_owned(), STATES[0].1, Input::Start),
            "row" => {
                let role = text(&row["model"]["role"]);
                let message = message(&row["msg"]);
                let (state, input) = ours(role, &message);
                let (_, inputs) = STATES.iter().find(|(name, _)| *name == state).unwrap();
                (role, message, *inputs, input)
            }
            _ => continue,
        };
        let mut theirs = text(&row["next"]["role"]).to_owned();
        for effect in row["effects"].as_array().unwrap() {
            theirs = format!("{theirs}, {}", their_effect(effect));
        }
        let mut machine = at(inputs);
        let effects = machine.on(input, 0.5);
        let mut ours = machine.role().to_string();
        for effect in effects.iter().filter_map(our_effect) {
            ours = format!("{ours}, {effect}");
        }
        if theirs == ours {
            same += 1;
            continue;
        }
        differ += 1;
        seen.insert((role.to_owned(), message, theirs, ours));
    }
    println!(
        "{same} rows are the same, {differ} differ, in {} ways",
        seen.len()
    );
    let listed: BTreeSet<_> = DIFFERENCES
        .iter()
        .map(|(role, message, theirs, ours, _)| {
            let [role, message] = [role, message].map(|text| (*text).to_owned());
            let [theirs, ours] = [theirs, ours].map(|text| (*text).to_owned());
            (role, message, theirs, ours)
        })
        .collect();
    let unlisted: Vec<_> = seen.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&seen).collect();
    assert!(
        unlisted.is_empty() && stale.is_empty(),
        "not listed: {unlisted:#?}\nlisted, but the same: {stale:#?}"
    );
    assert_eq!(same + differ, 336);
}
