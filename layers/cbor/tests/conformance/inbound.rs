//! Bytes that a fresh receiver gets, and what it makes of them, however they are cut.

use kyneta_uds_core::WireVersion;
use serde_json::Value;

use crate::{
    differences, json,
    peer::Peer,
    vectors::{WIRES, bytes, cases, list, name, renumber},
};

/// Up to this many bytes a case is cut at every place, above it at random ones.
const SHORT: usize = 2_000;
const RANDOM_CUTS: usize = 16;
/// Above this many bytes a case is cut in few places, or it would take minutes.
const LONG: usize = 200_000;

#[test]
fn every_inbound_case_decodes_equal() {
    for wire in WIRES {
        let cases = cases(wire, "inbound");
        let differing: Vec<_> = cases
            .iter()
            .filter(|case| !is_equal(wire, case))
            .map(name)
            .collect();
        println!(
            "wire {wire}: {} inbound cases, {} equal, {} differ ({:.1} %), all listed",
            cases.len(),
            cases.len() - differing.len(),
            differing.len(),
            100.0 * differing.len() as f64 / cases.len() as f64,
        );
        differences::assert_listed(&differences::inbound(wire), &differing);
        assert!(differing.len() * 20 <= cases.len(), "more than 5 % differ");
    }
}

fn is_equal(wire: WireVersion, case: &Value) -> bool {
    let mut peer = Peer::new(wire);
    let setup = set_up(&mut peer, wire, case);
    let mut equal = setup == expected(&case["setupResults"]);
    let input = bytes(&case["bytes"]);
    let mut results = Vec::new();
    match case.get("chunks") {
        None => results = peer.receive(&input),
        Some(chunks) => {
            let mut rest = input.as_slice();
            for (len, count) in list(chunks).iter().zip(list(&case["perChunk"])) {
                let (chunk, after) = rest.split_at(len.as_u64().expect("a length") as usize);
                let got = peer.receive(chunk);
                equal &= got.len() as u64 == count.as_u64().expect("a count");
                results.extend(got);
                rest = after;
            }
        }
    }
    equal &= results == expected(&case["results"]);
    let after = follow_up(&mut peer, wire, case);
    equal & (after == expected(&case["after"]["results"]))
}

fn set_up(peer: &mut Peer, wire: WireVersion, case: &Value) -> Vec<Value> {
    let setup: Vec<u8> = list(&case["setup"]).iter().flat_map(bytes).collect();
    receive_frames(peer, wire, setup, 0)
}

fn follow_up(peer: &mut Peer, wire: WireVersion, case: &Value) -> Vec<Value> {
    receive_frames(peer, wire, bytes(&case["after"]["bytes"]), 1_000)
}

fn receive_frames(peer: &mut Peer, wire: WireVersion, mut frames: Vec<u8>, own: u32) -> Vec<Value> {
    renumber(wire, &mut frames, &mut own.clone());
    peer.receive(&frames)
}

fn expected(results: &Value) -> Vec<Value> {
    list(results).iter().map(json::expected).collect()
}

#[test]
fn no_cut_changes_a_result() {
    for wire in WIRES {
        let (mut cases_cut, mut cuts) = (0, 0);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for case in cases(wire, "inbound") {
            let input = bytes(&case["bytes"]);
            let whole = cut(wire, &case, &input, &[]);
            let places: Vec<Vec<usize>> = if input.len() <= SHORT {
                (1..input.len()).map(|at| vec![at]).collect()
            } else {
                let times = if input.len() > LONG { 2 } else { RANDOM_CUTS };
                (0..times)
                    .map(|_| {
                        let mut places: Vec<_> = (0..8)
                            .map(|_| next(&mut random) as usize % input.len())
                            .collect();
                        places.sort_unstable();
                        places
                    })
                    .collect()
            };
            cases_cut += 1;
            for places in places {
                cuts += 1;
                assert_eq!(
                    cut(wire, &case, &input, &places),
                    whole,
                    "{} at {places:?}",
                    name(&case)
                );
            }
        }
        println!("wire {wire}: {cases_cut} inbound cases cut in {cuts} ways");
    }
}

fn cut(wire: WireVersion, case: &Value, input: &[u8], places: &[usize]) -> Vec<Value> {
    let mut peer = Peer::new(wire);
    set_up(&mut peer, wire, case);
    let mut results = Vec::new();
    let mut from = 0;
    for &at in places.iter().chain([&input.len()]) {
        results.extend(peer.receive(&input[from..at]));
        from = at;
    }
    results.extend(follow_up(&mut peer, wire, case));
    results
}

/// xorshift: the same cuts in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
