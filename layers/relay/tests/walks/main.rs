//! The walks of `tests/vectors/relay.json`: events in, and each effect in order.
//!
//! The walks are the reference's; each is also run with a switch that is saved and resumed before every event. A
//! failure prints the walks that differ.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod json;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use kyneta_uds_core::{Saved, SchemaHash, WireVersion};
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
        }
    }
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

fn vectors(file: &str) -> Vec<Value> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    serde_json::from_slice(&fs::read(dir.join(file)).unwrap()).unwrap()
}

/// All walks, with something done to the switch before each event, and then with where each has led.
fn walk_all(
    before: impl Fn(Switch, &SwitchConfig, &Facts) -> Switch,
    mut end: impl FnMut(&Value, Switch, Facts),
) {
    let mut walks = vectors("relay.json");
    walks.retain(|case| case["kind"] == "walk");
    assert_eq!(walks.len(), 240);
    let mut failed = Vec::new();
    for walk in &walks {
        let config = config(walk);
        let mut switch = Switch::new(config.clone());
        let mut facts = Facts::new();
        let mut names = Names::default();
        for (at, step) in walk["steps"].as_array().unwrap().iter().enumerate() {
            switch = before(switch, &config, &facts);
            let event = &step["event"];
            let member = names.key(&event["member"]);
            let mut effects = Vec::new();
            match event["type"].as_str().unwrap() {
                "established" => {
                    let of_member = facts_of(event);
                    facts.insert(member, of_member.clone());
                    switch.established(member, of_member, &mut effects);
                }
                "gone" => {
                    facts.remove(&member);
                    switch.left(member, &mut effects);
                }
                _ => {
                    switch.received(member, json::message(&event["msg"]), &mut effects);
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
        end(walk, switch, facts);
    }
    assert!(
        failed.is_empty(),
        "{} walks differ; {}",
        failed.len(),
        failed[0]
    );
}

type Facts = BTreeMap<MemberKey, MemberFacts>;

fn facts_of(event: &Value) -> MemberFacts {
    let wire = match event["wire"].as_u64() {
        Some(2) => WireVersion::V2,
        _ => WireVersion::V3,
    };
    match event.get("link").is_some_and(|link| link == true) {
        true => MemberFacts::link(wire),
        false => MemberFacts::local(wire),
    }
}

#[test]
fn every_effect_of_every_walk_is_the_recorded_one() {
    walk_all(|switch, _, _| switch, |_, _, _| {});
}

#[test]
fn another_process_can_go_on_before_every_event() {
    let resumed = |switch: Switch, config: &SwitchConfig, facts: &Facts| {
        let bytes = switch.save().encode();
        let saved = Saved::decode(&bytes).unwrap();
        let (mut out, members) = (Vec::new(), facts.clone());
        let next = Switch::resume(config.clone(), &saved, members, &mut out).unwrap();
        assert_eq!(out, [], "no member is told anything");
        assert_eq!(next.save().encode(), bytes);
        assert_eq!(next.counts(), switch.counts());
        next
    };
    walk_all(resumed, |_, _, _| {});
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// The states that releases have saved at the ends of walks. A change of what this release saves is a change of its own.
#[test]
fn the_states_of_all_releases_are_read() {
    let releases = vectors("saved-relay.json");
    let mut read = 0;
    walk_all(
        |switch, _, _| switch,
        |walk, switch, facts| {
            for of in releases.iter().filter(|of| of["walk"] == walk["name"]) {
                let saved = Saved::decode(&from_hex(of["state"].as_str().unwrap())).unwrap();
                let mut out = Vec::new();
                let resumed = Switch::resume(config(walk), &saved, facts.clone(), &mut out);
                let ours = hex(&switch.save().encode());
                assert_eq!(hex(&resumed.unwrap().save().encode()), ours, "{of}");
                if of["release"] == env!("CARGO_PKG_VERSION") {
                    assert_eq!(of["state"], ours);
                }
                read += 1;
            }
        },
    );
    assert_eq!(read, releases.len());
    assert!(read > 0);
}
