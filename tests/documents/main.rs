//! Exchanges over real sockets: documents become equal, whichever process edits, joins late, restarts or stops
//! listening.
//!
//! A failure prints the states of all exchanges, when they are not equal within twenty seconds.

// Helpers stand beside the tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod line;
mod room;
mod store;
mod support;

use std::time::Duration;

use kyneta_uds::{
    DocId, Hub, MemberFacts, QueueConfig, Role, SchemaHash, Switch, SwitchConfig, WireVersion,
    documents::{
        Diagnostic, Document, DocumentError, Edit, EditError, Exchange, ExchangeEvent,
        ExchangeEvents, OpenError, Policy, Resolve, Schema, Substrate,
    },
};
use support::{Path, id, number, schema, service, soon, soon_equal, text};
use tokio::{runtime::Runtime, time::timeout};

fn config(exchange: &Exchange) -> Document {
    exchange
        .open(id("config"), Substrate::Plain, &schema())
        .unwrap()
}

fn presence(exchange: &Exchange) -> Document {
    exchange
        .open(id("presence"), Substrate::Ephemeral, &schema())
        .unwrap()
}

#[tokio::test]
async fn three_exchanges_of_a_path_have_equal_documents_after_edits_by_each() {
    let path = Path::new();
    let [a, b, c] = [
        path.join("a").await,
        path.join("b").await,
        path.join("c").await,
    ];
    let docs = [&a, &b, &c].map(config);
    for (turn, doc) in docs.iter().enumerate() {
        doc.synced().await.unwrap();
        doc.edit(&[
            Edit::push("items", format!("of {turn}").as_str()),
            Edit::increment("hits", 1.0),
        ])
        .unwrap();
        soon_equal(&docs).await;
    }
    assert_eq!(number(&docs[0], "hits"), 3.0);
    assert_eq!(
        docs[2].value().get("items").unwrap().to_string(),
        r#"["of 0","of 1","of 2"]"#
    );

    let presences = [&a, &b, &c].map(presence);
    for (doc, name) in presences.iter().zip(["ann", "bob", "cid"]) {
        doc.edit(&[Edit::set("mode", name)]).unwrap();
        soon_equal(&presences).await;
        assert_eq!(text(&presences[0], "mode"), name);
    }
}

#[tokio::test]
async fn a_late_joiner_gets_what_is_there_and_a_restarted_one_gets_it_again() {
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let (ours, theirs) = (config(&a), config(&b));
    ours.edit(&[Edit::set("mode", "auto")]).unwrap();
    soon_equal(&[ours.clone(), theirs.clone()]).await;
    for _ in 0..2 {
        let late = path.join("late").await;
        let doc = config(&late);
        doc.synced().await.unwrap();
        assert_eq!(text(&doc, "mode"), "auto");
        doc.edit(&[Edit::increment("hits", 1.0)]).unwrap();
        soon_equal(&[ours.clone(), theirs.clone(), doc]).await;
        late.dispose().await;
    }
    assert_eq!(number(&ours, "hits"), 2.0);
}

#[tokio::test]
async fn documents_stay_equal_when_the_listener_ends() {
    let path = Path::new();
    let mut members = Vec::new();
    for name in ["a", "b", "c", "d"] {
        members.push(path.join(name).await);
    }
    let all = |members: &[Exchange]| members.iter().map(config).collect::<Vec<_>>();
    let first = config(&members[0]);
    first.edit(&[Edit::set("mode", "first")]).unwrap();
    soon_equal(&all(&members)).await;
    for turn in 0..3 {
        let is_listener = |member: &Exchange| member.peer().unwrap().role() == Role::Listener;
        let at = members.iter().position(is_listener).unwrap();
        // Every other time without a word.
        let listener = members.remove(at);
        match turn % 2 {
            0 => listener.dispose().await,
            _ => drop(listener),
        }
        // At once, while there is no listener.
        let editor = config(&members[0]);
        editor.edit(&[Edit::increment("hits", 1.0)]).unwrap();
        soon_equal(&all(&members)).await;
        assert_eq!(number(&editor, "hits"), f64::from(turn + 1));
        // The last one has no other.
        if members.len() == 1 {
            break;
        }
    }
}

