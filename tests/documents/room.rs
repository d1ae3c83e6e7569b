//! The bound on all documents together.

use kyneta_uds::documents::{
    Diagnostic, Document, DocumentError, Edit, Exchange, ExchangeEvent, Substrate,
};

use super::support::{Path, id, schema, service, soon, soon_equal};

const LIMIT: usize = 50_000;

fn open(exchange: &Exchange, name: &str) -> Document {
    let opened = exchange.open(id(name), Substrate::Plain, &schema());
    opened.unwrap()
}

fn fill(doc: &Document) -> Result<(), DocumentError> {
    doc.edit(&[Edit::set("mode", "x".repeat(10_000).as_str())])
}

async fn limited(path: &Path, bytes: usize) -> Exchange {
    let builder = Exchange::builder(service("limited")).max_bytes_in_all(bytes);
    builder.replicate().join(path.socket()).await.unwrap()
}

#[tokio::test]
async fn nothing_is_added_beyond_it_until_a_document_is_destroyed() {
    let exchange = limited(&Path::new(), LIMIT).await;
    // The value, and the same in the history.
    let mut docs: Vec<_> = (0..10).map(|n| open(&exchange, &n.to_string())).collect();
    let full = docs.iter().map(fill).position(|filled| filled.is_err());
    assert_eq!(full, Some(3));
    let Err(DocumentError::Full(full)) = fill(&docs[9]) else {
        panic!("there is no room")
    };
    assert!(full.bytes > LIMIT && full.limit == LIMIT, "{full}");
    docs.remove(0).destroy();
    soon(|| fill(&docs[8]).ok()).await;
    assert!(fill(&docs[7]).is_err());
}

#[tokio::test]
async fn what_is_counted_too_high_is_counted_anew() {
    // The history that is kept has 1 MiB at most.
    let exchange = limited(&Path::new(), 2 << 20).await;
    let doc = open(&exchange, "a");
    let many = vec![Edit::increment("hits", 1.0); 1_000];
    for _ in 0..100 {
        // Counted as if each made the document longer by 25 bytes.
        doc.edit(&many).unwrap();
    }
    fill(&open(&exchange, "b")).unwrap();
}

#[tokio::test]
async fn an_offer_beyond_it_is_reported_and_other_exchanges_go_on() {
    let path = Path::new();
    let limited = limited(&path, LIMIT).await;
    let mut events = limited.events();
    let (a, b) = (path.join("a").await, path.join("b").await);
    for name in 0..10 {
        let docs = [&a, &b].map(|exchange| open(exchange, &name.to_string()));
        fill(&docs[0]).unwrap();
        soon_equal(&docs).await;
    }
    let why = loop {
        let event = events.recv().await.unwrap();
        if let ExchangeEvent::Diagnostic(Diagnostic::ImportFailed { why, .. }) = event {
            break why;
        }
    };
    assert!(why.contains("more than 50000"), "{why}");
    let all = limited.documents();
    let held: usize = all.iter().map(|doc| doc.value().to_string().len()).sum();
    assert!(held <= LIMIT + 10_100, "{held}");
}
