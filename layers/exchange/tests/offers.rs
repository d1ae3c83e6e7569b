//! Offers that the reference takes out of place, twice or without a bound; and ephemeral documents.
//!
//! A failure shows the value of the document, or the path of what was taken and should not have been.
#![allow(clippy::unwrap_used)]

use kyneta_uds_core::{
    ByteString, Bytes, DocId, Lineage, Offer, PayloadKind, Version, WireVersion,
};
use kyneta_uds_exchange::{
    Edit, EditError, EphemeralReplica, ImportError, Imported, Json, PlainLimits, PlainReplica,
    Replica, Take,
};
use kyneta_uds_schema::Schema;

const WIRE: WireVersion = WireVersion::V3;
const ALL: Result<Imported, ImportError> = Ok(Imported::All { refused: 0 });

fn schema() -> Schema {
    Schema::structure([
        ("s", Schema::string()),
        ("l", Schema::list(Schema::number())),
        ("r", Schema::record(Schema::any())),
    ])
    .unwrap()
}

fn fresh() -> Lineage {
    Lineage::new("aa").unwrap()
}

fn never() -> Lineage {
    unreachable!()
}

/// A document after pushes of 0, 1, 2...
fn pushed(count: u8) -> PlainReplica {
    let mut replica = PlainReplica::open(schema()).unwrap();
    for number in 0..count {
        let push = Edit::push("l", f64::from(number));
        replica.edit(&[push], fresh).unwrap();
    }
    replica
}

fn offer(kind: PayloadKind, data: &str, version: &str) -> Offer {
    let (doc, version) = (DocId::new("d").unwrap(), Version::new(version).unwrap());
    let mut offer = Offer::json(doc, version, ByteString::from(data.to_owned()));
    offer.kind = kind;
    offer
}

fn made_since(replica: &PlainReplica, since: &PlainReplica) -> Offer {
    let payload = replica.export(Some(&since.version(WIRE)), WIRE).unwrap();
    payload.offer(DocId::new("d").unwrap()).unwrap()
}

fn list(replica: &PlainReplica) -> String {
    replica.value().get("l").unwrap().to_string()
}

#[test]
fn a_batch_that_starts_from_what_is_missing_is_a_gap() {
    let mut reader = pushed(2);
    let lost = made_since(&pushed(4), &pushed(3));
    assert_eq!(reader.import(&lost, WIRE, Take::Merge), Ok(Imported::Gap));
    assert_eq!(
        (list(&reader).as_str(), reader.version(WIRE).to_string()),
        ("[0,1]", "aa:2".to_owned())
    );
    let mut new = PlainReplica::open(schema()).unwrap();
    assert_eq!(new.import(&lost, WIRE, Take::Merge), Ok(Imported::Gap));
    // What is asked for then is taken.
    let all = made_since(&pushed(4), &reader);
    assert_eq!(reader.import(&all, WIRE, Take::Merge), ALL);
    assert_eq!(list(&reader), "[0,1,2,3]");
}

#[test]
fn batches_that_are_here_already_are_not_made_again() {
    let mut reader = pushed(3);
    for (from, to) in [(1, 3), (0, 2), (1, 5), (0, 5)] {
        let since = made_since(&pushed(to), &pushed(from));
        assert_eq!(reader.import(&since, WIRE, Take::Merge), ALL);
    }
    assert_eq!(list(&reader), "[0,1,2,3,4]");
    assert_eq!(reader.version(WIRE), pushed(5).version(WIRE));
}

#[test]
fn batches_of_another_lineage_are_a_gap_and_its_whole_takes_the_place() {
    let mut theirs = PlainReplica::open(schema()).unwrap();
    let other = || Lineage::new("bb").unwrap();
    theirs.edit(&[Edit::set("s", "x")], other).unwrap();
    let mut ours = pushed(2);
    let batches = made_since(&theirs, &PlainReplica::open(schema()).unwrap());
    assert_eq!(ours.import(&batches, WIRE, Take::Merge), Ok(Imported::Gap));
    // Asked for by ours, theirs sends all of it.
    let whole = made_since(&theirs, &ours);
    assert_eq!(whole.kind, PayloadKind::Entirety);
    assert_eq!(ours.import(&whole, WIRE, Take::Replace), ALL);
    assert_eq!(
        (ours.value(), ours.version(WIRE)),
        (theirs.value(), theirs.version(WIRE))
    );
}

