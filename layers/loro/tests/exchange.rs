//! Loro documents of exchanges over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../tests/documents/support.rs"]
#[allow(dead_code)] // The tests of other kinds use more of it.
mod support;

use kyneta_uds::documents::{Document, Edit, Exchange, Json, Schema, Substrate};
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
