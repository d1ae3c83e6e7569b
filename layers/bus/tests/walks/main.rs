//! The walks of `tests/vectors/bus.json`: events in, each effect in order, and what is left in the end.
//!
//! A failure prints each walk that differs, with the step and both lists of effects.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod json;
mod saved;

use std::{fs, path::Path};

use kyneta_uds_bus::{
    ConnectionKey, Hub, HubEvent, MachineId, Member, MemberConfig, MemberEffect, MemberEvent,
    NotAccepted, Route, SeqNo,
};
use serde_json::{Value, json};

/// Where a walk differs from its vector, if it does.
type Difference = Option<String>;

fn compare(at: usize, step: &Value, effects: &Value) -> Difference {
    (effects != &step["effects"]).then(|| {
        format!(
            "step {at}: {}\n  expected {}\n  got      {effects}",
            step["event"], step["effects"]
        )
    })
}

fn compare_end(walk: &Value, state: &Value) -> Difference {
    let expected = &walk["state"];
    (state != expected).then(|| format!("the end\n  expected {expected}\n  got      {state}"))
}

fn walk_of_member(walk: &Value) -> Difference {
    member_through(walk, |_, member| member)
}

/// `each` gets the member before each event, and says which one goes on.
fn member_through(
    walk: &Value,
    each: impl Fn(MemberConfig, Member<()>) -> Member<()>,
) -> Difference {
    let config = MemberConfig::default().slow(json::slow(&walk["newest"]));
    let mut member = Member::new(json::id(&walk["me"]), config.clone());
    for (at, step) in walk["steps"].as_array().unwrap().iter().enumerate() {
        member = each(config.clone(), member);
        let event = &step["event"];
        let mut effects = Vec::new();
        if let Some(to) = event.get("publish") {
            let to = (to != "all").then(|| json::id(to));
            match member.accept(to, (), 0, &mut effects) {
                Ok(_) => assert!(step.get("refused").is_none(), "{step}"),
                Err(why) => {
                    assert!(matches!(why, NotAccepted::NotListed(_)), "{why}");
                    assert_eq!(step["refused"], true, "{step}");
                }
            }
        } else {
            let event = match event.as_str() {
                Some("connected") => MemberEvent::Connected,
                Some("broken") => MemberEvent::Disconnected,
                Some("acks") => MemberEvent::Acknowledge,
                _ => MemberEvent::Frame(json::down(&event["take"])),
            };
            member.handle(event, &mut effects);
        }
        let effects = drawn(&member, effects);
        if let Some(difference) =
            compare(at, step, &effects.iter().map(json::member_effect).collect())
        {
            return Some(difference);
        }
    }
    compare_end(walk, &state_of_member(&member))
}

/// The effects, with all copies in the place of their cursor, and with one for each message that is resolved.
fn drawn(member: &Member<()>, effects: Vec<MemberEffect<()>>) -> Vec<MemberEffect<()>> {
    let mut drawn = Vec::new();
    for effect in effects {
        match effect {
            MemberEffect::SendCopies(mut copies) => {
                let frames = std::iter::from_fn(|| member.next_copy(&mut copies));
                drawn.extend(frames.map(MemberEffect::Send));
            }
            MemberEffect::Resolved { numbers, left } => {
                let numbers = numbers.start().0..=numbers.end().0;
                drawn.extend(numbers.map(SeqNo).map(|n| MemberEffect::Resolved {
                    numbers: n..=n,
                    left: left.clone(),
                }));
            }
            other => drawn.push(other),
        }
    }
    drawn
}

