//! Hostile payloads: deeply nested, large, or with wrong lengths.
//!
//! Held: each is an error with the limit and the size, in bounded time and memory. A failure shows the sentence.

use bytes::Bytes;
use kyneta_uds_cbor::{ChannelCodec, Codec, DecodeLimits, SerdeCodec};
use kyneta_uds_core::{Payload, Rejection};

use crate::support::decode;

fn rejection(bytes: Vec<u8>) -> Rejection {
    decode(&mut ChannelCodec::new(), &bytes.into()).unwrap_err()
}

#[test]
fn deep_nesting_is_an_error_and_no_stack_overflow() {
    for open in [0x81_u8, 0xa1] {
        // A depart with an unknown key whose value opens 100,000 arrays or maps.
        let mut bytes = b"\xa2\x61t\x02\x61z".to_vec();
        for _ in 0..100_000 {
            bytes.push(open);
            if open == 0xa1 {
                bytes.push(0);
            }
        }
        bytes.push(0);
        let rejection = rejection(bytes);
        assert!(
            rejection
                .to_string()
                .contains("nested deeper than 1024 levels"),
            "{rejection}"
        );
    }
}

#[test]
fn lengths_are_compared_with_the_bytes_left() {
    // Heads of the value of an unknown key, in a depart.
    let heads: [&[u8]; 6] = [
        b"\x5a\xff\xff\xff\xff",
        b"\x7b\x00\xff\xff\xff\xff\xff\xff\xff",
        b"\x9a\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xba\xff\xff\xff\xff",
        b"\x98\x20",
    ];
    for head in heads {
        let rejection = rejection([b"\xa2\x61t\x02\x61z", head].concat());
        assert!(
            rejection.to_string().contains("goes beyond the payload"),
            "{rejection}"
        );
    }
    let docs = b"\xa2\x61t\x10\x64docs\x9b\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec();
    assert_eq!(rejection(docs).code(), "decode-failed");
}

#[test]
fn keys_documents_and_hashes_are_limited() {
    let limits = DecodeLimits {
        max_keys: 100,
        max_docs: 10,
        ..DecodeLimits::default()
    };
    let refused = |bytes: Vec<u8>| {
        decode(&mut ChannelCodec::new().limits(limits), &bytes.into())
            .unwrap_err()
            .to_string()
    };
    let mut keys = b"\xb8\x66\x61t\x02".to_vec();
    (0..101_u8).for_each(|key| keys.extend([0x62, b'k', key & 0x7f, 0]));
    assert!(refused(keys).contains("more than 100 keys"));

    let entry = b"\xa4\x61d\x60\x62rt\x83\x60\x00\x00\x62ms\x00\x62sh\x60";
    let mut docs = b"\xa2\x61t\x10\x64docs\x8b".to_vec();
    (0..11).for_each(|_| docs.extend(entry));
    let text = refused(docs);
    assert_eq!(
        text,
        "not a message: docs: more than 10 documents and supported hashes"
    );

    let mut hashes = b"\xa2\x61t\x10\x64docs\x81\xa5".to_vec();
    hashes.extend(&entry[1..]);
    hashes.extend(b"\x63shs\x8b");
    hashes.extend([0x60; 11]);
    let text = refused(hashes);
    assert_eq!(
        text,
        "not a message: docs.0.shs: more than 10 documents and supported hashes"
    );
}

#[test]
fn duplicate_keys_are_found_in_any_encoding() {
    // Key pairs of one map.
    let same: [(&[u8], &[u8]); 6] = [
        (b"\x61a", b"\x61a"),
        (b"\x61a", b"\x64\xef\xbb\xbfa"),
        (b"\x01", b"\xfa\x3f\x80\x00\x00"),
        (b"\x00", b"\xfb\x80\x00\x00\x00\x00\x00\x00\x00"),
        (b"\xf9\x7e\x00", b"\xfa\x7f\xc0\x00\x01"),
        (b"\x61\xff", b"\x61\xfe"),
    ];
    for (a, b) in same {
        let rejection = rejection([b"\xa3\x61t\x02", a, b"\x00", b, b"\x00"].concat());
        assert!(rejection.to_string().contains("a key twice"), "{rejection}");
    }
    let differ: [(&[u8], &[u8]); 2] = [(b"\x01", b"\x611"), (b"\x61a", b"\x61A")];
    for (a, b) in differ {
        let bytes = [b"\xa3\x61t\x02", a, b"\x00", b, b"\x00"].concat();
        assert!(decode(&mut ChannelCodec::new(), &bytes.into()).is_ok());
    }
}