#[test]
fn without_its_history_a_document_is_sent_whole() {
    let mut writer = pushed(3);
    writer.compact();
    assert_eq!(writer.log_bytes(), 0);
    let whole = made_since(&writer, &pushed(2));
    assert_eq!(whole.kind, PayloadKind::Entirety);
    let mut reader = pushed(2);
    assert_eq!(reader.import(&whole, WIRE, Take::Merge), ALL);
    assert_eq!(reader.version(WIRE), writer.version(WIRE));
    // Both count on alike.
    writer.edit(&[Edit::push("l", 7.0)], never).unwrap();
    let next = made_since(&writer, &reader);
    assert_eq!(next.kind, PayloadKind::Since);
    assert_eq!(reader.import(&next, WIRE, Take::Merge), ALL);
    assert_eq!(reader.value(), writer.value());
    assert_eq!(writer.export(Some(&reader.version(WIRE)), WIRE), None);
}

#[test]
fn the_history_that_is_kept_is_bounded() {
    let mut limits = PlainLimits::default();
    limits.max_log_bytes = 1_000;
    let mut writer = PlainReplica::open(schema()).unwrap().limits(limits);
    for _ in 0..100 {
        writer
            .edit(&[Edit::set("s", "x".repeat(50))], fresh)
            .unwrap();
        assert!(writer.log_bytes() <= 1_000);
    }
    let kind = |since: &str| {
        let since = kyneta_uds_schema::DocVersion::parse(writer.substrate(), WIRE, since).unwrap();
        writer.export(Some(&since), WIRE).unwrap().kind
    };
    assert_eq!(
        (kind("aa:99"), kind("aa:10")),
        (PayloadKind::Since, PayloadKind::Entirety)
    );
}

#[test]
fn a_document_over_its_bound_is_refused_and_stays_as_it_was() {
    let mut limits = PlainLimits::default();
    limits.max_bytes = 300;
    let mut replica = PlainReplica::open(schema()).unwrap().limits(limits);
    let long = Edit::set("s", "x".repeat(300));
    let too_large = replica.edit(std::slice::from_ref(&long), fresh);
    assert_eq!(
        too_large,
        Err(EditError::TooLarge {
            bytes: 322,
            limit: 300
        })
    );
    let mut writer = PlainReplica::open(schema()).unwrap();
    let new = PlainReplica::open(schema()).unwrap();
    writer.edit(&[long], fresh).unwrap();
    for offer in [
        made_since(&writer, &new),
        writer
            .export(None, WIRE)
            .unwrap()
            .offer(DocId::new("d").unwrap())
            .unwrap(),
    ] {
        let taken = replica.import(&offer, WIRE, Take::Merge);
        assert_eq!(
            taken,
            Err(ImportError::TooLarge {
                bytes: 322,
                limit: 300
            })
        );
        assert_eq!(
            (replica.value(), replica.version(WIRE)),
            (new.value(), new.version(WIRE))
        );
    }
    // It goes on within its bound, also close to it.
    for at in 0..300 {
        let edited = replica.edit(&[Edit::set("s", "y".repeat(at % 250))], fresh);
        assert_eq!(edited, Ok(true));
    }
}

