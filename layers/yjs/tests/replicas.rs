//! Replicas that edit and take each other's offers, and offers that no replica takes.
//!
//! A failure says the seed of the edits, or shows the document.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../tests/support/documents/replicas.rs"]
mod support;

use fastrand::Rng;
use kyneta_uds_core::{Bytes, DocId, Offer, PayloadKind, Version};
use kyneta_uds_exchange::{Edit, Imported, Json, Replica, Take};
use kyneta_uds_schema::Schema;
use kyneta_uds_yjs::{YjsLimits, YjsReplica};
use support::{ALL, Kind, WIRE, list_len, offer_since, pass, text_len};

fn schema() -> Schema {
    let card = Schema::structure([("name", Schema::string()), ("body", Schema::text())]).unwrap();
    let meta = Schema::structure([
        ("owner", Schema::string()),
        ("log", Schema::list(Schema::string())),
        ("seen", Schema::record(Schema::number())),
    ])
    .unwrap();
    Schema::structure([
        ("title", Schema::string()),
        ("notes", Schema::text()),
        ("order", Schema::list(Schema::number())),
        ("cards", Schema::list(card)),
        ("tags", Schema::record(Schema::boolean())),
        ("meta", meta),
        ("raw", Schema::record(Schema::any()).json().unwrap()),
    ])
    .unwrap()
}

/// For what the tests of both libraries share.
struct Yjs;

impl Kind for Yjs {
    type Replica = YjsReplica;

    fn open(number: u8) -> YjsReplica {
        open(number.into())
    }

    fn headless() -> YjsReplica {
        YjsReplica::headless()
    }

    fn bounded(number: u8, max_bytes: usize) -> YjsReplica {
        let mut limits = YjsLimits::default();
        limits.max_bytes = max_bytes;
        open(number.into()).limits(limits)
    }

    fn quarantine(replica: &YjsReplica) -> Option<&str> {
        replica.quarantine()
    }
}

fn open(peer: u32) -> YjsReplica {
    YjsReplica::open(schema(), peer).unwrap()
}

fn random_edit(rng: &mut Rng, replica: &YjsReplica) -> Edit {
    let word = ["a", "bé", "漢", "x y"][rng.usize(..4)];
    let key = ["k", "l", "m"][rng.usize(..3)];
    let (cards, notes) = (list_len(replica, "cards"), text_len(replica));
    match rng.usize(..16) {
        0 => Edit::set("title", word),
        1 => Edit::insert("notes", rng.usize(..=notes), word),
        2 if notes > 0 => Edit::delete("notes", rng.usize(..notes), 1),
        3 => Edit::update("notes", word.repeat(rng.usize(..4))),
        5 => Edit::push("order", f64::from(rng.u8(..))),
        6 if list_len(replica, "order") > 0 => Edit::set("order.0", f64::from(rng.u8(..))),
        7 => {
            let card = Json::parse(r#"{"name": "n", "body": "b"}"#).unwrap();
            Edit::insert("cards", rng.usize(..=cards), card)
        }
        8 if cards > 0 => Edit::insert("cards.0.body", 0, word),
        10 if cards > 3 => Edit::delete("cards", rng.usize(..cards - 1), 2),
        11 => Edit::put("tags", key, rng.bool()),
        12 => Edit::remove("tags", key),
        13 => Edit::push("meta.log", word),
        14 => Edit::put("raw", key, word),
        _ => Edit::set("meta.owner", word),
    }
}

#[test]
fn three_replicas_with_random_edits_and_messages_that_are_lost_come_to_the_same_document() {
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let mut replicas = [open(1), open(2), open(3)];
        for _ in 0..60 {
            let (from, to) = (rng.usize(..3), rng.usize(..3));
            if rng.bool() {
                let edit = random_edit(&mut rng, &replicas[from]);
                assert!(replicas[from].edit(&[edit]).is_ok(), "seed {seed}");
            } else if from != to {
                let mut since = replicas[to].version(WIRE);
                if rng.usize(..4) == 0 {
                    // As a push that starts from what was lost before.
                    since = replicas[from].version(WIRE);
                    let edit = random_edit(&mut rng, &replicas[from]);
                    replicas[from].edit(&[edit]).unwrap();
                }
                let offer = offer_since(&replicas[from], &since);
                let taken = replicas[to].import(&offer, WIRE, Take::Merge);
                assert!(taken == ALL || taken == Ok(Imported::Gap), "seed {seed}");
            }
        }
        // A replica shows what it has after a gap, and its edits may build on that: they pass when the gap is closed.
        for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 2)] {
            let offer = offer_since(&replicas[from], &replicas[to].version(WIRE));
            replicas[to].import(&offer, WIRE, Take::Merge).unwrap();
        }
        let [a, b, c] = replicas;
        assert_eq!(a.value(), b.value(), "seed {seed}");
        assert_eq!(b.value(), c.value(), "seed {seed}");
        assert_eq!(a.version(WIRE), c.version(WIRE), "seed {seed}");
        // A replica that comes late, from a whole document.
        let mut late = open(4);
        let whole = c.export(None, WIRE).unwrap();
        assert_eq!(whole.kind, PayloadKind::Entirety);
        let whole = whole.offer(DocId::new("d").unwrap()).unwrap();
        assert_eq!(late.import(&whole, WIRE, Take::Merge), ALL);
        assert_eq!(late.value(), c.value(), "seed {seed}");
    }
}

