//! Replicas that take each other's offers, and what every library of documents has to do. For the tests of several
//! crates, by `#[path]`.
//!
//! In: a kind of replicas. Out: nothing, or a panic with the document.

use kyneta_uds_core::{ByteString, Bytes, DocId, Offer, Version, WireVersion};
use kyneta_uds_exchange::{
    DocReplica, Edit, EditError, ImportError, Imported, Json, Moment, Replica as _, Take,
};
use kyneta_uds_schema::DocVersion;

pub(crate) const WIRE: WireVersion = WireVersion::V3;
pub(crate) const ALL: Result<Imported, ImportError> = Ok(Imported::All { refused: 0 });

pub(crate) fn offer_since(replica: &impl DocReplica, since: &DocVersion) -> Offer {
    let payload = replica.export(Some(since), WIRE).unwrap();
    payload.offer(DocId::new("d").unwrap()).unwrap()
}

pub(crate) fn pass<R: DocReplica>(from: &R, to: &mut R) {
    let offer = offer_since(from, &to.version(WIRE));
    assert_eq!(to.import(&offer, WIRE, Take::Merge), ALL);
}

pub(crate) fn list_len(replica: &impl DocReplica, name: &str) -> usize {
    match replica.value().get(name) {
        Some(Json::Array(items)) => items.len(),
        _ => 0,
    }
}

/// Of the field `notes`, in UTF-16 units.
pub(crate) fn text_len(replica: &impl DocReplica) -> usize {
    match replica.value().get("notes") {
        Some(Json::String(text)) => text.encode_utf16().count(),
        _ => 0,
    }
}

const MOMENT: Moment = Moment {
    now_ms: 0,
    random: 0,
};

/// Replicas of a library, of the schema of its tests: the text `notes`, the string `title`, the list `order`, the records
/// `tags` and `raw`, and the list `meta.log`.
pub(crate) trait Kind {
    type Replica: DocReplica;

    fn open(number: u8) -> Self::Replica;
    fn headless() -> Self::Replica;
    /// One that may hold so many bytes.
    fn bounded(number: u8, max_bytes: usize) -> Self::Replica;
    fn quarantine(replica: &Self::Replica) -> Option<&str>;
}

pub(crate) fn a_push_after_a_lost_one_is_a_gap_that_the_whole_closes<K: Kind>() {
    let (mut writer, mut reader) = (K::open(1), K::open(2));
    writer
        .edit(&[Edit::insert("notes", 0, "a")], MOMENT)
        .unwrap();
    let lost = writer.version(WIRE);
    writer
        .edit(&[Edit::insert("notes", 1, "b")], MOMENT)
        .unwrap();
    let push = offer_since(&writer, &lost);
    assert_eq!(reader.import(&push, WIRE, Take::Merge), Ok(Imported::Gap));
    assert_eq!(reader.version(WIRE), K::open(3).version(WIRE));
    pass(&writer, &mut reader);
    assert_eq!(reader.value(), writer.value());
}

pub(crate) fn a_replica_without_a_schema_holds_and_forwards<K: Kind>() {
    let (mut writer, mut headless, mut reader) = (K::open(1), K::headless(), K::open(2));
    writer
        .edit(&[Edit::insert("notes", 0, "a")], MOMENT)
        .unwrap();
    pass(&writer, &mut headless);
    pass(&headless, &mut reader);
    assert_eq!(reader.value(), writer.value());
    let edit = headless.edit(&[Edit::set("title", "x")], MOMENT);
    assert_eq!(edit, Err(EditError::NoSchema));
    // A reset begins anew.
    let other = K::open(3);
    let whole = other.export(None, WIRE).unwrap();
    let whole = whole.offer(DocId::new("d").unwrap()).unwrap();
    assert_eq!(headless.import(&whole, WIRE, Take::Replace), ALL);
    assert_eq!(headless.version(WIRE), K::open(4).version(WIRE));
}