#[test]
fn a_path_through_the_prototype_is_refused_and_not_passed_on() {
    let paths = [
        r#"{"type":"field","field":"__proto__"},{"type":"field","field":"x"}"#,
        r#"{"type":"field","field":"r"},{"type":"entry","entry":"__proto__"}"#,
        r#"{"type":"field","field":"__proto__"}"#,
    ];
    for path in paths {
        let mut replica = PlainReplica::headless();
        let batches = format!(r#"[[{{"path":[{path}],"change":{{"type":"replace","value":1}}}}]]"#);
        let offer = offer(PayloadKind::Since, &batches, "aa:1");
        let refused = Ok(Imported::All { refused: 1 });
        assert_eq!(replica.import(&offer, WIRE, Take::Merge), refused, "{path}");
        let passed_on = replica.export(None, WIRE).unwrap();
        let text = String::from_utf8(passed_on.data.as_slice().to_vec()).unwrap();
        assert!(!text.contains("__proto__"), "{text}");
    }
}

#[test]
fn an_item_far_behind_the_end_is_refused_and_not_passed_on() {
    let mut replica = PlainReplica::headless();
    let set = |index: u64| {
        format!(
            r#"[[{{"path":[{{"type":"field","field":"l"}},{{"type":"index","index":{index}}}],"change":{{"type":"replace","value":1}}}}]]"#
        )
    };
    for (at, index) in [1_023, 1_024 + 1_024, 4_000_000_000_000]
        .into_iter()
        .enumerate()
    {
        let offer = offer(PayloadKind::Since, &set(index), &format!("aa:{}", at + 1));
        let refused = usize::from(at > 0);
        assert_eq!(
            replica.import(&offer, WIRE, Take::Merge),
            Ok(Imported::All { refused })
        );
    }
    assert!(matches!(replica.value().get("l"), Some(Json::Array(items)) if items.len() == 1_024));
    let second = kyneta_uds_schema::DocVersion::parse(replica.substrate(), WIRE, "aa:2").unwrap();
    let passed_on = replica.export(Some(&second), WIRE).unwrap();
    assert_eq!(
        passed_on.data.as_slice(),
        br#"[[{"path":[],"change":{"type":"replace"}}]]"#
    );
}

#[test]
fn bytes_and_other_forms_are_errors_that_name_the_place() {
    let mut replica = PlainReplica::headless();
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("aa:1").unwrap());
    let bytes = Offer::binary(doc, version, Bytes::from_static(b"{}"));
    for (offer, expected) in [
        (bytes, "a json document takes JSON text, not bytes"),
        (
            offer(PayloadKind::Since, "[[5]]", "aa:1"),
            "in batch 0, change 0: expected an object, not a number",
        ),
        (
            offer(PayloadKind::Since, "[]", "aa"),
            "\"aa\" is no version of a document of kind json: it is not of the form lineage:number",
        ),
        (
            offer(
                PayloadKind::Since,
                r#"[[{"path":[],"change":{"type":"text","instructions":[]}}]]"#,
                "aa:1",
            ),
            "in batch 0, change 0: the document itself is an object",
        ),
    ] {
        let error = replica.import(&offer, WIRE, Take::Merge).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn edits_that_fail_take_back_those_before_them() {
    let mut replica = pushed(1);
    let before = (replica.value().clone(), replica.version(WIRE));
    for (edit, expected) in [
        (Edit::set("s", 5.0), "a number is no value for \"s\""),
        (Edit::set("x", 5.0), "there is nothing at \"x\""),
        (
            Edit::set("l", vec![]),
            "what is at \"l\" is a list, which has no \"set\"",
        ),
        (
            Edit::insert("l", 9, 5.0),
            "9 is behind the end of \"l\", which is 2 long",
        ),
        (
            Edit::put("r", "__proto__", 5.0),
            "there is nothing at \"r.__proto__\"",
        ),
    ] {
        let edits = [Edit::push("l", 5.0), edit];
        let error = replica.edit(&edits, never).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!((replica.value().clone(), replica.version(WIRE)), before);
    }
    let mut headless = PlainReplica::headless();
    assert_eq!(headless.edit(&[], never), Err(EditError::NoSchema));
}

#[test]
fn an_ephemeral_document_keeps_the_version_of_what_it_took() {
    let mut writer = EphemeralReplica::open(schema()).unwrap();
    let (mut near, mut far) = (writer_like(), EphemeralReplica::headless());
    writer.edit(&[Edit::set("s", "x")], 1_000).unwrap();
    // The clock stands, or goes back.
    writer.edit(&[Edit::set("s", "y")], 1_000).unwrap();
    assert_eq!(writer.version(WIRE).to_string(), "1001");
    let sent = whole(&writer);
    assert_eq!(near.import(&sent, WIRE, Take::Merge), ALL);
    assert_eq!(far.import(&whole(&near), WIRE, Take::Merge), ALL);
    assert_eq!(
        (far.value(), far.version(WIRE)),
        (writer.value(), writer.version(WIRE))
    );
    // What comes back is not newer, so that a circle of peers goes quiet.
    near.edit(&[Edit::set("s", "z")], 2_000).unwrap();
    assert_eq!(near.import(&whole(&far), WIRE, Take::Merge), ALL);
    assert_eq!(near.value().get("s"), Some(&Json::from("z")));
    let part = offer(PayloadKind::Since, "[]", "5");
    assert_eq!(
        far.import(&part, WIRE, Take::Merge),
        Err(ImportError::NotEntirety)
    );
}

#[test]
fn an_ephemeral_document_over_its_bound_is_refused() {
    let mut replica = writer_like().max_bytes(60);
    let long = Edit::set("s", "x".repeat(60));
    let too_large = replica.edit(std::slice::from_ref(&long), 1);
    assert_eq!(
        too_large,
        Err(EditError::TooLarge {
            bytes: 82,
            limit: 60
        })
    );
    let mut writer = writer_like();
    writer.edit(&[long], 1).unwrap();
    let taken = replica.import(&whole(&writer), WIRE, Take::Merge);
    assert_eq!(
        taken,
        Err(ImportError::TooLarge {
            bytes: 82,
            limit: 60
        })
    );
    assert_eq!(replica.value(), writer_like().value());
}

fn writer_like() -> EphemeralReplica {
    EphemeralReplica::open(schema()).unwrap()
}

fn whole(replica: &EphemeralReplica) -> Offer {
    let payload = replica.export(None, WIRE).unwrap();
    payload.offer(DocId::new("d").unwrap()).unwrap()
}
