//! Messages of any serde type.

use bytes::Bytes;
use kyneta_uds_cbor::{Codec, EncodeError, SerdeCodec};
use kyneta_uds_core::{Chain, Payload, Rejection, WriteBuf};
use serde::{Deserialize, Serialize, Serializer, ser::Error};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Message {
    Ping,
    Put {
        key: String,
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
    Many(Vec<Option<f64>>),
}

#[test]
fn messages_are_encoded_and_decoded() {
    let mut codec = SerdeCodec::<Message>::new();
    let big = |len| Message::Put {
        key: "k".repeat(len),
        value: vec![7; len],
    };
    let messages = [Message::Ping, big(0), big(4_095), big(4_097), big(1 << 20)]
        .into_iter()
        .chain([Message::Many(vec![None, Some(0.1), Some(-3.0)])]);
    for msg in messages {
        let mut buf = WriteBuf::default();
        codec.encode(&msg, &mut buf.writer()).unwrap();
        let read = Bytes::copy_from_slice(buf.front());
        assert_eq!(
            codec.decode(Payload::new(&read, 0..read.len())).unwrap(),
            msg
        );
    }
}

#[test]
fn another_type_is_an_invalid_message() {
    let read = Bytes::from_static(b"\x64Pong");
    let refused = SerdeCodec::<Message>::new().decode(Payload::new(&read, 0..read.len()));
    let Err(Rejection::Invalid { what, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(what.contains("Pong"), "{what}");
}

#[derive(Deserialize)]
struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("not today"))
    }
}

#[test]
fn the_error_of_a_message_that_cannot_be_serialized() {
    let mut buf = WriteBuf::default();
    let refused = SerdeCodec::<Unserializable>::new()
        .encode(&Unserializable, &mut buf.writer())
        .unwrap_err();
    assert!(matches!(refused, EncodeError::Serialize(_)));
    let text = Chain(&refused).to_string();
    assert!(text.contains("not today"), "{text}");
}
