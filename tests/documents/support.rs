//! Paths, schemas, and waiting for documents to be equal.
//!
//! In: a directory of the test. Out: exchanges. What does not become equal within twenty seconds is printed.

use std::time::{Duration, Instant};

use kyneta_uds::{
    DocId, Identity,
    documents::{Document, Exchange, Json, Schema},
};
use tempfile::TempDir;
use tokio::time::sleep;

/// How long documents may take to become equal.
const EQUAL: Duration = Duration::from_secs(1);

/// The same when many tests run at once on a slow machine.
const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Path(TempDir);

impl Path {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.0.path().join("bus.sock")
    }

    pub(crate) async fn join(&self, name: &str) -> Exchange {
        let builder = Exchange::builder(service(name));
        builder.join(self.socket()).await.unwrap()
    }
}

pub(crate) fn service(name: &str) -> Identity {
    Identity::service(name).unwrap()
}

pub(crate) fn id(name: &str) -> DocId {
    DocId::new(name).unwrap()
}

pub(crate) fn schema() -> Schema {
    Schema::structure([
        ("mode", Schema::string()),
        ("hits", Schema::counter()),
        ("items", Schema::list(Schema::string())),
    ])
    .unwrap()
}

pub(crate) fn text(doc: &Document, field: &str) -> String {
    match doc.value().get(field) {
        Some(Json::String(text)) => text.clone(),
        other => panic!("{field} is {other:?}"),
    }
}

pub(crate) fn number(doc: &Document, field: &str) -> f64 {
    match doc.value().get(field) {
        Some(Json::Number(number)) => *number,
        other => panic!("{field} is {other:?}"),
    }
}

pub(crate) async fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {SOON:?}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until all hold the same at the same version, and says on stderr if that took longer than it should.
pub(crate) async fn soon_equal(docs: &[Document]) {
    let started = Instant::now();
    let state = |doc: &Document| (doc.version().to_string(), doc.value());
    loop {
        let states: Vec<_> = docs.iter().map(state).collect();
        if states.windows(2).all(|pair| pair[0] == pair[1]) {
            break;
        }
        assert!(
            started.elapsed() < SOON,
            "not equal after {SOON:?}: {states:#?}"
        );
        sleep(Duration::from_millis(1)).await;
    }
    let took = started.elapsed();
    if took > EQUAL {
        eprintln!("equal after {took:?} only");
    }
}
