//! What survives: a restart, a crash at any moment, a store that fails, is full, or holds something else.
//!
//! A failure lists the edits that were reported as stored and are not there.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use kyneta_uds::{
    Client, Offer, Version,
    documents::{
        Document, Edit, Exchange, ExchangeBuilder, ExchangeEvent, Json, MemoryStore, NotStored,
        OpenError, Schema, Store, StoreError, StoreLimits, Substrate,
    },
};
use kyneta_uds_schema::Migration;
use kyneta_uds_store::{Head, Stored, Write};

use crate::{
    config, presence,
    support::{Path, id, number, schema, service, soon, soon_equal, text},
};

fn with(store: &MemoryStore) -> ExchangeBuilder {
    Exchange::builder(service("a")).store(store.clone())
}

fn push(text: &str) -> [Edit; 1] {
    [Edit::push("items", text)]
}

fn offers(store: &MemoryStore) -> Vec<Stored> {
    store.clone().load().unwrap()
}

#[tokio::test]
async fn an_exchange_that_restarts_goes_on_where_it_was() {
    let path = Path::new();
    let store = MemoryStore::new();
    let mut versions = Vec::new();
    for turn in 0..3 {
        let exchange = with(&store).join(path.socket()).await.unwrap();
        let doc = config(&exchange);
        assert_eq!(number(&doc, "hits"), f64::from(turn));
        doc.edit(&[Edit::increment("hits", 1.0)]).unwrap();
        doc.stored().await.unwrap();
        versions.push(doc.version().to_string());
        match turn {
            0 => exchange.dispose().await, // in order
            _ => drop(exchange),
        }
    }
    let lineage = versions[0].strip_suffix(":1").unwrap();
    assert_eq!(versions[2], format!("{lineage}:3"));
}

#[tokio::test]
async fn what_was_not_waited_for_is_stored_when_the_exchange_ends_in_order() {
    let path = Path::new();
    let store = MemoryStore::new();
    let exchange = with(&store).join(path.socket()).await.unwrap();
    let doc = config(&exchange);
    for _ in 0..100 {
        doc.edit(&[Edit::increment("hits", 1.0)]).unwrap();
    }
    exchange.dispose().await;
    let again = with(&store).join(path.socket()).await.unwrap();
    assert_eq!(number(&config(&again), "hits"), 100.0);
}

