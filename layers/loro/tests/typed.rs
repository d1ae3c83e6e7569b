//! A Loro document by its type.
#![allow(clippy::unwrap_used)]

use kyneta_uds_core::{DocId, WireVersion};
use kyneta_uds_exchange::{
    Json, Replica, Take,
    typed::{self, Counter, Described, List, Record, Schema, Text},
};
use kyneta_uds_loro::LoroReplica;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
struct Card {
    name: String,
    votes: Counter,
}

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
struct Owner {
    name: Option<String>,
    seen: Record<i64>,
}

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
struct Board {
    notes: Text,
    cards: List<Card>,
    owner: Owner,
}

#[test]
fn handles_edit_a_loro_document_which_is_read_as_its_type() {
    let open = |peer| LoroReplica::open(Board::schema().unwrap(), peer).unwrap();
    let (mut writer, mut reader) = (open(1), open(2));
    let edits = typed::edits::<Board>(|board| {
        board.notes.insert(0, "hello");
        board.cards.push(Card {
            name: "a".to_owned(),
            votes: Counter(1.0),
        });
        board.cards.item(0).votes.add(2.0);
        board.owner.name.set("ann".to_owned());
        board.owner.seen.put("bo", 7);
    });
    writer.edit(&edits.unwrap()).unwrap();
    let wire = WireVersion::V3;
    let offer = writer.export(Some(&reader.version(wire)), wire).unwrap();
    let offer = offer.offer(DocId::new("d").unwrap()).unwrap();
    reader.import(&offer, wire, Take::Merge).unwrap();
    let board: Board = typed::read(&Json::Object(reader.value())).unwrap();
    let card = Card {
        name: "a".to_owned(),
        votes: Counter(3.0),
    };
    let expected = Board {
        notes: Text::from("hello".to_owned()),
        cards: vec![card].into(),
        owner: Owner {
            name: Some("ann".to_owned()),
            seen: Record([("bo".to_owned(), 7)].into()),
        },
    };
    assert_eq!(board, expected);
}
