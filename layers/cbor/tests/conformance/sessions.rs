//! Two peers that start fresh and talk: what each writes and what the other makes of it.

use kyneta_uds_core::WireVersion;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    differences::{self, Difference},
    json,
    peer::Peer,
    vectors::{WIRES, bytes, cases, list, name},
};

/// What came of one session.
#[derive(Default)]
struct Outcome {
    steps: usize,
    encoded: usize,
    /// Steps whose message our types cannot hold.
    unbuildable: usize,
    /// Steps whose bytes differ.
    bytes: usize,
    /// Steps whose decoding differs.
    results: usize,
}

#[test]
fn every_session_is_byte_identical_and_decodes_equal() {
    for wire in WIRES {
        let cases = cases(wire, "session");
        let mut total = Outcome::default();
        let mut differing = Vec::new();
        for case in &cases {
            let outcome = play(wire, case);
            if outcome.unbuildable + outcome.bytes + outcome.results > 0 {
                // Whatever differs does so because a message could not be built.
                assert!(outcome.unbuildable > 0, "{}", name(case));
                differing.push(name(case));
            }
            total.steps += outcome.steps;
            total.encoded += outcome.encoded;
            total.unbuildable += outcome.unbuildable;
            total.bytes += outcome.bytes;
            total.results += outcome.results;
        }
        println!(
            "wire {wire}: {} sessions, {} steps, {} encoded, {} byte-identical; not buildable: {}, \
             bytes differ: {}, decoded differently: {} (in {} sessions, all listed)",
            cases.len(),
            total.steps,
            total.encoded,
            total.encoded - total.bytes,
            total.unbuildable,
            total.bytes,
            total.results,
            differing.len(),
        );
        differences::assert_listed(&differences::sessions(wire), &differing);
    }
}

fn play(wire: WireVersion, case: &Value) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut a, mut b) = (Peer::new(wire), Peer::new(wire));
    for step in list(&case["steps"]) {
        outcome.steps += 1;
        let (sender, receiver) = if step["dir"] == "A->B" {
            (&mut a, &mut b)
        } else {
            (&mut b, &mut a)
        };
        let frame = match step.get("raw") {
            Some(raw) => bytes(raw),
            None => match send(sender, step, &mut outcome) {
                Some(frame) => frame,
                None => continue,
            },
        };
        let got = receiver.receive(&frame);
        if got != [json::expected(&step["decoded"])] {
            outcome.results += 1;
        }
    }
    outcome
}

/// The reference's frame, compared with ours; none when only its hash is known and ours cannot be.
fn send(sender: &mut Peer, step: &Value, outcome: &mut Outcome) -> Option<Vec<u8>> {
    let expected = &step["frame"];
    let ours = match json::to_message(&step["msg"]) {
        Ok(msg) => {
            outcome.encoded += 1;
            sender.send(&msg)
        }
        Err(_) => {
            outcome.unbuildable += 1;
            sender.refuse();
            return expected.is_string().then(|| bytes(expected));
        }
    };
    if let Some(hash) = expected["$sha256"].as_str() {
        assert_eq!(hex::encode(Sha256::digest(&ours)), hash);
        return Some(ours);
    }
    let expected = bytes(expected);
    if ours != expected {
        outcome.bytes += 1;
    }
    Some(expected)
}

/// The lists name nothing twice and give a reason each.
#[test]
fn the_lists_are_in_order() {
    for wire in WIRES {
        for list in [differences::sessions(wire), differences::inbound(wire)] {
            let mut names: Vec<_> = list.iter().map(|Difference { name, .. }| name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), list.len());
            assert!(
                list.iter()
                    .all(|Difference { reason, .. }| !reason.is_empty())
            );
        }
    }
}