#[test]
fn a_large_key_in_invalid_utf8_is_rejected_and_not_copied() {
    let key = |len: usize| {
        let head = [&[0x7a][..], &(len as u32).to_be_bytes()].concat();
        [b"\xa2\x61t\x02", &head[..], &vec![0xff; len], b"\x00"].concat()
    };
    assert!(decode(&mut ChannelCodec::new(), &key(64 << 10).into()).is_ok());
    assert_eq!(
        rejection(key((64 << 10) + 1)).to_string(),
        "payload not decoded: keys of more than 64 KiB that are no UTF-8 at byte 4"
    );
    // A valid one is not copied, whatever its size.
    let mut valid = key(1 << 20);
    valid[9..9 + (1 << 20)].fill(b'k');
    assert!(decode(&mut ChannelCodec::new(), &valid.into()).is_ok());
}

#[test]
fn the_error_of_a_text_over_its_limit() {
    let text = |len: usize| {
        let mut bytes = vec![0x7a];
        bytes.extend((len as u32).to_be_bytes());
        bytes.extend(vec![b'x'; len]);
        bytes
    };
    let cases = [
        (
            [
                b"\xa3\x61t\x01\x62id".to_vec(),
                text(1_025),
                b"\x61y\x64user".to_vec(),
            ],
            "not a message: id: peerId of 1025 bytes exceeds the limit of 1024",
        ),
        (
            [b"\xa2\x61t\x13\x63doc".to_vec(), text(513), vec![]],
            "docId of 513 bytes exceeds the limit of 512",
        ),
        (
            [
                b"\xa3\x61t\x11\x63doc\x61d\x61v".to_vec(),
                text((1 << 20) + 1),
                vec![],
            ],
            "not a message: v: text of 1048577 bytes exceeds the limit of 1048576",
        ),
        (
            [
                b"\xa2\x61t\x10\x64docs\x81\xa4\x61d\x60\x62rt\x83\x60\x00\x00\x62ms\x00\x62sh"
                    .to_vec(),
                text(257),
                vec![],
            ],
            "schema hash of 257 bytes exceeds the limit of 256",
        ),
        (
            [
                b"\xa2\x61t\x10\x64docs\x81\xa4\x61d\x60\x62rt\x83".to_vec(),
                text(1_025),
                b"\x00\x00\x62ms\x00\x62sh\x60".to_vec(),
            ],
            "not a message: docs.0.rt: text of 1025 bytes exceeds the limit of 1024",
        ),
    ];
    for (parts, expected) in cases {
        assert_eq!(rejection(parts.concat()).to_string(), expected);
    }
}

#[test]
fn the_serde_codec_has_limits_too() {
    let mut deep = vec![0x81_u8; 100_000];
    deep.push(0);
    let mut codec = SerdeCodec::<ciborium::Value>::new();
    let refused = |codec: &mut SerdeCodec<ciborium::Value>, bytes: Vec<u8>| {
        let bytes = Bytes::from(bytes);
        codec
            .decode(Payload::new(&bytes, 0..bytes.len()))
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&mut codec, deep).contains("nested deeper than"));
    assert!(refused(&mut codec, b"\x01\x02".to_vec()).contains("bytes after the item at byte 1"));
    assert!(refused(&mut codec, b"\x5b\x00\xff\xff\xff\xff\xff\xff\xff".to_vec()).contains("ends"));
    assert!(refused(&mut codec, b"\x9b\x00\xff\xff\xff\xff\xff\xff\xff".to_vec()).contains("ends"));
    assert!(refused(&mut codec, b"".to_vec()).contains("ends"));
}