#[tokio::test]
async fn a_client_and_a_server_share_a_document_and_one_without_a_schema_passes_it_on() {
    let path = Path::new();
    let hub = Exchange::builder(service("hub")).replicate();
    let hub = hub.server(path.socket()).await.unwrap();
    let a = Exchange::builder(service("a"));
    let a = a.client(path.socket()).await.unwrap();
    let doc = config(&a);
    doc.edit(&[Edit::set("mode", "kept")]).unwrap();
    let kept = support::soon(|| hub.get(&id("config"))).await;
    // Without a schema it has no zeros.
    let mode = |doc: &Document| doc.value().get("mode").map(ToString::to_string);
    support::soon(|| (mode(&kept) == mode(&doc)).then_some(())).await;
    assert_eq!(
        kept.edit(&[Edit::set("mode", "no")]),
        Err(DocumentError::Edit(EditError::NoSchema))
    );

    // The hub has it when its author has left.
    a.dispose().await;
    let b = Exchange::builder(service("b"));
    let b = b.client(path.socket()).await.unwrap();
    let theirs = config(&b);
    theirs.synced().await.unwrap();
    assert_eq!(text(&theirs, "mode"), "kept");
    theirs.edit(&[Edit::set("mode", "again")]).unwrap();
    support::soon(|| (mode(&kept) == mode(&theirs)).then_some(())).await;
    assert_eq!(kept.version(), theirs.version());
}

#[tokio::test]
async fn exchanges_over_channels_of_a_hub_share_a_document_and_leave_when_they_are_disposed_of() {
    let hub = Hub::new(|| Box::new(Switch::new(SwitchConfig::default())));
    let over = async |name: &str| {
        let me = service(name);
        let facts = MemberFacts::local(WireVersion::V3).identity(me.clone());
        let channel = hub.local(facts, QueueConfig::default());
        let exchange = Exchange::builder(me);
        exchange
            .over(channel, service("hub"), WireVersion::V3)
            .await
    };
    let (a, b) = (over("a").await, over("b").await);
    let docs = [config(&a), config(&b)];
    docs[0].edit(&[Edit::set("mode", "auto")]).unwrap();
    soon_equal(&docs).await;
    assert_eq!(text(&docs[1], "mode"), "auto");
    assert_eq!(hub.status().members, 2);
    a.dispose().await;
    soon(|| (hub.status().members == 1).then_some(())).await;
}

#[tokio::test]
async fn a_registered_schema_opens_what_a_peer_presents() {
    let path = Path::new();
    let a = path.join("a").await;
    let b = Exchange::builder(service("b")).schema(Substrate::Plain, schema());
    let b = b.join(path.socket()).await.unwrap();
    let doc = config(&a);
    doc.edit(&[Edit::set("mode", "auto")]).unwrap();
    let theirs = support::soon(|| b.get(&id("config"))).await;
    soon_equal(&[doc, theirs]).await;
}

/// What is reported of two schemas, the one here first.
struct Differing {
    hashes: [SchemaHash; 2],
    texts: [Option<String>; 2],
    said: String,
}

async fn until_mismatch(events: &mut ExchangeEvents) -> Differing {
    loop {
        let ExchangeEvent::Diagnostic(diagnostic) = events.recv().await.unwrap() else {
            continue;
        };
        let said = diagnostic.to_string();
        if let Diagnostic::Mismatch {
            local,
            remote,
            texts,
            ..
        } = diagnostic
        {
            return Differing {
                hashes: [local.schema, remote.schema],
                texts: [texts.local, texts.remote],
                said,
            };
        }
    }
}