#[tokio::test]
async fn what_peers_have_sent_is_stored_and_one_without_schemas_keeps_it_for_those_who_come() {
    let path = Path::new();
    let store = MemoryStore::new();
    let author = path.join("author").await;
    let doc = config(&author);
    doc.edit(&push("kept")).unwrap();
    let keeper = || with(&store).replicate().join(path.socket());
    let first = keeper().await.unwrap();
    let kept = soon(|| first.get(&id("config"))).await;
    kept.synced().await.unwrap();
    soon(|| (kept.version() == doc.version()).then_some(())).await;
    kept.stored().await.unwrap();
    drop(first);
    author.dispose().await;

    // It is there at once, and a peer gets it that the author never met.
    let second = keeper().await.unwrap();
    assert_eq!(second.get(&id("config")).unwrap().schema(), None);
    let late = path.join("late").await;
    let doc = config(&late);
    doc.synced().await.unwrap();
    assert_eq!(doc.value().get("items").unwrap().to_string(), r#"["kept"]"#);
    soon_equal(&[doc.clone(), config(&late)]).await;

    // Opened, it has what was kept, and is stored as an opened one.
    let opened = config(&second);
    opened.edit(&push("more")).unwrap();
    opened.stored().await.unwrap();
    drop(second);
    let stored = offers(&store);
    assert!(stored[0].head.is_opened, "{stored:?}");
}

#[tokio::test]
async fn a_document_of_a_known_schema_is_there_at_once() {
    let path = Path::new();
    let store = MemoryStore::new();
    let exchange = with(&store).join(path.socket()).await.unwrap();
    config(&exchange).edit(&push("a")).unwrap();
    exchange.dispose().await;
    let known = with(&store).schema(Substrate::Plain, schema());
    let known = known.join(path.socket()).await.unwrap();
    assert!(known.get(&id("config")).is_some());
    drop(known);
    let unknown = with(&store).join(path.socket()).await.unwrap();
    assert!(unknown.get(&id("config")).is_none());
}

#[tokio::test]
async fn what_is_never_stored_says_so() {
    let path = Path::new();
    let exchange = path.join("a").await;
    let none = config(&exchange).stored().await;
    assert!(matches!(none, Err(NotStored::NoStore { .. })));
    drop(exchange);
    let store = MemoryStore::new();
    let exchange = with(&store).join(path.socket()).await.unwrap();
    let doc = presence(&exchange);
    doc.edit(&[Edit::set("mode", "here")]).unwrap();
    let transient = doc.stored().await;
    assert!(matches!(transient, Err(NotStored::Transient { .. })));
    exchange.dispose().await;
    assert_eq!(offers(&store), []);
}

#[tokio::test]
async fn a_destroyed_document_is_not_in_the_store_and_a_new_one_of_its_id_is() {
    let path = Path::new();
    let store = MemoryStore::new();
    let exchange = with(&store).join(path.socket()).await.unwrap();
    for turn in 0..20 {
        let doc = config(&exchange);
        doc.edit(&push("old")).unwrap();
        if turn % 2 == 0 {
            doc.stored().await.unwrap();
        }
        let waits = doc.clone();
        doc.destroy();
        assert!(matches!(
            waits.stored().await,
            Ok(()) | Err(NotStored::Gone(_))
        ));
    }
    config(&exchange).edit(&push("new")).unwrap();
    config(&exchange).stored().await.unwrap();
    drop(exchange);
    let exchange = with(&store).join(path.socket()).await.unwrap();
    let doc = config(&exchange);
    assert_eq!(doc.value().get("items").unwrap().to_string(), r#"["new"]"#);
    doc.destroy();
    exchange.dispose().await;
    assert_eq!(offers(&store), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_moment_takes_nothing_away_that_was_reported_as_stored() {
    let path = Path::new();
    let mut store = MemoryStore::new();
    let mut total = 0;
    for _ in 0..8 {
        let exchange = with(&store).join(path.socket()).await.unwrap();
        let doc = config(&exchange);
        assert!(number(&doc, "hits") >= f64::from(total));
        let reported = Arc::new(Mutex::new(0));
        let editing = tokio::spawn({
            let (doc, reported) = (doc.clone(), reported.clone());
            async move {
                while doc.edit(&[Edit::increment("hits", 1.0)]).is_ok() {
                    let hits = number(&doc, "hits") as u32;
                    doc.stored().await.unwrap();
                    *reported.lock().unwrap() = hits;
                }
            }
        });
        let enough = total + 50;
        soon(|| (*reported.lock().unwrap() >= enough).then_some(())).await;
        // What a process leaves behind that is killed here: first what it has said, then its store.
        total = *reported.lock().unwrap();
        store = store.snapshot();
        editing.abort();
        drop(exchange);
    }
    let exchange = with(&store).join(path.socket()).await.unwrap();
    assert!(number(&config(&exchange), "hits") >= f64::from(total));
}

#[tokio::test]
async fn a_long_history_is_written_anew_as_what_it_comes_to() {
    let path = Path::new();
    let store = MemoryStore::new();
    let exchange = with(&store).join(path.socket()).await.unwrap();
    let doc = config(&exchange);
    let large = "x".repeat(10_000);
    for _ in 0..40 {
        doc.edit(&[Edit::set("mode", large.as_str())]).unwrap();
        doc.stored().await.unwrap();
    }
    let stored = offers(&store);
    let bytes: usize = stored[0].offers.iter().map(|offer| offer.data.len()).sum();
    assert!(bytes < 100_000, "{bytes} of 400,000");
    drop(exchange);
    let again = with(&store).join(path.socket()).await.unwrap();
    assert_eq!(text(&config(&again), "mode").len(), large.len());
}

#[tokio::test]
async fn what_is_over_a_bound_is_reported_once_and_stored_when_there_is_room() {
    let path = Path::new();
    let store = MemoryStore::new();
    let mut limits = StoreLimits::default();
    limits.max_document_bytes = 1_000;
    let exchange = with(&store).store_limits(limits).join(path.socket()).await;
    let exchange = exchange.unwrap();
    let mut events = exchange.events();
    let doc = config(&exchange);
    for _ in 0..3 {
        doc.edit(&[Edit::set("mode", "x".repeat(2_000))]).unwrap();
        let error = doc.stored().await.unwrap_err().to_string();
        assert!(error.contains("at most 1000 are allowed"), "{error}");
    }
    doc.edit(&[Edit::set("mode", "short")]).unwrap();
    doc.stored().await.unwrap();
    assert_eq!(exchange.counts().not_stored, 1);
    loop {
        if let ExchangeEvent::Stored {
            doc: stored,
            version,
        } = events.recv().await.unwrap()
        {
            assert_eq!((stored, version), (id("config"), doc.version().to_string()));
            break;
        }
    }
}

/// A store that fails, or panics, as long as it is told to.
#[derive(Debug, Clone, Default)]
struct Failing {
    fails: Arc<AtomicBool>,
    panics: bool,
    inner: MemoryStore,
}

impl Store for Failing {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(StoreError::failed("no disk")),
            false => self.inner.load(),
        }
    }

    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        match self.fails.load(Ordering::SeqCst) {
            true if self.panics => panic!("no disk"),
            true => Err(StoreError::failed("no disk")),
            false => self.inner.write(writes),
        }
    }
}

/// An exchange with a document of which one edit is stored.
async fn with_one_edit(store: &Failing) -> (Path, Exchange, Document) {
    let path = Path::new();
    let builder = Exchange::builder(service("a")).store(store.clone());
    let exchange = builder.join(path.socket()).await.unwrap();
    let doc = config(&exchange);
    doc.edit(&push("a")).unwrap();
    doc.stored().await.unwrap();
    (path, exchange, doc)
}

async fn has_all_in_the_end(panics: bool, said: &str) {
    let store = Failing {
        panics,
        ..Failing::default()
    };
    let (_path, exchange, doc) = with_one_edit(&store).await;
    store.fails.store(true, Ordering::SeqCst);
    doc.edit(&push("b")).unwrap();
    let error = doc.stored().await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("config is not stored: the store failed: {said}")
    );
    assert_eq!(exchange.counts().not_stored, 1);
    let mut events = exchange.events();
    store.fails.store(false, Ordering::SeqCst);
    // Without another edit.
    while !matches!(events.recv().await.unwrap(), ExchangeEvent::Stored { .. }) {}
    let stored = offers(&store.inner);
    let items = stored[0].offers.last().unwrap().data.clone();
    assert!(String::from_utf8_lossy(items.as_slice()).contains("\"b\""));
    doc.stored().await.unwrap();
    exchange.dispose().await;
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_has_all_in_the_end() {
    has_all_in_the_end(false, "no disk").await;
}

#[tokio::test]
async fn a_store_that_panics_for_a_while_has_all_in_the_end() {
    has_all_in_the_end(true, "it panicked: no disk").await;
}

#[tokio::test]
async fn a_document_that_the_store_does_not_delete_is_named_until_it_does() {
    for fails_to_the_end in [false, true] {
        let store = Failing::default();
        let (_path, exchange, doc) = with_one_edit(&store).await;
        store.fails.store(true, Ordering::SeqCst);
        doc.destroy();
        soon(|| (exchange.counts().not_stored == 1).then_some(())).await;
        assert_eq!(exchange.undeleted(), [id("config")]);
        store.fails.store(fails_to_the_end, Ordering::SeqCst);
        exchange.dispose().await;
        let is_stored = !offers(&store.inner).is_empty();
        assert_eq!(is_stored, fails_to_the_end);
        assert_eq!(!exchange.undeleted().is_empty(), is_stored);
    }
}

/// A store whose writes wait until it is told to go on.
#[derive(Debug, Clone, Default)]
struct Hanging {
    hangs: Arc<(Mutex<bool>, Condvar)>,
    inner: MemoryStore,
}

impl Hanging {
    fn hang(&self, hangs: bool) {
        *self.hangs.0.lock().unwrap() = hangs;
        self.hangs.1.notify_all();
    }
}

impl Store for Hanging {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        self.inner.load()
    }

    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let hangs = self.hangs.0.lock().unwrap();
        drop(self.hangs.1.wait_while(hangs, |hangs| *hangs).unwrap());
        self.inner.write(writes)
    }
}

