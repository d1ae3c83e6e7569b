//! Aliases between two codecs: announced, resolved, limited.
//!
//! A failure shows the payload, in which an alias is one number and a name is text.

use kyneta_uds_cbor::{Codec as _, DecodeLimits};
use kyneta_uds_core::{
    AliasFault, ChannelMsg, DocEntry, DocId, Establish, Identity, Rejection, ReplicaType,
    SchemaHash,
};

use crate::support::{decode, encode, established};

fn entry(doc: &str, hash: &str) -> DocEntry {
    DocEntry::new(
        DocId::new(doc).unwrap(),
        ReplicaType::new("loro", 1.0, 0.0).unwrap(),
        SchemaHash::new(hash).unwrap(),
    )
}

#[test]
fn outbound_aliases_are_limited_and_other_documents_are_named_in_full() {
    let (mut sender, mut receiver) = established();
    sender = sender.limits(DecodeLimits {
        max_aliases: 2,
        ..DecodeLimits::default()
    });
    let docs = ["a", "b", "c", "d"].map(|doc| entry(doc, &format!("hash-{doc}")));
    let present = ChannelMsg::Present(docs.to_vec());
    for _ in 0..2 {
        let bytes = encode(&mut sender, &present);
        assert_eq!(decode(&mut receiver, &bytes).unwrap(), present);
    }
    let dismiss = |doc| {
        encode(
            &mut sender.clone(),
            &ChannelMsg::Dismiss(DocId::new(doc).unwrap()),
        )
    };
    assert_eq!(&dismiss("b")[..], b"\xa2\x61t\x13\x62dx\x01");
    assert_eq!(&dismiss("c")[..], b"\xa2\x61t\x13\x63doc\x61c");
}

#[test]
fn inbound_aliases_resolve_and_are_limited_in_number_and_bytes() {
    let limits = [
        (
            DecodeLimits {
                max_aliases: 2,
                ..DecodeLimits::default()
            },
            "aliases",
        ),
        (
            DecodeLimits {
                max_alias_bytes: 2,
                ..DecodeLimits::default()
            },
            "bytes",
        ),
    ];
    for (limits, expected) in limits {
        let (mut sender, receiver) = established();
        let mut receiver = receiver.limits(limits);
        let first = ChannelMsg::Present(vec![entry("a", "h"), entry("b", "h")]);
        let bytes = encode(&mut sender, &first);
        assert_eq!(decode(&mut receiver, &bytes).unwrap(), first);
        let bytes = encode(&mut sender, &ChannelMsg::Present(vec![entry("c", "h")]));
        let full = decode(&mut receiver, &bytes).unwrap_err();
        let Rejection::Alias(AliasFault::TableFull { limit: 2, unit }) = full else {
            panic!("{full:?}");
        };
        assert_eq!(unit, expected);
        // Aliases announced before still resolve.
        let bytes = encode(&mut sender, &ChannelMsg::Dismiss(DocId::new("b").unwrap()));
        assert!(decode(&mut receiver, &bytes).is_ok());
    }
}

#[test]
fn a_message_that_was_not_sent_announces_nothing() {
    let (mut sender, mut receiver) = established();
    let known = ChannelMsg::Present(vec![entry("a", "h")]);
    let bytes = encode(&mut sender, &known);
    decode(&mut receiver, &bytes).unwrap();
    let before = format!("{:?}", encode(&mut sender.clone(), &known));

    encode(
        &mut sender,
        &ChannelMsg::Present(vec![entry("b", "h"), entry("c", "i")]),
    );
    sender.not_sent();
    let plain = Establish::new(Identity::service("a").unwrap());
    encode(&mut sender, &ChannelMsg::Establish(plain));
    sender.not_sent();
    assert_eq!(format!("{:?}", encode(&mut sender.clone(), &known)), before);

    let next = ChannelMsg::Present(vec![entry("c", "i")]);
    let bytes = encode(&mut sender, &next);
    assert_eq!(decode(&mut receiver, &bytes).unwrap(), next);
    let dismiss = ChannelMsg::Dismiss(DocId::new("c").unwrap());
    let bytes = encode(&mut sender, &dismiss);
    assert_eq!(&bytes[..], b"\xa2\x61t\x13\x62dx\x01");
    assert_eq!(decode(&mut receiver, &bytes).unwrap(), dismiss);
}