#[tokio::test]
async fn another_schema_is_reported_with_both_hashes_and_other_documents_go_on() {
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let mut events = b.events();
    let other = Schema::structure([("mode", Schema::number())]).unwrap();
    a.open(id("d"), Substrate::Plain, &schema()).unwrap();
    b.open(id("d"), Substrate::Plain, &other).unwrap();
    let reported = until_mismatch(&mut events).await;
    let wire = kyneta_uds::protocol::WireVersion::V3;
    let (ours, theirs) = (other.canonical(wire), schema().canonical(wire));
    let hash = |schema: &Schema| schema.hash(wire).unwrap();
    assert_eq!(reported.hashes, [hash(&other), hash(&schema())]);
    // A peer sends the hash alone.
    assert_eq!(reported.texts, [ours.clone(), None]);
    let unknown = "(a schema that is unknown here)";
    assert!(reported.said.contains(unknown), "{}", reported.said);

    // Of a schema that is registered here the text is known, too.
    b.register(Substrate::Plain, schema());
    b.open(id("e"), Substrate::Plain, &other).unwrap();
    a.open(id("e"), Substrate::Plain, &schema()).unwrap();
    let reported = until_mismatch(&mut events).await;
    assert_eq!(reported.texts, [ours, theirs.clone()]);
    assert!(
        reported.said.contains(&theirs.unwrap()),
        "{}",
        reported.said
    );
    assert!(b.counts().diagnostics > 0);

    let docs = [config(&a), config(&b)];
    docs[0].edit(&[Edit::set("mode", "auto")]).unwrap();
    soon_equal(&docs).await;
}

#[tokio::test]
async fn policies_decide_what_is_shared_and_accepted() {
    let path = Path::new();
    let a = path.join("a").await;
    let b = Exchange::builder(service("b"))
        .policy(Policy::new().can_share(|doc, _| !doc.as_str().starts_with("private/")))
        .policy(Policy::new().can_accept(|doc, _| (doc.as_str() == "read-only").then_some(false)))
        .policy(Policy::new().resolve(|_, _| Some(Resolve::Reject)));
    let b = b.join(path.socket()).await.unwrap();
    let open = |exchange: &Exchange, doc: &str| {
        exchange.open(id(doc), Substrate::Plain, &schema()).unwrap()
    };
    let mut events = b.events();
    let [ours, theirs] = [&a, &b].map(|exchange| open(exchange, "read-only"));
    ours.edit(&[Edit::set("mode", "not taken")]).unwrap();
    loop {
        if let ExchangeEvent::Diagnostic(Diagnostic::OfferRefused { doc, .. }) =
            events.recv().await.unwrap()
        {
            assert_eq!(doc, id("read-only"));
            break;
        }
    }
    assert_eq!(text(&theirs, "mode"), "");

    let private = open(&b, "private/b");
    private.edit(&[Edit::set("mode", "secret")]).unwrap();
    // What follows is shared, and comes after what is not.
    let docs = [config(&b), config(&a)];
    docs[0].edit(&[Edit::set("mode", "auto")]).unwrap();
    soon_equal(&docs).await;
    assert!(a.get(&id("private/b")).is_none() && b.get(&id("other")).is_none());
}

#[tokio::test]
async fn a_rule_that_panics_says_no_and_the_exchange_goes_on() {
    let path = Path::new();
    let a = path.join("a").await;
    let policy = Policy::new().can_share(|doc, _| {
        assert_ne!(doc.as_str(), "trap", "as the test wants it");
        true
    });
    let b = Exchange::builder(service("b")).policy(policy);
    let b = b.join(path.socket()).await.unwrap();
    let trap = b.open(id("trap"), Substrate::Plain, &schema()).unwrap();
    trap.edit(&[Edit::set("mode", "not told")]).unwrap();
    let docs = [config(&b), config(&a)];
    docs[0].edit(&[Edit::set("mode", "auto")]).unwrap();
    soon_equal(&docs).await;
    assert!(a.get(&id("trap")).is_none());
}

#[tokio::test]
async fn a_destroyed_document_is_gone_here_and_stays_with_the_others() {
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let docs = [config(&a), config(&b)];
    docs[0].edit(&[Edit::set("mode", "auto")]).unwrap();
    soon_equal(&docs).await;
    let [ours, theirs] = docs;
    let mut changes = ours.changes();
    let other = ours.clone();
    ours.destroy();
    assert_eq!(changes.next().await, None);
    assert!(matches!(
        other.edit(&[Edit::set("mode", "no")]),
        Err(DocumentError::Gone(_))
    ));
    assert!(other.synced().await.is_err());
    assert!(a.get(&id("config")).is_none());
    // Opened again, it has what the others have.
    let again = config(&a);
    soon_equal(&[again, theirs]).await;
}

