//! Bytes that a new receiver gets, and its results, wherever reads end.
//!
//! A failure names the case, and the place at which the bytes were cut.

use std::collections::HashSet;

use kyneta_uds_core::{Rejection, WireVersion};
use serde_json::Value;

use crate::{
    differences, extra_cases, json,
    peer::Peer,
    vectors::{WIRES, bytes, cases, list, name},
};

/// Up to this many bytes a case is cut at every place, above it at random ones.
const SHORT: usize = 2_000;
const RANDOM_CUTS: usize = 16;
/// Above this many bytes a case is cut at few places, to save time.
const LONG: usize = 200_000;

#[test]
fn every_inbound_case_decodes_equal() {
    for wire in WIRES {
        let mut cases = cases(wire, "inbound");
        cases.extend(extra_cases::inbound(wire));
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

/// If one wire version has a case that the other lacks, a test is missing, unless the case is about something that
/// only one version has. The places where frames are cut are random.
#[test]
fn each_case_of_one_wire_version_has_its_counterpart_on_the_other() {
    let names = WIRES.map(|wire| {
        let mut cases = cases(wire, "inbound");
        cases.extend(extra_cases::inbound(wire));
        cases
            .iter()
            .map(|case| name(case).to_owned())
            .collect::<HashSet<_>>()
    });
    let is_of_one_version = |name: &str| {
        ["cut/at-", "truncated/first-", "seq/", "doc-dx/vacant-"]
            .iter()
            .any(|family| name.starts_with(family))
    };
    let alone: Vec<_> = names[0]
        .symmetric_difference(&names[1])
        .filter(|name| !is_of_one_version(name))
        .collect();
    // Of these, version 2 has only `declares-1MiB`.
    assert_eq!(alone, ["truncated/declares-256MiB"]);
}

fn is_equal(wire: WireVersion, case: &Value) -> bool {
    let mut peer = Peer::new(wire);
    let setup = peer.receive(&set_up(case));
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
    let after = peer.receive(&follow_up(case));
    equal & (after == expected(&case["after"]["results"]))
}

fn set_up(case: &Value) -> Vec<u8> {
    list(&case["setup"]).iter().flat_map(bytes).collect()
}

fn follow_up(case: &Value) -> Vec<u8> {
    bytes(&case["after"]["bytes"])
}

fn expected(results: &Value) -> Vec<Value> {
    list(results).iter().map(json::expected).collect()
}

/// The faults of a message are found in the reference's order. (On wire version 2 the reference does not know
/// `vacant`, so there is nothing to compare with.)
#[test]
fn faults_are_found_in_the_same_place() {
    let wire = WireVersion::V3;
    let mut compared = 0;
    for case in cases(wire, "inbound") {
        let mut peer = Peer::new(wire);
        peer.receive(&set_up(&case));
        let got = peer.messages(&bytes(&case["bytes"]));
        for (got, expected) in got.iter().zip(list(&case["results"])) {
            let Err(Rejection::Invalid { path, .. }) = got else {
                continue;
            };
            if expected["error"]["code"] == "invalid-wire-message" {
                let keys = list(&expected["error"]["path"]).iter();
                let keys = keys
                    .map(|key| key.to_string().replace('"', ""))
                    .collect::<Vec<_>>();
                assert_eq!(*path, keys.join("."), "{}", name(&case));
                compared += 1;
            }
        }
    }
    assert!(compared > 400, "{compared}");
    println!("wire {wire}: {compared} faults in the same place");
}

#[test]
fn no_cut_changes_a_result() {
    for wire in WIRES {
        let (mut cases_cut, mut cuts) = (0, 0);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for case in cases(wire, "inbound") {
            let input = bytes(&case["bytes"]);
            let (setup, after) = (set_up(&case), follow_up(&case));
            let results = |places: &[usize]| {
                let mut peer = Peer::new(wire);
                peer.receive(&setup);
                let mut results = Vec::new();
                let mut from = 0;
                for &at in places.iter().chain([&input.len()]) {
                    results.extend(peer.receive(&input[from..at]));
                    from = at;
                }
                results.extend(peer.receive(&after));
                results
            };
            let whole = results(&[]);
            cases_cut += 1;
            for places in places(input.len(), &mut random) {
                cuts += 1;
                assert_eq!(results(&places), whole, "{} at {places:?}", name(&case));
            }
        }
        println!("wire {wire}: {cases_cut} inbound cases cut in {cuts} ways");
    }
}

/// Where to cut: at each place in turn if there are few, else at eight random places at a time.
fn places(len: usize, random: &mut u64) -> Vec<Vec<usize>> {
    if len <= SHORT {
        return (1..len).map(|at| vec![at]).collect();
    }
    let times = if len > LONG { 2 } else { RANDOM_CUTS };
    let mut cut = || {
        let mut places: Vec<_> = (0..8).map(|_| next(random) as usize % len).collect();
        places.sort_unstable();
        places
    };
    (0..times).map(|_| cut()).collect()
}

/// xorshift: the same cuts in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