/// The time stands still until all wait for it: so an hour is over when nothing else can happen.
#[tokio::test]
async fn the_end_waits_for_a_store_that_hangs_as_long_as_its_caller_does_and_all_is_stored_then() {
    let path = Path::new();
    let store = Hanging::default();
    let builder = Exchange::builder(service("a")).store(store.clone());
    let exchange = builder.join(path.socket()).await.unwrap();
    let (doc, gone) = (config(&exchange), {
        let opened = exchange.open(id("gone"), Substrate::Plain, &schema());
        opened.unwrap()
    });
    gone.edit(&push("a")).unwrap();
    gone.stored().await.unwrap();
    store.hang(true);
    doc.edit(&push("a")).unwrap();
    gone.destroy();
    tokio::time::pause();
    let hour = Duration::from_secs(3_600);
    let disposed = tokio::time::timeout(hour, exchange.dispose()).await;
    assert!(disposed.is_err(), "the store has not written");
    tokio::time::resume();
    assert!(doc.edit(&push("b")).is_err(), "its documents have ended");
    assert!(doc.stored().now_or_never().is_none());
    assert_eq!(exchange.undeleted(), [id("gone")]);
    store.hang(false);
    doc.stored().await.unwrap();
    exchange.dispose().await;
    assert_eq!(exchange.undeleted(), []);
    assert_eq!(offers(&store.inner).len(), 1);
}