#[test]
fn what_several_write_at_once_is_kept() {
    let (mut a, mut b) = (open(1), open(2));
    a.edit(&[
        Edit::insert("notes", 0, "hello"),
        Edit::push("meta.log", "a"),
    ])
    .unwrap();
    pass(&a, &mut b);
    a.edit(&[Edit::update("notes", "hello, a")]).unwrap();
    b.edit(&[
        Edit::update("notes", "b: hello"),
        Edit::push("meta.log", "b"),
    ])
    .unwrap();
    pass(&a, &mut b);
    pass(&b, &mut a);
    let value = a.value();
    assert_eq!(value, b.value());
    assert_eq!(value["notes"], Json::from("b: hello, a"));
    assert_eq!(
        value["meta"].as_object().unwrap()["log"].to_string(),
        r#"["a","b"]"#
    );
}

#[test]
fn a_push_after_a_lost_one_is_a_gap_that_the_whole_closes() {
    support::a_push_after_a_lost_one_is_a_gap_that_the_whole_closes::<Yjs>();
}

#[test]
fn a_replica_without_a_schema_holds_and_forwards() {
    support::a_replica_without_a_schema_holds_and_forwards::<Yjs>();
}

#[test]
fn edits_that_fail_take_back_those_before_them() {
    support::edits_that_fail_take_back_those_before_them::<Yjs>(&[]);
}

#[test]
fn a_document_over_its_bound_is_refused_and_stays_as_it_was() {
    support::a_document_over_its_bound_is_refused_and_stays_as_it_was::<Yjs>();
}

#[test]
fn offers_that_are_no_yjs_data_are_errors() {
    support::offers_that_are_no_data_are_errors::<Yjs>("yjs", [b"yjs", &[255; 22]]);
}

#[test]
fn a_schema_that_yjs_cannot_hold_is_an_error() {
    let decays = Schema::decay(Schema::string(), 1_000);
    let schema = Schema::structure([("x", decays)]).unwrap();
    let error = YjsReplica::open(schema, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a yjs document cannot have a decay, as x is"
    );
}

/// An update of client 7 with so many maps, each in the one before, under the key `k`.
fn nested(maps: u64) -> Vec<u8> {
    let number = |out: &mut Vec<u8>, mut number: u64| {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    };
    let mut update = vec![1];
    number(&mut update, maps);
    update.extend([7, 0]);
    for map in 0..maps {
        match map.checked_sub(1) {
            None => update.extend(b"\x27\x01\x04root"),
            Some(parent) => {
                update.extend([0x27, 0, 7]);
                number(&mut update, parent);
            }
        }
        update.extend(b"\x01k\x01");
    }
    update.push(0);
    update
}

#[test]
fn containers_nested_deeper_than_a_stack_are_deleted() {
    let mut replica = YjsReplica::headless();
    let offer = |bytes: Vec<u8>| {
        let (doc, version) = (DocId::new("d").unwrap(), Version::new("AA==").unwrap());
        let mut offer = Offer::binary(doc, version, Bytes::from(bytes));
        offer.kind = PayloadKind::Since;
        offer
    };
    let all = Ok(Imported::All { refused: 0 });
    let made = replica.import(&offer(nested(30_000)), WIRE, Take::Merge);
    assert_eq!(made, all);
    let before = replica.measure();
    // The first of them, with all that is in it.
    let deletion = vec![0, 1, 7, 1, 0, 1];
    assert_eq!(replica.import(&offer(deletion), WIRE, Take::Merge), all);
    assert_eq!(replica.quarantine(), None);
    assert!(replica.measure() < before / 1_000);
}
