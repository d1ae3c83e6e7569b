//! The bound on all documents together.

use std::time::Duration;

use kyneta_uds::{
    PeerId,
    documents::{
        Diagnostic, Document, DocumentError, Edit, Exchange, ExchangeEvent, Line, LineError,
        LineOptions, Substrate,
    },
};
use tokio::time::timeout;

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
    // The value: the histories are given up.
    let mut docs: Vec<_> = (0..10).map(|n| open(&exchange, &n.to_string())).collect();
    let full = docs.iter().map(fill).position(|filled| filled.is_err());
    assert_eq!(full, Some(5));
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
async fn the_histories_that_fill_it_are_given_up() {
    // Each has a history of five times what it holds.
    let exchange = limited(&Path::new(), LIMIT).await;
    let docs: Vec<_> = (0..10).map(|n| open(&exchange, &n.to_string())).collect();
    for _ in 0..5 {
        for doc in &docs {
            doc.edit(&[Edit::set("mode", "x".repeat(1_000))]).unwrap();
        }
    }
    let held: usize = docs.iter().map(|doc| doc.value().to_string().len()).sum();
    assert!(held < LIMIT / 4, "{held}");
    fill(&docs[0]).unwrap();
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

fn open_line(exchange: &Exchange, peer: &str) -> Line<String, String> {
    let (peer, options) = (PeerId::new(peer).unwrap(), LineOptions::new("t").unwrap());
    exchange.open_line(peer, &options).unwrap()
}

/// Sends until there is no room; returns how many messages had some.
async fn fill_line(line: &Line<String, String>) -> usize {
    let message = "x".repeat(2000);
    for sent in 0.. {
        match line.send(&message).await {
            Ok(acknowledged) => drop(acknowledged),
            Err(LineError::Document { source, .. }) => {
                assert!(matches!(source, DocumentError::Full(_)), "{source}");
                return sent;
            }
            Err(error) => panic!("{error}"),
        }
    }
    0
}

#[tokio::test]
async fn a_line_that_has_filled_the_room_of_all_documents_is_emptied_by_its_peer() {
    let path = Path::new();
    let limited = limited(&path, LIMIT).await;
    let line = open_line(&limited, "worker");
    let worker = path.join("worker").await;
    let mut work = open_line(&worker, "limited");
    let sent = fill_line(&line).await;
    assert!(sent > 5, "{sent}");
    for _ in 0..sent {
        let message = timeout(Duration::from_secs(20), work.next()).await;
        message.unwrap().unwrap().unwrap();
    }
    // The next one is asked for, which says that all are processed.
    let next = tokio::spawn(async move { work.next().await.unwrap().unwrap() });
    soon(|| (line.waiting() == 0).then_some(())).await;
    drop(line.send(&"more".to_owned()).await.unwrap());
    let more = timeout(Duration::from_secs(20), next).await;
    assert_eq!(more.unwrap().unwrap(), "more");
}

#[tokio::test]
async fn what_comes_in_lines_goes_beyond_it_by_an_eighth_at_most() {
    let path = Path::new();
    let limited = limited(&path, LIMIT).await;
    let mut events = limited.events();
    let line = open_line(&limited, "worker");
    assert!(fill_line(&line).await > 5);
    let worker = path.join("worker").await;
    let work = open_line(&worker, "limited");
    let inbox = limited.get(&id("line:t:worker→limited")).unwrap();
    let mut sent = 0;
    // One by one, so that each is an offer.
    while limited.counts().diagnostics == 0 {
        let before = inbox.version();
        drop(work.send(&"x".repeat(2000)).await.unwrap());
        sent += 1;
        assert!(sent < 50, "nothing is refused");
        soon(|| (inbox.version() != before || limited.counts().diagnostics > 0).then_some(()))
            .await;
    }
    assert!(sent > 1, "there is no room for a line");
    let refused = async {
        loop {
            let event = events.recv().await.unwrap();
            if let ExchangeEvent::Diagnostic(Diagnostic::ImportFailed { why, .. }) = event {
                return why;
            }
        }
    };
    let why = timeout(Duration::from_secs(20), refused).await.unwrap();
    assert!(why.contains("more than 56250"), "{why}");
    let all = limited.documents();
    let held: usize = all.iter().map(|doc| doc.value().to_string().len()).sum();
    assert!(held <= LIMIT + LIMIT / 8 + 2_100, "{held}");
}
