//! `bench` measures each work, with the library and with a bare socket.

use serde_json::Value;

use crate::process::start;

#[test]
fn every_work_gives_figures_of_both_sides() {
    let args = ["bench", "--rounds", "1", "--count", "20", "--json"];
    let end = start(&args).finish();
    assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{end:#?}");
    let figures: Vec<Value> = end
        .rest
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for work in ["rtt", "stream", "pipe", "bulk", "fan"] {
        assert!(figures.iter().any(|of| of["work"] == work), "{end:#?}");
    }
    for of in &figures {
        let floor = &of["floor"];
        let ratio = of["msgs_per_s"].as_f64().unwrap() / floor["msgs_per_s"].as_f64().unwrap();
        let printed = of["ratio"].as_f64().unwrap();
        assert!((printed / ratio - 1.0).abs() < 1e-9, "{of}");
        for (side, name) in [(of, "kyneta-uds"), (floor, "bare tokio")] {
            assert_eq!(side["impl"], name);
            assert_eq!(side["count"], 20);
            let secs = side["secs"].as_f64().unwrap();
            assert!(secs > 0.0, "{of}");
            // Only a round trip has a latency.
            assert_eq!(side["p50_us"].is_number(), of["work"] == "rtt", "{of}");
        }
    }
}

#[test]
fn empty_messages_and_messages_of_many_reads_reach_a_hundred_peers() {
    let sizes = ["--size", "0", "--size", "100000"];
    let args = [
        "bench", "--work", "fan", "--rounds", "1", "--count", "3", "--json",
    ];
    let end = start(&[&args[..], &sizes].concat()).finish();
    assert_eq!(
        (end.code, end.stderr.as_str(), end.rest.len()),
        (0, "", 2),
        "{end:#?}"
    );
}

#[test]
fn connections_can_spin() {
    let args = [
        "bench", "--work", "rtt", "--rounds", "1", "--count", "20", "--spin", "50", "--json",
    ];
    let end = start(&args).finish();
    assert_eq!(
        (end.code, end.stderr.as_str(), end.rest.len()),
        (0, "", 1),
        "{end:#?}"
    );
}
