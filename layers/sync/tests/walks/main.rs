//! The walks of `tests/vectors/exchange-sync.json`: inputs in, and each effect in order, as the reference has them.
//!
//! A failure prints the walks that differ, with the step and both lists of effects.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod differences;
mod json;

use std::{collections::HashSet, fs, path::Path};

use kyneta_uds_core::{DocId, Identity};
use kyneta_uds_sync::program::{Effect, Gates, Program};
use serde_json::{Value, json};

/// The pairs of a document and a peer for which a gate says no.
#[derive(Default)]
struct Denied {
    share: HashSet<(String, String)>,
    accept: HashSet<(String, String)>,
}

impl Denied {
    fn of(walk: &Value) -> Self {
        let pairs = |name: &str| {
            let pairs = walk.get(name).and_then(Value::as_array);
            let pair = |pair: &Value| {
                (
                    json::text(&pair[0]).to_owned(),
                    json::text(&pair[1]).to_owned(),
                )
            };
            pairs.into_iter().flatten().map(pair).collect()
        };
        Self {
            share: pairs("denyShare"),
            accept: pairs("denyAccept"),
        }
    }
}

impl Gates for Denied {
    fn can_share(&self, doc: &DocId, peer: &Identity) -> bool {
        let pair = (doc.to_string(), peer.peer_id.to_string());
        !self.share.contains(&pair)
    }

    fn can_accept(&self, doc: &DocId, peer: &Identity) -> bool {
        let pair = (doc.to_string(), peer.peer_id.to_string());
        !self.accept.contains(&pair)
    }
}

/// What the program knows at the end, without what is listed as a difference.
fn end(program: &Program) -> Value {
    let documents = program.documents();
    let documents = documents.map(|(entry, held, version)| json::document(entry, held, version));
    let peers = program.peers().map(|identity| {
        let states = program.states(&identity.peer_id).map(|(doc, state)| {
            let mut state = json::state(state);
            state["doc"] = json!(doc.as_str());
            state
        });
        json!({"peer": identity.peer_id.as_str(), "states": states.collect::<Vec<_>>()})
    });
    json!({"documents": documents.collect::<Vec<_>>(), "peers": peers.collect::<Vec<_>>()})
}

#[test]
fn every_effect_of_every_walk_is_that_of_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/exchange-sync.json");
    let vectors: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let walks: Vec<_> = vectors
        .iter()
        .filter(|case| case["kind"] == "walk")
        .collect();
    assert_eq!(walks.len(), 450);
    let (mut failed, mut steps) = (Vec::new(), 0);
    let mut ours_alone = HashSet::new();
    for walk in walks {
        let wire = walk["wire"].as_u64().unwrap();
        let denied = Denied::of(walk);
        let mut program = Program::default();
        for (at, step) in walk["steps"].as_array().unwrap().iter().enumerate() {
            let mut effects = Vec::new();
            program.apply(json::input(step), &denied, &mut effects);
            ours_alone.extend(effects.iter().filter_map(name_of_ours));
            let effects: Vec<_> = effects
                .iter()
                .filter_map(|effect| json::effect(effect, wire))
                .collect();
            steps += 1;
            if Value::Array(effects.clone()) != step["effects"] {
                failed.push(format!(
                    "seed {} step {at}: {step}\n  got {}",
                    walk["seed"],
                    Value::Array(effects)
                ));
                break;
            }
        }
        let mut expected = walk["end"].clone();
        for difference in &differences::STATE {
            expected.as_object_mut().unwrap().remove(difference.name);
        }
        if end(&program) != expected {
            failed.push(format!("seed {} ends with {}", walk["seed"], end(&program)));
        }
    }
    assert!(
        failed.is_empty(),
        "{} walks differ; {}",
        failed.len(),
        failed[0]
    );
    assert!(steps > 10_000, "{steps} steps");
    let listed = differences::EFFECTS
        .iter()
        .map(|difference| difference.name);
    assert_eq!(
        ours_alone,
        listed.collect(),
        "the list of differences is not exact"
    );
}

/// The name of an effect that the reference does not have.
fn name_of_ours(effect: &Effect) -> Option<&'static str> {
    match effect {
        Effect::NotAccepted { .. } => Some("not-accepted"),
        _ => None,
    }
}