#[tokio::test]
async fn a_suspended_document_is_edited_alone_and_catches_up() {
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let docs = [config(&a), config(&b)];
    docs[0].edit(&[Edit::set("mode", "before")]).unwrap();
    soon_equal(&docs).await;
    docs[0].suspend();
    docs[0].edit(&[Edit::set("mode", "alone")]).unwrap();
    let other = [&a, &b].map(presence);
    other[0].edit(&[Edit::set("mode", "after it")]).unwrap();
    soon_equal(&other).await;
    assert_eq!(text(&docs[1], "mode"), "before");
    docs[0].resume();
    soon_equal(&docs).await;
    assert_eq!(text(&docs[1], "mode"), "alone");
}

#[test]
fn documents_end_with_the_runtime_of_their_exchange() {
    let path = Path::new();
    let runtime = Runtime::new().unwrap();
    let exchange = runtime.block_on(path.join("a"));
    let doc = config(&exchange);
    let mut changes = doc.changes();
    drop(runtime);
    Runtime::new().unwrap().block_on(async {
        let ended = async {
            assert!(changes.next().await.is_none());
            doc.synced().await.unwrap_err();
        };
        timeout(Duration::from_secs(20), ended).await.unwrap();
    });
    let opened = exchange.open(id("more"), Substrate::Plain, &schema());
    assert!(matches!(opened, Err(OpenError::Ended { .. })));
}

#[tokio::test]
async fn changes_say_whether_they_were_made_here() {
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let (ours, theirs) = (config(&a), config(&b));
    let (mut here, mut there) = (ours.changes(), theirs.changes());
    ours.edit(&[Edit::set("mode", "auto")]).unwrap();
    let here = here.next().await.unwrap();
    assert!(here.here && !here.by_peer);
    let there = there.next().await.unwrap();
    assert!(there.by_peer && !there.here);
    assert_eq!(text(&theirs, "mode"), "auto");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let path = Path::new();
    let a = path.join("a").await;
    let open = |substrate, schema: &Schema| a.open(id("config"), substrate, schema);
    let error = open(Substrate::Loro, &schema()).unwrap_err();
    assert!(matches!(error, OpenError::NoKind { .. }), "{error}");
    let error = open(Substrate::Plain, &Schema::string()).unwrap_err();
    assert!(matches!(error, OpenError::Schema { .. }), "{error}");
    let doc = open(Substrate::Plain, &schema()).unwrap();
    // An equal schema is the same document, unlike in TypeScript.
    assert_eq!(open(Substrate::Plain, &schema()).unwrap().id(), doc.id());
    let error = open(Substrate::Ephemeral, &schema()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Open {
                other_schema: false,
                ..
            }
        ),
        "{error}"
    );
    a.dispose().await;
    let error = a
        .open(DocId::new("new").unwrap(), Substrate::Plain, &schema())
        .unwrap_err();
    assert!(matches!(error, OpenError::Ended { .. }), "{error}");
    assert!(doc.edit(&[Edit::set("mode", "no")]).is_err());
}

/// Edits from several threads, faster than they are pushed: none is lost, none is made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_from_several_threads_all_arrive_once() {
    const EDITS: usize = 5_000;
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let (ours, theirs) = (config(&a), config(&b));
    theirs.synced().await.unwrap();
    let editors: Vec<_> = (0..2)
        .map(|_| {
            let doc = ours.clone();
            std::thread::spawn(move || {
                for _ in 0..EDITS {
                    doc.edit(&[Edit::increment("hits", 1.0)]).unwrap();
                }
            })
        })
        .collect();
    let late = path.join("late").await;
    let late_doc = config(&late);
    for editor in editors {
        tokio::task::spawn_blocking(move || editor.join().unwrap())
            .await
            .unwrap();
    }
    soon_equal(&[ours.clone(), theirs, late_doc]).await;
    assert_eq!(number(&ours, "hits"), 2.0 * EDITS as f64);
}