/// `others`: edits that this library alone refuses.
pub(crate) fn edits_that_fail_take_back_those_before_them<K: Kind>(others: &[(Edit, &str)]) {
    let mut replica = K::open(1);
    let first = [Edit::push("order", 1.0), Edit::insert("notes", 0, "e😀")];
    replica.edit(&first, MOMENT).unwrap();
    let before = (replica.value(), replica.version(WIRE));
    let all = [
        (
            Edit::set("title", 5.0),
            "a number is no value for \"title\"",
        ),
        (Edit::set("x", 5.0), "there is nothing at \"x\""),
        (Edit::set("order.7", 5.0), "there is nothing at \"order.7\""),
        (
            Edit::insert("order", 9, 5.0),
            "9 is behind the end of \"order\", which is 1 long",
        ),
        (
            Edit::delete("notes", 2, 2),
            "4 is behind the end of \"notes\", which is 3 long",
        ),
        (
            Edit::put("tags", "__proto__", true),
            "there is nothing at \"tags.__proto__\"",
        ),
        (
            Edit::put("raw", "__proto__", true),
            "there is nothing at \"raw.__proto__\"",
        ),
    ];
    for (edit, expected) in all.iter().chain(others) {
        let error = replica
            .edit(std::slice::from_ref(edit), MOMENT)
            .unwrap_err();
        assert_eq!(error.to_string(), *expected);
        assert_eq!((replica.value(), replica.version(WIRE)), before, "{edit:?}");
    }
    // In a batch the value in the middle of a character is only noticed by the library.
    for edits in [
        vec![Edit::push("order", 2.0), Edit::set("title", 5.0)],
        vec![Edit::push("order", 2.0), Edit::insert("notes", 2, "x")],
    ] {
        assert!(replica.edit(&edits, MOMENT).is_err(), "{edits:?}");
        assert_eq!(replica.value(), before.0);
    }
    assert_eq!(replica.edit(&[], MOMENT), Ok(false));
}

pub(crate) fn a_document_over_its_bound_is_refused_and_stays_as_it_was<K: Kind>() {
    let mut replica = K::bounded(1, 2_000);
    let long: String = (0..3_000)
        .map(|at| char::from(b'a' + (at % 23) as u8))
        .collect();
    let refused = replica.edit(&[Edit::set("title", long.as_str())], MOMENT);
    assert!(matches!(
        refused,
        Err(EditError::TooLarge { limit: 2_000, .. })
    ));
    let mut writer = K::open(2);
    writer.edit(&[Edit::set("title", long)], MOMENT).unwrap();
    let offer = offer_since(&writer, &replica.version(WIRE));
    let taken = replica.import(&offer, WIRE, Take::Merge);
    assert!(matches!(
        taken,
        Err(ImportError::TooLarge { limit: 2_000, .. })
    ));
    assert_eq!(replica.value(), K::open(3).value());
    // Small edits go on, until the history is too long.
    let fits = (0..2_000).take_while(|number| {
        let edit = Edit::push("meta.log", format!("{number} {}", number * 7_919));
        replica.edit(&[edit], MOMENT).is_ok()
    });
    assert!((20..200).contains(&fits.count()));
}

/// `garbage`: two kinds of bytes that the library called `name` does not take.
pub(crate) fn offers_that_are_no_data_are_errors<K: Kind>(name: &str, garbage: [&[u8]; 2]) {
    let mut replica = K::open(1);
    replica.edit(&[Edit::set("title", "x")], MOMENT).unwrap();
    let before = (replica.value(), replica.version(WIRE));
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("AQEC").unwrap());
    let json = Offer::json(doc.clone(), version.clone(), ByteString::from("{}"));
    let error = replica.import(&json, WIRE, Take::Merge).unwrap_err();
    let expected = format!("a {name} document takes bytes, not JSON text");
    assert_eq!(error.to_string(), expected);
    let whole = replica.export(None, WIRE).unwrap();
    let whole = whole.data.as_slice();
    let cut = &whole[..whole.len() - 1];
    let expected = format!("the {name} library does not take the data: ");
    for bytes in [&b""[..], garbage[0], garbage[1], cut] {
        let offer = Offer::binary(doc.clone(), version.clone(), Bytes::copy_from_slice(bytes));
        let error = replica.import(&offer, WIRE, Take::Merge).unwrap_err();
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert_eq!((replica.value(), replica.version(WIRE)), before);
        assert_eq!(K::quarantine(&replica), None);
    }
}
