//! Loro and Yjs documents over real sockets, edited by their types.

use kyneta_uds::documents::{DocKind, Document, Exchange, Substrate};
use kyneta_uds_exchange::typed::{self, Described, List, Record, Schema, Text};
use kyneta_uds_loro::LoroKind;
use kyneta_uds_yjs::YjsKind;
use serde::{Deserialize, Serialize};

use crate::support::{Path, id, service, soon_equal};

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
struct Board {
    notes: Text,
    items: List<String>,
    seen: Record<f64>,
}

async fn edits_of_all_are_merged(substrate: Substrate, kind: impl DocKind + Copy) {
    let path = Path::new();
    let schema = Board::schema().unwrap();
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut docs: Vec<Document> = Vec::new();
    for name in ["a", "b", "c"] {
        let builder = Exchange::builder(service(name)).kind(kind);
        let exchange = builder.join(path.socket()).await.unwrap();
        docs.push(exchange.open(id("board"), substrate, &schema).unwrap());
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

#[tokio::test]
async fn loro_documents_merge_what_three_exchanges_write_at_once() {
    edits_of_all_are_merged(Substrate::Loro, LoroKind).await;
}

#[tokio::test]
async fn yjs_documents_merge_what_three_exchanges_write_at_once() {
    edits_of_all_are_merged(Substrate::Yjs, YjsKind).await;
}