#[tokio::test]
async fn a_store_that_fails_at_the_end_is_why_a_document_is_not_stored() {
    let store = Failing::default();
    let (_path, exchange, doc) = with_one_edit(&store).await;
    store.fails.store(true, Ordering::SeqCst);
    doc.edit(&push("b")).unwrap();
    exchange.dispose().await;
    let error = doc.stored().await.unwrap_err().to_string();
    assert_eq!(error, "config is not stored: the store failed: no disk");
}

#[tokio::test]
async fn a_destroyed_document_that_a_failing_store_still_has_is_reported_once() {
    let store = Failing::default();
    let (_path, exchange, doc) = with_one_edit(&store).await;
    let mut events = exchange.events();
    store.fails.store(true, Ordering::SeqCst);
    doc.destroy();
    let why = loop {
        if let ExchangeEvent::NotStored { doc, why } = events.recv().await.unwrap() {
            assert_eq!(doc, id("config"));
            break why;
        }
    };
    assert_eq!(
        why,
        "it was destroyed, and the store still has it: the store failed: no disk"
    );
    store.fails.store(false, Ordering::SeqCst);
    soon(|| offers(&store.inner).is_empty().then_some(())).await;
    assert_eq!(exchange.counts().not_stored, 1);
    exchange.dispose().await;
}

/// A store that does not write as long as the lock is held.
#[derive(Debug, Clone, Default)]
struct Stuck {
    lock: Arc<Mutex<()>>,
    inner: MemoryStore,
}

impl Store for Stuck {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        self.inner.load()
    }

    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let _held = self.lock.lock().unwrap();
        self.inner.write(writes)
    }
}

#[tokio::test]
async fn each_of_two_that_end_an_exchange_at_once_waits_for_its_store() {
    let path = Path::new();
    let store = Stuck::default();
    let builder = Exchange::builder(service("a")).store(store.clone());
    let client = Client::builder(path.socket());
    let exchange = builder.client_lazy_with(client).await.unwrap();
    let (lock, held) = (store.lock.clone(), std::sync::mpsc::channel());
    let holding = std::thread::spawn(move || {
        let _held = lock.lock().unwrap();
        held.0.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    });
    held.1.recv().unwrap();
    config(&exchange).edit(&push("last")).unwrap();
    tokio::select! {
        () = exchange.dispose() => {}
        () = exchange.dispose() => {}
    }
    assert_eq!(offers(&store.inner).len(), 1);
    holding.join().unwrap();
}

