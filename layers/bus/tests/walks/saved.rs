//! The walks once more: before each event another process goes on with the saved state. And the states that releases
//! have saved.

use std::{fs, path::Path};

use kyneta_uds_bus::{DownFrame, Hub, Member, MemberConfig, MemberQueue, SlowPolicy};
use kyneta_uds_core::{Saved, SavedError, SavedValue};
use serde_json::Value;

use super::{hub_through, json, member_through, walks};

fn no_body(_: &()) -> SavedValue {
    0_u64.into()
}

fn resume_member(config: MemberConfig, saved: &Saved) -> Result<Member<()>, SavedError> {
    Member::resume(config, saved, |_| Ok(()))
}

/// As another process reads it.
fn read(saved: &Saved) -> Saved {
    Saved::decode(&saved.encode()).unwrap()
}

#[test]
fn a_hub_that_is_resumed_before_each_event_has_the_same_effects() {
    walks("hub", |walk| {
        hub_through(walk, |hub| {
            let next = Hub::resume(&read(&hub.save())).unwrap();
            assert_eq!(next, hub);
            next
        })
    });
}

#[test]
fn a_member_that_is_resumed_before_each_event_has_the_same_effects() {
    walks("member", |walk| {
        member_through(walk, |config, member| {
            resume_member(config, &read(&member.save(no_body))).unwrap()
        })
    });
}

/// The frames that a member of the walks is sent, in queues that are cut at each place.
#[test]
fn a_queue_that_is_resumed_has_the_same_frames_and_takes_the_same_ones_in() {
    walks("member", |walk| {
        let steps = walk["steps"].as_array().unwrap();
        let frames = steps.iter().filter_map(|step| step["event"].get("take"));
        let frames: Vec<DownFrame<()>> = frames.map(json::down).collect();
        for slow in [json::slow(&true.into()), SlowPolicy::Wait] {
            let (mut queue, mut resumed) = (MemberQueue::new(slow), MemberQueue::new(slow));
            for (at, frame) in frames.iter().enumerate() {
                for queue in [&mut queue, &mut resumed] {
                    queue.push(frame.clone());
                    if let DownFrame::Msg { sender, message } = frame {
                        queue.push_run(sender, &vec![message.clone(); at % 5].into());
                    }
                }
                let saved = read(&resumed.save(no_body));
                resumed = MemberQueue::resume(slow, &saved, |_| Ok(())).unwrap();
                assert_eq!(resumed.len(), queue.len(), "{at}");
                assert_eq!(resumed.dropped(), queue.dropped(), "{at}");
                if at % 3 == 0 {
                    assert_eq!(resumed.pop(), queue.pop(), "{at}");
                }
            }
            loop {
                let next = queue.pop();
                assert_eq!(resumed.pop(), next);
                if next.is_none() {
                    break;
                }
            }
        }
        None
    });
}

fn state_of(text: &Value) -> Saved {
    let text = text.as_str().unwrap();
    let bytes = (0..text.len()).step_by(2);
    let bytes = bytes.map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap());
    Saved::decode(&bytes.collect::<Vec<_>>()).unwrap()
}

fn hex(saved: &Saved) -> String {
    let bytes = saved.encode().into_iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The states that the releases have saved at the ends of two walks, and what this one saves there.
#[test]
fn the_state_of_each_release_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/saved-bus.json");
    let vectors: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(!vectors.is_empty());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/bus.json");
    let bus: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let walk = |of: &Value| bus.iter().find(|case| case["name"] == *of).unwrap();
    for vector in vectors {
        let hub = Hub::resume(&state_of(&vector["hub"]["state"])).unwrap();
        let walk_of_hub = walk(&vector["hub"]["walk"]);
        assert_eq!(super::state_of_hub(&hub), walk_of_hub["state"]);
        let member = resume_member(
            MemberConfig::default(),
            &state_of(&vector["member"]["state"]),
        );
        let member = member.unwrap();
        let walk_of_member = walk(&vector["member"]["walk"]);
        assert_eq!(super::state_of_member(&member), walk_of_member["state"]);
        if vector["release"] == env!("CARGO_PKG_VERSION") {
            assert_eq!(hex(&hub.save()), vector["hub"]["state"]);
            assert_eq!(hex(&member.save(no_body)), vector["member"]["state"]);
        }
    }
}

#[test]
fn a_state_that_cannot_be_is_refused_with_its_reason() {
    let walk = |kind: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/saved-bus.json");
        let vectors: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        state_of(&vectors[0][kind]["state"])
    };
    let (hub, member) = (walk("hub"), walk("member"));
    let of_hub = |saved: &Saved| Hub::resume(saved).unwrap_err().to_string();
    let of_member = |saved: &Saved| {
        resume_member(MemberConfig::default(), saved)
            .unwrap_err()
            .to_string()
    };
    for (error, expected) in [
        (
            of_hub(&Saved::new(2, 2)),
            "the saved state of the hub of a bus has version 2, for readers from version 2 on; this is version 1",
        ),
        (
            of_hub(&hub.clone().with("me", 99_u64)),
            "one is named that is not there",
        ),
        (
            of_hub(&hub.clone().with("links", vec![0x80])),
            "it ends within an item",
        ),
        (
            of_hub(&hub.with("slots", vec![SavedValue::from(1_u64)])),
            "no part",
        ),
        (of_member(&Saved::new(2, 2)), "the member of a bus"),
        (
            of_member(&member.clone().with("places", vec![1])),
            "it ends within an item",
        ),
        (
            of_member(&member.with("last", "x")),
            "no field `last` that is a number",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
    // Cut or changed anywhere, a state is read or refused; nothing panics.
    let bytes = walk("hub").encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x41;
        for bytes in [&bytes[..at], &changed] {
            if let Ok(saved) = Saved::decode(bytes) {
                let _ = Hub::resume(&saved);
                let _ = resume_member(MemberConfig::default(), &saved);
            }
        }
    }
}
