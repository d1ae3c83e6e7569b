//! Sessions of two new peers: what each writes, and what the other decodes.
//!
//! A failure prints each session that differs, with both lists of bytes or results.

use kyneta_uds_core::WireVersion;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    differences::{self, Difference},
    json,
    peer::Peer,
    vectors::{WIRES, bytes, cases, list, name},
};

/// The counts of one session, or of all.
#[derive(Default)]
struct Counts {
    steps: usize,
    encoded: usize,
    /// Steps whose message our types cannot represent.
    unbuildable: usize,
    /// Steps whose bytes differ.
    bytes: usize,
    /// Steps whose decoded message differs.
    results: usize,
}

#[test]
fn every_session_is_byte_identical_and_decodes_equal() {
    for wire in WIRES {
        let cases = cases(wire, "session");
        let mut total = Counts::default();
        let mut differing = Vec::new();
        for case in &cases {
            let counts = play(wire, case);
            if counts.unbuildable + counts.bytes + counts.results > 0 {
                // A session can only differ if a message could not be built.
                assert!(counts.unbuildable > 0, "{}", name(case));
                differing.push(name(case));
            }
            total.steps += counts.steps;
            total.encoded += counts.encoded;
            total.unbuildable += counts.unbuildable;
            total.bytes += counts.bytes;
            total.results += counts.results;
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

fn play(wire: WireVersion, case: &Value) -> Counts {
    let mut counts = Counts::default();
    let (mut a, mut b) = (Peer::new(wire), Peer::new(wire));
    for step in list(&case["steps"]) {
        counts.steps += 1;
        let (sender, receiver) = if step["dir"] == "A->B" {
            (&mut a, &mut b)
        } else {
            (&mut b, &mut a)
        };
        let frame = match step.get("raw") {
            Some(raw) => bytes(raw),
            None => match send(sender, step, &mut counts) {
                Some(frame) => frame,
                None => continue,
            },
        };
        let got = receiver.receive(&frame);
        if got != [json::expected(&step["decoded"])] {
            counts.results += 1;
        }
    }
    counts
}

/// The reference's frame, compared with ours; none if only its hash is known and our types cannot represent it.
fn send(sender: &mut Peer, step: &Value, counts: &mut Counts) -> Option<Vec<u8>> {
    let expected = &step["frame"];
    let ours = match json::to_message(&step["msg"]) {
        Ok(msg) => {
            counts.encoded += 1;
            sender.send(&msg)
        }
        Err(_) => {
            counts.unbuildable += 1;
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
        counts.bytes += 1;
    }
    Some(expected)
}

/// The lists have no duplicates, and a reason for each case.
#[test]
fn the_lists_of_differences_are_complete() {
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