#[tokio::test]
#[allow(clippy::await_holding_lock)]
async fn an_edit_of_a_serialized_document_is_sent_when_it_is_stored() {
    let path = Path::new();
    let store = Stuck::default();
    let builder = Exchange::builder(service("a")).store(store.clone());
    let author = builder.join(path.socket()).await.unwrap();
    let reader = path.join("b").await;
    let (ours, theirs) = (config(&author), config(&reader));
    let (mine, yours) = (presence(&author), presence(&reader));
    theirs.synced().await.unwrap();
    let held = store.lock.lock().unwrap();
    mine.edit(&[Edit::set("mode", "before")]).unwrap();
    soon(|| (text(&yours, "mode") == "before").then_some(())).await;
    ours.edit(&push("a")).unwrap();
    // Nothing comes, however long it takes.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(theirs.value().get("items"), Some(&Json::Array(Vec::new())));
    drop(held);
    soon_equal(&[ours, theirs]).await;
    author.dispose().await;
    reader.dispose().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_read_opens_nothing_and_is_not_written() {
    let path = Path::new();
    let store = Failing::default();
    store.fails.store(true, Ordering::SeqCst);
    let builder = Exchange::builder(service("a")).store(store.clone());
    let exchange = builder.replicate().join(path.socket()).await.unwrap();
    assert_eq!(
        exchange.unreadable_store().unwrap(),
        "the store failed: no disk"
    );
    assert_eq!(exchange.counts().unreadable, 1);
    let error = exchange.open(id("config"), Substrate::Plain, &schema());
    assert_eq!(
        error.unwrap_err().to_string(),
        "config cannot be opened: the store failed: no disk"
    );
}

#[tokio::test]
async fn another_schema_and_damage_are_said_and_the_stored_content_stays() {
    let path = Path::new();
    let mut store = MemoryStore::new();
    let exchange = with(&store).join(path.socket()).await.unwrap();
    config(&exchange).edit(&push("a")).unwrap();
    exchange.dispose().await;
    let mut head = Head::new(Substrate::Plain);
    head.is_opened = true;
    head.schema = offers(&store)[0].head.schema.clone();
    let offer = Offer::json(id("damaged"), Version::new("aa:1").unwrap(), "{");
    store.write(&[Write::Replace { head, offer }]).unwrap();
    let before = store.snapshot();

    let exchange = with(&store).join(path.socket()).await.unwrap();
    let other = Schema::structure([("other", Schema::string())]).unwrap();
    let error = exchange
        .open(id("config"), Substrate::Plain, &other)
        .unwrap_err();
    let hash = |schema: &Schema| {
        schema
            .hash(kyneta_uds::WireVersion::V3)
            .unwrap()
            .to_string()
    };
    let said = error.to_string();
    assert!(
        said.contains(&hash(&schema())) && said.contains(&hash(&other)),
        "{said}"
    );
    let error = exchange.open(id("config"), Substrate::Ephemeral, &schema());
    assert!(matches!(error, Err(OpenError::OtherStored { .. })));
    let error = exchange.open(id("damaged"), Substrate::Plain, &schema());
    assert!(matches!(error, Err(OpenError::Unreadable { .. })));
    assert_eq!(exchange.counts().unreadable, 1);
    // Others go on.
    assert_eq!(
        config(&exchange).value().get("items"),
        Some(&Json::Array(vec!["a".into()]))
    );
    exchange.dispose().await;
    let by_id = |store: &MemoryStore| {
        let mut all = offers(store);
        all.sort_by_key(|stored| stored.offers[0].doc.to_string());
        all
    };
    assert_eq!(by_id(&store), by_id(&before));
}

#[tokio::test]
async fn what_was_stored_with_an_earlier_schema_is_read_with_one_that_has_grown_from_it() {
    let path = Path::new();
    let store = MemoryStore::new();
    let fields = || [("mode", Schema::string()), ("hits", Schema::counter())];
    let before = Schema::structure([("mode", Schema::string())]).unwrap();
    let now = Schema::structure(fields()).unwrap();
    let grown = now.clone().migrated([Migration::add("hits")]).unwrap();
    let exchange = with(&store).join(path.socket()).await.unwrap();
    let doc = exchange
        .open(id("config"), Substrate::Plain, &before)
        .unwrap();
    doc.edit(&[Edit::set("mode", "old")]).unwrap();
    exchange.dispose().await;

    let exchange = with(&store).join(path.socket()).await.unwrap();
    let error = exchange.open(id("config"), Substrate::Plain, &now);
    assert!(matches!(error, Err(OpenError::OtherStored { .. })));
    let doc = exchange
        .open(id("config"), Substrate::Plain, &grown)
        .unwrap();
    doc.edit(&[Edit::increment("hits", 2.0)]).unwrap();
    assert_eq!(
        (text(&doc, "mode").as_str(), number(&doc, "hits")),
        ("old", 2.0)
    );
}