fn state_of_member(member: &Member<()>) -> Value {
    let audience = member.listed().map(|receiver| {
        json!([
            json::text(receiver.id),
            receiver.token.0,
            receiver.start.0,
            receiver.acked.0,
            receiver.is_live
        ])
    });
    let places = member.senders().map(|held| {
        json!([
            json::text(held.id),
            held.place.token.0,
            held.place.k.0,
            held.is_fresh
        ])
    });
    let kept = member.unresolved().map(|kept| {
        json!({
            "n": kept.n.0,
            "to": kept.to.map(json::text).into_iter().collect::<Value>(),
            "owed": kept.owed.into_iter().map(json::text).collect::<Value>(),
            "left": kept.left.iter().map(json::text).collect::<Value>(),
        })
    });
    json!({
        "n": member.last().0,
        "audience": audience.collect::<Value>(),
        "places": places.collect::<Value>(),
        "kept": kept.collect::<Value>(),
    })
}

fn walk_of_hub(walk: &Value) -> Difference {
    hub_through(walk, |hub| hub)
}

/// `each` gets the hub before each event, and says which one goes on.
fn hub_through(walk: &Value, each: impl Fn(Hub) -> Hub) -> Difference {
    let mut hub = Hub::new(json::id(&walk["me"]));
    for (at, step) in walk["steps"].as_array().unwrap().iter().enumerate() {
        hub = each(hub);
        let mut effects = Vec::new();
        hub.handle(hub_event(&step["event"]), &mut effects);
        let effects = effects.iter().filter_map(json::hub_effect).collect();
        if let Some(difference) = compare(at, step, &effects) {
            return Some(difference);
        }
    }
    compare_end(walk, &state_of_hub(&hub))
}

fn hub_event(event: &Value) -> HubEvent<()> {
    let machine = |machine: &Value| MachineId(machine.as_u64().unwrap());
    let connection = |connection: &Value| ConnectionKey(connection.as_u64().unwrap());
    if let Some(from) = event.get("conn") {
        let (from, frame) = (connection(from), json::up(&event["take"]));
        HubEvent::Frame { from, frame }
    } else if let Some(ended) = event.get("ended") {
        HubEvent::Ended(connection(ended))
    } else if let Some(member) = event.get("expire") {
        HubEvent::Removed(json::id(member))
    } else if let Some(up) = event.get("linkUp") {
        HubEvent::LinkUp(machine(up))
    } else if let Some(down) = event.get("linkDown") {
        HubEvent::LinkDown(machine(down))
    } else {
        let (from, frame) = (machine(&event["link"]), json::link(&event["take"]));
        HubEvent::LinkFrame { from, frame }
    }
}

fn state_of_hub(hub: &Hub) -> Value {
    let slots = hub.members().map(|known| {
        let via = match known.route {
            None => json!("absent"),
            Some(Route::Connection(connection)) => json!({"conn": connection.0}),
            Some(Route::Link(machine)) => json!({"link": machine.0}),
        };
        json!([
            json::text(known.id),
            via,
            known.session.0,
            known.remote_session.0
        ])
    });
    let places = hub.places().map(|(receiver, sender, place)| {
        json!([
            json::text(receiver),
            json::text(sender),
            place.token.0,
            place.k.0
        ])
    });
    let live = hub
        .meetings()
        .map(|(sender, receiver)| json!([json::text(sender), json::text(receiver)]));
    json!({
        "slots": slots.collect::<Value>(),
        "places": places.collect::<Value>(),
        "live": live.collect::<Value>(),
    })
}

fn walks(kind: &str, walk: impl Fn(&Value) -> Difference) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/bus.json");
    let vectors: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let of_kind = || vectors.iter().filter(|case| case["kind"] == kind);
    assert_eq!(of_kind().count(), 100);
    let differences = of_kind().filter_map(|case| {
        let difference = walk(case)?;
        Some(format!("{} {difference}", case["name"]))
    });
    let differences: Vec<_> = differences.collect();
    let first = differences.first();
    assert!(
        first.is_none(),
        "{} walks differ; {}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn every_walk_of_a_member_has_its_effects_and_its_end() {
    walks("member", walk_of_member);
}

#[test]
fn every_walk_of_a_hub_has_its_effects_and_its_end() {
    walks("hub", walk_of_hub);
}
