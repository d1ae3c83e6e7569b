//! Loro documents of exchanges over real sockets.
//!
//! A failure shows the documents of both sides.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../tests/documents/support.rs"]
#[allow(dead_code)] // The tests of other kinds use more of it.
mod support;

use kyneta_uds::documents::{
    DocVersion, Document, Edit, Exchange, Json, MemoryStore, Schema, Substrate,
};
use kyneta_uds_loro::LoroKind;
use kyneta_uds_schema::VersionOrder;
use support::{Path, id, number, service, text};

#[tokio::test]
async fn loro_documents_keep_what_was_edited_at_the_same_time() {
    let path = Path::new();
    let schema = Schema::structure([
        ("notes", Schema::text()),
        ("hits", Schema::counter()),
        ("items", Schema::list(Schema::string())),
    ])
    .unwrap();
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        let builder = Exchange::builder(service(name)).kind(LoroKind);
        let member = builder.join(path.socket()).await.unwrap();
        let doc = member.open(id("notes"), Substrate::Loro, &schema).unwrap();
        members.push((member, doc));
    }
    let edit = |members: &[(Exchange, Document)]| {
        for (turn, (_, doc)) in members.iter().enumerate() {
            let note = format!("{turn};");
            doc.edit(&[
                Edit::insert("notes", 0, note.as_str()),
                Edit::increment("hits", 1.0),
            ])
            .unwrap();
        }
    };
    let equal = async |members: &[(Exchange, Document)], edits: f64, notes: usize| {
        support::soon(|| {
            let values: Vec<_> = members.iter().map(|(_, doc)| doc.value()).collect();
            let is_equal = values.windows(2).all(|pair| pair[0] == pair[1]);
            (is_equal && values[0].get("hits") == Some(&Json::Number(edits))).then_some(())
        })
        .await;
        assert_eq!(text(&members[0].1, "notes").len(), notes);
    };
    edit(&members);
    equal(&members, 3.0, 6).await;
    // The listener ends, and the others edit while there is none.
    let (listener, _) = members.remove(0);
    drop(listener);
    edit(&members);
    equal(&members, 5.0, 10).await;
    let late = Exchange::builder(service("late"))
        .kind(LoroKind)
        .replicate();
    let late = late.join(path.socket()).await.unwrap();
    let kept = support::soon(|| late.get(&id("notes"))).await;
    // It has all of it, without a schema, and gives it to the one that comes after the authors.
    support::soon(|| {
        (kept.version().compare(&members[0].1.version()) == VersionOrder::Equal).then_some(())
    })
    .await;
    for (member, _) in members {
        member.dispose().await;
    }
    let last = Exchange::builder(service("last")).kind(LoroKind);
    let last = last.join(path.socket()).await.unwrap();
    let doc = last.open(id("notes"), Substrate::Loro, &schema).unwrap();
    doc.synced().await.unwrap();
    assert_eq!((number(&doc, "hits"), text(&doc, "notes").len()), (5.0, 10));
}

/// How many Loro peer ids have written it.
fn authors(doc: &Document) -> usize {
    match doc.version() {
        DocVersion::Loro(version) => version.counters().count(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_process_goes_on_with_the_loro_peer_id_of_one_that_has_ended_in_order_and_of_no_other() {
    let path = Path::new();
    let schema = Schema::structure([("notes", Schema::text())]).unwrap();
    let mut store = MemoryStore::new();
    let mut expected = String::new();
    for (turn, (in_order, authors_then)) in [
        (true, 1),
        (true, 1),
        (false, 1),
        (true, 2),
        (false, 2),
        (true, 3),
    ]
    .into_iter()
    .enumerate()
    {
        let builder = Exchange::builder(service("a"))
            .kind(LoroKind)
            .store(store.clone());
        let exchange = builder.join(path.socket()).await.unwrap();
        let doc = exchange
            .open(id("notes"), Substrate::Loro, &schema)
            .unwrap();
        assert_eq!(text(&doc, "notes"), expected);
        let note = format!("{turn};");
        doc.edit(&[Edit::insert("notes", expected.len(), note.as_str())])
            .unwrap();
        expected.push_str(&note);
        doc.stored().await.unwrap();
        assert_eq!(authors(&doc), authors_then, "in turn {turn}");
        let crashed = store.snapshot();
        exchange.dispose().await;
        if !in_order {
            store = crashed;
        }
    }
}
