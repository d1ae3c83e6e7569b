//! Replicas that edit and take each other's offers, and offers that no replica takes.
//!
//! A failure says the seed of the edits, or shows the document.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../tests/support/documents/replicas.rs"]
mod support;

use fastrand::Rng;
use kyneta_uds_core::{Bytes, DocId, Offer, PayloadKind, Version};
use kyneta_uds_exchange::{Edit, EditError, ImportError, Imported, Json, Replica, Take};
use kyneta_uds_loro::{LoroLimits, LoroReplica};
use kyneta_uds_schema::Schema;
use support::{ALL, Kind, WIRE, list_len, offer_since, pass, text_len};

fn schema() -> Schema {
    let card = Schema::structure([
        ("name", Schema::string()),
        ("body", Schema::text()),
        ("votes", Schema::counter()),
    ])
    .unwrap();
    let meta = Schema::structure([
        ("owner", Schema::string()),
        ("log", Schema::list(Schema::string())),
        ("seen", Schema::record(Schema::number())),
    ])
    .unwrap();
    Schema::structure([
        ("title", Schema::string()),
        ("notes", Schema::text()),
        ("hits", Schema::counter()),
        ("order", Schema::movable(Schema::number())),
        ("cards", Schema::list(card)),
        ("tags", Schema::record(Schema::boolean())),
        ("meta", meta),
        ("raw", Schema::record(Schema::any()).json().unwrap()),
    ])
    .unwrap()
}

/// For what the tests of both libraries share.
struct Loro;

impl Kind for Loro {
    type Replica = LoroReplica;

    fn open(number: u8) -> LoroReplica {
        open(number.into())
    }

    fn headless() -> LoroReplica {
        LoroReplica::headless()
    }

    fn bounded(number: u8, max_bytes: usize) -> LoroReplica {
        let mut limits = LoroLimits::default();
        limits.max_bytes = max_bytes;
        open(number.into()).limits(limits)
    }

    fn quarantine(replica: &LoroReplica) -> Option<&str> {
        replica.quarantine()
    }
}

fn open(peer: u64) -> LoroReplica {
    LoroReplica::open(schema(), peer).unwrap()
}

fn random_edit(rng: &mut Rng, replica: &LoroReplica) -> Edit {
    let word = ["a", "bé", "漢", "x y"][rng.usize(..4)];
    let key = ["k", "l", "m"][rng.usize(..3)];
    let (cards, notes) = (list_len(replica, "cards"), text_len(replica));
    match rng.usize(..16) {
        0 => Edit::set("title", word),
        1 => Edit::insert("notes", rng.usize(..=notes), word),
        2 if notes > 0 => Edit::delete("notes", rng.usize(..notes), 1),
        3 => Edit::update("notes", word.repeat(rng.usize(..4))),
        4 => Edit::increment("hits", f64::from(rng.i32(-3..4))),
        5 => Edit::push("order", f64::from(rng.u8(..))),
        6 if list_len(replica, "order") > 0 => Edit::set("order.0", f64::from(rng.u8(..))),
        7 => {
            let card = Json::parse(r#"{"name": "n", "body": "b", "votes": 1}"#).unwrap();
            Edit::insert("cards", rng.usize(..=cards), card)
        }
        8 if cards > 0 => Edit::insert("cards.0.body", 0, word),
        9 if cards > 0 => Edit::increment("cards.0.votes", 2.0),
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
        // The containers of a struct that two replicas create at once are one or the other.
        replicas[0]
            .edit(&[Edit::push("meta.log", "first")])
            .unwrap();
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
        for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
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
        Edit::increment("hits", 2.0),
        Edit::push("meta.log", "a"),
    ])
    .unwrap();
    pass(&a, &mut b);
    a.edit(&[Edit::update("notes", "hello, a")]).unwrap();
    b.edit(&[
        Edit::update("notes", "b: hello"),
        Edit::increment("hits", 3.0),
        Edit::push("meta.log", "b"),
    ])
    .unwrap();
    pass(&a, &mut b);
    pass(&b, &mut a);
    let value = a.value();
    assert_eq!(value, b.value());
    assert_eq!(value["notes"], Json::from("b: hello, a"));
    assert_eq!(value["hits"], Json::from(5.0));
    assert_eq!(
        value["meta"].as_object().unwrap()["log"].to_string(),
        r#"["a","b"]"#
    );
}

