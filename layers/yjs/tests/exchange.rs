//! Yjs documents of exchanges over real sockets, edited by their types.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../tests/documents/support.rs"]
#[allow(dead_code)] // The tests of other kinds use more of it.
mod support;

use kyneta_uds::documents::{Document, Exchange, Substrate};
use kyneta_uds_exchange::typed::{self, Described, List, Record, Schema, Text};
use kyneta_uds_yjs::YjsKind;
use serde::{Deserialize, Serialize};

use support::{Path, id, service, soon_equal};

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
struct Board {
    notes: Text,
    items: List<String>,
    seen: Record<f64>,
}

#[tokio::test]
async fn what_three_exchanges_write_at_once_is_merged() {
    let path = Path::new();
    let schema = Board::schema().unwrap();
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut docs: Vec<Document> = Vec::new();
    for name in ["a", "b", "c"] {
        let builder = Exchange::builder(service(name)).kind(YjsKind);
        let exchange = builder.join(path.socket()).await.unwrap();
        docs.push(exchange.open(id("board"), Substrate::Yjs, &schema).unwrap());
        exchanges.push(exchange);
    }
    // At once, before any has heard of the others' edits.
    for (name, doc) in ["a", "b", "c"].into_iter().zip(&docs) {
        let edits = typed::edits::<Board>(|board| {
            board.notes.insert(0, name);
            board.items.push(name.to_owned());
            board.seen.put(name, 1.0);
        });
        doc.edit(&edits.unwrap()).unwrap();
    }
    soon_equal(&docs).await;
    let mut board: Board = typed::read(&docs[0].value()).unwrap();
    while board.items.len() < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        board = typed::read(&docs[0].value()).unwrap();
    }
    soon_equal(&docs).await;
    board.items.sort();
    assert_eq!(board.items.join(""), "abc");
    assert_eq!((board.notes.len(), board.seen.len()), (3, 3));
    for exchange in exchanges {
        exchange.dispose().await;
    }
}
