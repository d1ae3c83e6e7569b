//! A Rust exchange and JavaScript ones, of both releases, either of them listening: their documents are equal.
//!
//! Without `node` it is skipped, and says so. A failure shows the document of each side.

use std::time::Duration;

use futures_util::FutureExt as _;
use kyneta_uds::{
    DocId, Identity, WireVersion,
    documents::{Diagnostic, Document, Edit, Exchange, ExchangeEvent, Schema, Substrate},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    member::{Entry, Member},
    peer::{runtimes, soon},
    support::Bus,
};

/// The types of these documents in `exchange/types.mjs`.
fn schemas() -> [(&'static str, Substrate, Schema); 2] {
    let config = Schema::structure([
        ("mode", Schema::string()),
        ("limit", Schema::number()),
        ("hosts", Schema::list(Schema::string())),
        ("flags", Schema::record(Schema::boolean())),
    ]);
    let presence = Schema::structure([
        ("name", Schema::string()),
        ("x", Schema::number()),
        ("seen", Schema::record(Schema::number())),
    ]);
    [
        ("config", Substrate::Plain, config.unwrap()),
        ("presence", Substrate::Ephemeral, presence.unwrap()),
    ]
}

async fn exchange(path: &std::path::Path) -> (Exchange, Vec<Document>) {
    let builder = Exchange::builder(Identity::service("rust").unwrap());
    let exchange = builder.join(path).await.unwrap();
    let open = |(name, substrate, schema): (&str, _, _)| {
        exchange
            .open(DocId::new(name).unwrap(), substrate, &schema)
            .unwrap()
    };
    let docs = schemas().into_iter().map(open).collect();
    (exchange, docs)
}

async fn equal(doc: &Document, members: &[&Member], field: &str, expected: Value) {
    let name = doc.id().as_str();
    let what = format!("{name}.{field} = {expected} at all members");
    soon(&what, async {
        loop {
            let here: Value = serde_json::from_str(&doc.value().to_string()).unwrap();
            let all = |member: &&Member| member.value(name).as_ref() == Some(&here);
            if here[field] == expected && members.iter().all(all) {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Edits by each, a late joiner and a restart of the Rust side.
async fn converge(path: &std::path::Path, member: &mut Member, start: impl Fn(&str) -> Member) {
    let (rust, docs) = exchange(path).await;
    let mut events = rust.events();
    let [config, presence] = docs.as_slice() else {
        panic!("two documents")
    };
    for name in ["config", "presence"] {
        member.open(name, name).await;
    }
    for doc in &docs {
        soon("in sync", doc.synced()).await.unwrap();
    }
    config
        .edit(&[Edit::push("hosts", "rust"), Edit::put("flags", "r", true)])
        .unwrap();
    equal(config, &[member], "hosts", json!(["rust"])).await;
    member
        .edit("config", json!(["push", ["hosts"], "node"]))
        .await;
    equal(config, &[member], "hosts", json!(["rust", "node"])).await;
    config
        .edit(&[Edit::delete("hosts", 0, 1), Edit::set("limit", 2.5)])
        .unwrap();
    equal(config, &[member], "hosts", json!(["node"])).await;

    presence.edit(&[Edit::set("name", "rust")]).unwrap();
    equal(presence, &[member], "name", json!("rust")).await;
    sleep(Duration::from_millis(15)).await; // The reference drops an edit of the same millisecond.
    member
        .edit("presence", json!(["set", ["name"], "node"]))
        .await;
    equal(presence, &[member], "name", json!("node")).await;

    let mut late = start("late");
    for name in ["config", "presence"] {
        late.open(name, name).await;
    }
    equal(config, &[member, &late], "limit", json!(2.5)).await;
    late.edit("config", json!(["push", ["hosts"], "late"]))
        .await;
    equal(config, &[member, &late], "hosts", json!(["node", "late"])).await;

    // It holds each for both releases, which is no disagreement.
    while let Some(Some(event)) = events.recv().now_or_never() {
        let is_mismatch = matches!(
            event,
            ExchangeEvent::Diagnostic(Diagnostic::Mismatch { .. })
        );
        assert!(!is_mismatch, "{event:?}");
    }

    rust.dispose().await;
    let (rust, docs) = exchange(path).await;
    equal(&docs[0], &[member, &late], "hosts", json!(["node", "late"])).await;
    docs[0].edit(&[Edit::push("hosts", "again")]).unwrap();
    equal(
        &docs[0],
        &[member, &late],
        "hosts",
        json!(["node", "late", "again"]),
    )
    .await;
    late.quit().await;
    rust.dispose().await;
}

#[tokio::test]
async fn a_rust_exchange_listens_to_javascript_ones_of_either_release() {
    for runtime in runtimes() {
        for wire in [WireVersion::V3, WireVersion::V2] {
            let bus = Bus::new();
            let path = bus.path.as_path();
            // It takes the path before the others, and gives it back to the restarted one.
            let (first, _) = exchange(path).await;
            let start = |id: &str| Member::start(&runtime, path, wire, id, Entry::Connect);
            let mut member = start("node");
            member.until("connected").await;
            first.dispose().await;
            converge(path, &mut member, start).await;
            member.quit().await;
        }
    }
}

#[tokio::test]
async fn a_rust_exchange_connects_to_javascript_ones_of_either_release() {
    for runtime in runtimes() {
        for wire in [WireVersion::V3, WireVersion::V2] {
            let bus = Bus::new();
            let path = bus.path.as_path();
            let mut member = Member::start(&runtime, path, wire, "node", Entry::Join);
            member.until("listening").await;
            let start = |id: &str| Member::start(&runtime, path, wire, id, Entry::Connect);
            converge(path, &mut member, start).await;
            member.quit().await;
        }
    }
}
