//! Inbound cases that the vectors lack, in the same form, with the reference's results.
//!
//! Each belongs to a family of cases of which the vectors have others.

use kyneta_uds_core::WireVersion;
use serde_json::{Value, json};

/// The cases of one wire version.
pub(crate) fn inbound(wire: WireVersion) -> Vec<Value> {
    let mut cases = vec![odd_alias(wire)];
    if wire == WireVersion::V3 {
        cases.push(version_byte_2());
    }
    cases
}

/// As `frame/version-byte-4`: the reference measures a frame of any other version as its own.
fn version_byte_2() -> Value {
    json!({
        "name": "frame/version-byte-2",
        "bytes": "02000000000b00000001a261741363646f63626f6b",
        "results": [{ "error": { "code": "reassembly-failed", "sub": "parse_error" } }],
        "after": {
            "bytes": "03000000000e00000063a261741363646f63656166746572",
            "results": [{ "ok": { "type": "dismiss", "docId": "after" } }],
        },
    })
}

/// As `present-alias/odd-alias-2^53-1`, for the smallest negative alias, -2^53: its argument is 2^53 - 1, which is
/// still a number in the reference.
fn odd_alias(wire: WireVersion) -> Value {
    const ALIAS: &str = "3b001fffffffffffff";
    let header = |payload: &str| {
        let seq = match wire {
            WireVersion::V2 => "",
            WireVersion::V3 => "00000001",
        };
        format!("0{wire}00{:08x}{seq}{payload}", payload.len() / 2)
    };
    let entry = |doc: &str| {
        json!({
            "docId": doc,
            "replicaType": ["t", 1, 0],
            "syncMode": {
                "writerModel": "concurrent",
                "delivery": "delta-capable",
                "durability": "persistent",
            },
            "schemaHash": "oddh",
        })
    };
    let announced = format!(
        "a261741064646f637381a66164636f64646161{ALIAS}6272748361740100626d7300627368646f646468627361{ALIAS}"
    );
    let named = format!("a2617413626478{ALIAS}");
    let again =
        format!("a261741064646f637381a4616463646f636272748361740100626d730063736878{ALIAS}");
    json!({
        "name": "present-alias/odd-alias--2^53",
        "bytes": header(&announced),
        "results": [{ "ok": { "type": "present", "docs": [entry("odd")] } }],
        "after": {
            "bytes": format!("{}{}", header(&named), header(&again)),
            "results": [
                { "ok": { "type": "dismiss", "docId": "odd" } },
                { "ok": { "type": "present", "docs": [entry("doc")] } },
            ],
        },
    })
}