#[test]
fn a_value_that_is_set_again_wins_over_older_ones() {
    let (mut a, mut b) = (open(1), open(2));
    a.edit(&[Edit::set("title", "mine")]).unwrap();
    pass(&a, &mut b);
    b.edit(&[Edit::set("title", "theirs")]).unwrap();
    for _ in 0..3 {
        a.edit(&[Edit::set("title", "mine")]).unwrap();
    }
    pass(&a, &mut b);
    pass(&b, &mut a);
    assert_eq!(
        (&a.value()["title"], &b.value()["title"]),
        (&"mine".into(), &"mine".into())
    );
}

#[test]
fn a_push_after_a_lost_one_is_a_gap_that_the_whole_closes() {
    support::a_push_after_a_lost_one_is_a_gap_that_the_whole_closes::<Loro>();
}

#[test]
fn a_replica_without_a_schema_holds_and_forwards() {
    support::a_replica_without_a_schema_holds_and_forwards::<Loro>();
}

#[test]
fn edits_that_fail_take_back_those_before_them() {
    let no_set = "what is at \"hits\" is a counter, which has no \"set\"";
    support::edits_that_fail_take_back_those_before_them::<Loro>(&[(
        Edit::set("hits", 5.0),
        no_set,
    )]);
}

#[test]
fn a_document_over_its_bound_is_refused_and_stays_as_it_was() {
    support::a_document_over_its_bound_is_refused_and_stays_as_it_was::<Loro>();
}

#[test]
fn offers_that_are_no_loro_data_are_errors() {
    support::offers_that_are_no_data_are_errors::<Loro>("loro", [b"loro", &[0; 22]]);
}

/// The library takes it, and fails at the next use of the document. Found by the fuzz target.
const HOSTILE: &str = concat!(
    "6c6f726f000000930000000000000000cf52f57100047b000600060110010739a065bb2a0b00010100000000000501000001",
    "0010030401410000040002000004000200062120613638643565353361313862353832323833366462633739373633666637",
    "3730001a010405070002010405040003020105070b050b05050701020102000e0701090202616c0000090202626f",
);

#[test]
fn a_document_on_which_the_library_fails_is_in_quarantine_and_others_go_on() {
    let mut replica = LoroReplica::headless();
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("AQEC").unwrap());
    let bytes = Bytes::from(hex::decode(HOSTILE).unwrap());
    let offer = Offer::binary(doc, version, bytes);
    // Whichever use it is.
    let _ = replica.import(&offer, WIRE, Take::Merge);
    assert_eq!(replica.export(None, WIRE), None);
    let why = replica.quarantine().unwrap().to_owned();
    assert!(why.starts_with("the Loro library failed on "), "{why}");
    let again = replica.import(&offer, WIRE, Take::Merge);
    assert_eq!(again, Err(ImportError::Quarantined { why: why.clone() }));
    let edited = replica.edit(&[Edit::set("title", "x")]);
    assert_eq!(edited, Err(EditError::Quarantined { why }));
    assert_eq!(replica.value(), LoroReplica::headless().value());
    // Dropped, it does no harm either.
    drop(replica);
    assert_eq!(open(1).edit(&[Edit::set("title", "x")]), Ok(true));
}

#[test]
fn a_schema_that_loro_cannot_hold_is_an_error() {
    let decays = Schema::decay(Schema::string(), 1_000);
    let schema = Schema::structure([("x", decays)]).unwrap();
    let error = LoroReplica::open(schema, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a loro document cannot have a decay, as x is"
    );
}
