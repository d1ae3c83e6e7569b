//! The intended differences from the reference: each case by name, with its reason.
//!
//! A difference that is not listed fails, and so does a listed one that is none any more: both are printed by name.

use kyneta_uds_core::WireVersion;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
}

/// Checks that the list is exact: all differing cases are listed, and all listed cases differ.
pub(crate) fn assert_listed(listed: &[Difference], differing: &[&str]) {
    let stale: Vec<_> = listed
        .iter()
        .map(|entry| entry.name)
        .filter(|name| !differing.contains(name))
        .collect();
    let missing: Vec<_> = differing
        .iter()
        .filter(|name| !listed.iter().any(|entry| entry.name == **name))
        .collect();
    assert!(missing.is_empty(), "not listed: {missing:#?}");
    assert!(stale.is_empty(), "listed, but equal: {stale:#?}");
}

pub(crate) fn sessions(wire: WireVersion) -> Vec<Difference> {
    let only: &[_] = match wire {
        WireVersion::V2 => &SESSIONS_V2,
        WireVersion::V3 => &SESSIONS_V3,
    };
    expand(&[&SESSIONS, only])
}

pub(crate) fn inbound(wire: WireVersion) -> Vec<Difference> {
    let only: &[_] = match wire {
        WireVersion::V2 => &INBOUND_V2,
        WireVersion::V3 => &INBOUND_V3,
    };
    expand(&[&INBOUND, only])
}

/// A reason, and the cases that it applies to.
type Group = (&'static str, &'static [&'static str]);

fn expand(lists: &[&[Group]]) -> Vec<Difference> {
    lists
        .iter()
        .flat_map(|groups| groups.iter())
        .flat_map(|(reason, names)| names.iter().map(|name| Difference { name, reason }))
        .collect()
}

static SESSIONS: [Group; 7] = [
    (
        "A peer id over 1,024 bytes cannot be built: every text is bounded.",
        &["establish/id-65535"],
    ),
    (
        "A docId over 512 bytes cannot be built: the reference's receiver rejects it.",
        &[
            "limits/docid-interest-ascii-513",
            "limits/docid-offer-ascii-513",
            "limits/docid-offer-ascii-1024",
            "limits/docid-interest-2byte-513",
            "limits/docid-offer-2byte-514",
            "limits/docid-interest-3byte-513",
            "limits/docid-offer-3byte-513",
            "limits/docid-offer-4byte-516",
        ],
    ),
    (
        "A docId over 512 bytes is rejected in `present` already; the reference accepts it there and rejects each use of it.",
        &[
            "limits/docid-present-ascii-513",
            "limits/docid-present-2byte-513",
            "limits/docid-present-2byte-514",
            "limits/docid-present-3byte-513",
            "limits/docid-present-4byte-516",
        ],
    ),
    (
        "The same. As that `present` was neither built nor accepted as a whole, the documents after the long one have no alias, and are named by `doc`.",
        &[
            "limits/docid-alias-ascii-513",
            "limits/docid-alias-ascii-1024",
            "limits/docid-alias-2byte-513",
            "limits/docid-alias-3byte-513",
            "limits/docid-alias-4byte-516",
        ],
    ),
    (
        "A schema hash over 256 bytes cannot be built: the reference's receiver rejects it.",
        &[
            "limits/hash-ascii-257",
            "limits/hash-ascii-400",
            "limits/hash-2byte-258",
            "limits/hash-4byte-260",
        ],
    ),
    (
        "The same. As that `present` was not built, its aliases were not assigned.",
        &["limits/hash-alias-ascii-257", "limits/hash-alias-ascii-400"],
    ),
    (
        "A supported hash is a schema hash: at most 256 bytes, which the reference does not check.",
        &[
            "limits/shs-ascii-257",
            "limits/shs-ascii-400",
            "limits/shs-4byte-260",
        ],
    ),
];

static SESSIONS_V2: [Group; 0] = [];

static SESSIONS_V3: [Group; 2] = [
    (
        "Protocol version 0.0 cannot be built: the reference's receiver rejects it.",
        &["establish-pv/0.0-sent-is-rejected"],
    ),
    (
        "A docId over 512 bytes cannot be built: the reference's receiver rejects it.",
        &[
            "limits/docid-vacant-ascii-513",
            "limits/docid-vacant-ascii-600",
            "limits/docid-vacant-3byte-513",
            "limits/docid-vacant-4byte-516",
        ],
    ),
];

static INBOUND: [Group; 6] = [
    (
        "Frames of the other wire version are measured by their own header format, so the next frame is found; the reference cannot read the rest of the stream.",
        &[
            "other-version/depart",
            "other-version/establish-then-depart",
            "other-version/establish-then-20-dismiss",
            "other-version/establish-then-own-x10",
            "other-version/offer-100",
        ],
    ),
    (
        "Fragments are skipped by their length and reported, not reassembled: no implementation sends them on a Unix socket.",
        &[
            "fragment/three-in-order",
            "fragment/three-reversed",
            "fragment/two-with-complete-between",
            "fragment/first-only",
            "fragment/second-only",
            "fragment/single-fragment-total-1",
            "fragment/duplicate",
            "fragment/total-mismatch",
            "fragment/totalsize-mismatch",
            "fragment/size-too-small",
            "fragment/size-too-big",
            "fragment/empty-chunks-both",
            "fragment/same-group-reused",
            "fragment/reassembled-garbage",
            "fragment/truncated-meta",
            "fragment/with-alias",
        ],
    ),
    (
        "`__proto__` is a key like any other: its value does not add fields to the message.",
        &["cbor/proto-key-supplies-t", "cbor/proto-key-supplies-doc"],
    ),
    (
        "Invalid UTF-8 in a known text is an error: repaired with U+FFFD, two names would become one, or data would be lost.",
        &[
            "text/payload-invalid-ff",
            "text/hash-invalid-ff",
            "text/doc-invalid-c3-28",
            "text/doc-overlong-e0",
            "text/doc-truncated-2",
            "text/doc-truncated-3",
            "text/hash-truncated-3",
            "text/doc-truncated-4",
            "text/doc-f5",
            "text/doc-mixed",
            "text/doc-bom-utf16le",
            "text/doc-truncated-4-then-ascii",
            "text/doc-512-after-replacement",
            "text/doc-170-bad-bytes",
            "mutation/seed-106",
        ],
    ),
    (
        "A docId over 512 bytes is rejected in `present` already; the reference accepts it there and rejects each use of it.",
        &["present-alias/docid-2000"],
    ),
    (
        "A supported hash is a schema hash: at most 256 bytes, which the reference does not check.",
        &["limits-inbound/shs-1000-bytes"],
    ),
];

static INBOUND_V2: [Group; 3] = [
    (
        "The header of the other wire version is known, so the frame is measured by it.",
        &["frame/version-byte-3"],
    ),
    (
        "A lineage is read on wire version 2, too, so that two of our peers do not lose it.",
        &["odd-value/offer-ln-text", "odd-optional/offer-ln-text"],
    ),
    (
        "`vacant` is read on wire version 2, too; 1.8.0 drops it.",
        &["odd-value/vacant-doc-text-empty"],
    ),
];

static INBOUND_V3: [Group; 1] = [(
    "The header of the other wire version is known, so the frame is measured by it.",
    &["frame/version-byte-2"],
)];
