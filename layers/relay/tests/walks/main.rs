//! The walks of `tests/vectors/relay.json`: events in, and each effect in order.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod json;

use std::{collections::HashMap, fs, path::Path};

use kyneta_uds_core::{SchemaHash, Version, WireVersion};
use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Switch, SwitchConfig};
use serde_json::Value;

/// The members of a walk by name.
#[derive(Default)]
struct Names {
    keys: HashMap<String, MemberKey>,
}

impl Names {
    fn key(&mut self, name: &Value) -> MemberKey {
        let next = MemberKey(self.keys.len() as u64);
        let name = name.as_str().unwrap().to_owned();
        *self.keys.entry(name).or_insert(next)
    }

    fn effect(&mut self, effect: &Value) -> Effect {
        if let Some(code) = effect.get("diag") {
            return Effect::Report {
                diagnostic: json::diagnostic(code),
                member: self.key(&effect["member"]),
                doc: effect.get("docId").map(json::doc),
            };
        }
        Effect::Send {
            to: self.key(&effect["send"]),
            msg: json::message(&effect["msg"]),
            base: base(&effect["msg"]),
        }
    }
}

fn base(msg: &Value) -> Option<Version> {
    msg.get("base")
        .map(|base| Version::new(base.as_str().unwrap()).unwrap())
}

fn config(walk: &Value) -> SwitchConfig {
    let config = &walk["config"];
    let number = |name: &str| usize::try_from(config[name].as_u64().unwrap()).unwrap();
    let classes = config["equal"].as_array().unwrap();
    classes.iter().fold(
        SwitchConfig::default()
            .max_documents(number("docs"))
            .max_documents_of_member(number("docsPerMember"))
            .max_asks(number("asks")),
        |config, class| {
            let class = class.as_array().unwrap().iter();
            config.equal_schemas(class.map(|hash| SchemaHash::new(hash.as_str().unwrap()).unwrap()))
        },
    )
}

#[test]
fn every_effect_of_every_walk_is_the_recorded_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/relay.json");
    let vectors: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let walks: Vec<_> = vectors
        .iter()
        .filter(|case| case["kind"] == "walk")
        .collect();
    assert_eq!(walks.len(), 240);
    let mut failed = Vec::new();
    for walk in walks {
        let mut switch = Switch::new(config(walk));
        let mut names = Names::default();
        for (at, step) in walk["steps"].as_array().unwrap().iter().enumerate() {
            let event = &step["event"];
            let member = names.key(&event["member"]);
            let mut effects = Vec::new();
            match event["type"].as_str().unwrap() {
                "established" => {
                    let wire = match event["wire"].as_u64() {
                        Some(2) => WireVersion::V2,
                        _ => WireVersion::V3,
                    };
                    let link = event.get("link").is_some_and(|link| link == true);
                    let facts = if link {
                        MemberFacts::link(wire)
                    } else {
                        MemberFacts::local(wire)
                    };
                    switch.established(member, facts, &mut effects);
                }
                "gone" => switch.left(member, &mut effects),
                _ => {
                    let msg = &event["msg"];
                    switch.received(member, json::message(msg), base(msg), &mut effects);
                }
            }
            let expected = step["effects"].as_array().unwrap().iter();
            let expected: Vec<_> = expected.map(|effect| names.effect(effect)).collect();
            if effects != expected {
                failed.push(format!(
                    "{} step {at}: {event}\n  expected {expected:#?}\n  got {effects:#?}",
                    walk["name"]
                ));
                break;
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} walks differ; {}",
        failed.len(),
        failed[0]
    );
}
