//! Our bytes read by ciborium, ciborium's bytes read by us, keys in any order.

use bytes::Bytes;
use ciborium::Value;
use kyneta_uds_cbor::{ChannelCodec, Codec, DecodeLimits};
use kyneta_uds_core::{
    AliasFault, ChannelMsg, DocEntry, DocId, Establish, Features, Identity, Message as _, Payload,
    Rejection, ReplicaType, SchemaHash, WireVersion, WriteBuf,
};

use crate::{
    oracle::{self, with_unknown_key},
    random::Random,
};

/// Miri takes a thousand times as long.
const ROUNDS: usize = if cfg!(miri) { 100 } else { 4_000 };

pub(crate) fn encode(codec: &mut ChannelCodec, msg: &ChannelMsg) -> Bytes {
    let mut buf = WriteBuf::default();
    codec.encode(msg, &mut buf.writer()).unwrap();
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let filled = buf.slices(&mut slices);
    slices[..filled]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

pub(crate) fn decode(codec: &mut ChannelCodec, bytes: &Bytes) -> Result<ChannelMsg, Rejection> {
    codec.decode(Payload::new(bytes, 0..bytes.len()))
}

fn to_value(bytes: &[u8]) -> Value {
    ciborium::from_reader(bytes).unwrap()
}

fn to_bytes(value: &Value) -> Bytes {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes.into()
}

/// Every map's keys in another order, some unknown ones among them; floats may come in any width
/// but half, which the protocol has not.
fn shuffle(value: &mut Value, random: &mut Random) {
    match value {
        Value::Map(pairs) => {
            for (_, value) in pairs.iter_mut() {
                shuffle(value, random);
            }
            if random.below(2) == 0 {
                let deep =
                    Value::Array(vec![Value::Map(vec![(7.into(), Value::Null)]), true.into()]);
                pairs.push(("zz".into(), deep));
                pairs.push((Value::from(random.next() % 9), "odd".into()));
            }
            for last in (1..pairs.len()).rev() {
                pairs.swap(last, random.below(last + 1));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shuffle(item, random)),
        _ => {}
    }
}

/// Both ends of a connection on which aliases are in use.
fn established() -> (ChannelCodec, ChannelCodec) {
    let (mut ours, mut theirs) = (ChannelCodec::new(), ChannelCodec::new());
    let establish = Establish::new(Identity::service("a").unwrap()).features(Features::aliasing());
    let msg = ChannelMsg::Establish(establish);
    let bytes = encode(&mut ours, &msg);
    assert_eq!(decode(&mut theirs, &bytes).unwrap(), msg);
    let bytes = encode(&mut theirs, &msg);
    assert_eq!(decode(&mut ours, &bytes).unwrap(), msg);
    (ours, theirs)
}

#[test]
fn our_bytes_are_what_the_oracle_says() {
    let mut random = Random::new(1);
    for _ in 0..ROUNDS {
        let msg = random.message();
        // A fresh codec knows no alias and announces some, which the oracle does not.
        let mut value = to_value(&encode(&mut ChannelCodec::new(), &msg));
        oracle::without_announcements(&mut value);
        assert_eq!(value, oracle::value(&msg), "{msg:?}");
    }
}

#[test]
fn what_ciborium_writes_is_read_in_any_order() {
    let mut random = Random::new(2);
    for _ in 0..ROUNDS {
        let msg = random.message();
        let mut value = oracle::value(&msg);
        // Half floats are not of the protocol; ciborium writes 0.5 and the infinities as such.
        let ordered = to_bytes(&value);
        shuffle(&mut value, &mut random);
        let shuffled = to_bytes(&value);
        if has_finite_half(&value) {
            let refused = decode(&mut ChannelCodec::new(), &ordered);
            assert!(
                matches!(refused, Err(Rejection::Decode { .. })),
                "{refused:?}"
            );
            continue;
        }
        assert_eq!(decode(&mut ChannelCodec::new(), &ordered).unwrap(), msg);
        assert_eq!(decode(&mut ChannelCodec::new(), &shuffled).unwrap(), msg);
    }
}

fn has_finite_half(value: &Value) -> bool {
    match value {
        Value::Map(pairs) => pairs.iter().any(|(_, value)| has_finite_half(value)),
        Value::Array(items) => items.iter().any(has_finite_half),
        Value::Float(number) => *number == 0.5,
        _ => false,
    }
}

/// The expected order takes one way through the decoder, any other order the other way: two
/// connections on which one and the other are used throughout stay equal.
#[test]
fn both_ways_of_reading_agree() {
    let mut random = Random::new(3);
    let (mut sender, mut ordered) = established();
    let mut shuffled = ordered.clone();
    let mut aliased = 0;
    for _ in 0..ROUNDS {
        let msg = random.message();
        let bytes = encode(&mut sender, &msg);
        let mut value = to_value(&bytes);
        aliased += usize::from(
            value
                .as_map()
                .unwrap()
                .iter()
                .any(|(key, _)| *key == "dx".into()),
        );
        shuffle(&mut value, &mut random);
        let other = reencode(&value);
        let first = decode(&mut ordered, &bytes).unwrap();
        assert_eq!(first, msg);
        assert_eq!(decode(&mut shuffled, &other).unwrap(), first);
    }
    assert!(aliased > ROUNDS / 20, "aliases were in use: {aliased}");
}

/// As ciborium, but floats of 32 and 64 bits alone.
fn reencode(value: &Value) -> Bytes {
    fn write(value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::Float(number) => {
                out.push(0xfb);
                out.extend(number.to_be_bytes());
            }
            Value::Map(pairs) => {
                head(0xa0, pairs.len(), out);
                for (key, value) in pairs {
                    write(key, out);
                    write(value, out);
                }
            }
            Value::Array(items) => {
                head(0x80, items.len(), out);
                items.iter().for_each(|item| write(item, out));
            }
            other => out.extend(to_bytes(other)),
        }
    }
    fn head(major: u8, len: usize, out: &mut Vec<u8>) {
        assert!(len < 24);
        out.push(major | len as u8);
    }
    let mut out = Vec::new();
    write(value, &mut out);
    out.into()
}

/// Any byte changed or dropped gives the same verdict on both ways, or no message at all.
#[test]
fn damaged_messages_are_refused_or_read_alike() {
    let mut random = Random::new(4);
    let mut read = 0;
    for _ in 0..ROUNDS {
        let msg = random.message();
        let mut bytes = encode(&mut ChannelCodec::new(), &msg).to_vec();
        if bytes.len() > 300 {
            continue;
        }
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes.truncate(at),
            _ => {
                bytes.remove(at);
            }
        }
        let damaged = Bytes::from(bytes);
        let verdict = decode(&mut ChannelCodec::new(), &damaged);
        // An unknown key in front sends it the general way.
        let Some(detour) = with_unknown_key(&damaged) else {
            continue;
        };
        let detour = decode(&mut ChannelCodec::new(), &detour);
        match (&verdict, &detour) {
            (Ok(first), Ok(second)) => {
                read += 1;
                assert!(first == second || format!("{first:?}") == format!("{second:?}"));
            }
            (Err(first), Err(second)) => assert_eq!(first.code(), second.code()),
            other => panic!("{other:?} of {damaged:02x?}"),
        }
    }
    assert!(read > ROUNDS / 40, "{read}");
}

fn entry(doc: &str, hash: &str) -> DocEntry {
    DocEntry::new(
        DocId::new(doc).unwrap(),
        ReplicaType::new("loro", 1.0, 0.0).unwrap(),
        SchemaHash::new(hash).unwrap(),
    )
}

#[test]
fn outbound_aliases_are_bounded_and_the_rest_goes_in_full() {
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
fn inbound_aliases_are_bounded_in_number_and_bytes() {
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
        // What was announced before still counts.
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

/// 1.x peers know neither key: on their wire an odd value in one does not cost the message.
#[test]
fn wire_2_tolerates_what_its_peers_do_not_check() {
    let odd = [
        &b"\xa4\x61t\x01\x62id\x61p\x61y\x64user\x62pv\x01"[..],
        b"\xa7\x61t\x12\x62pk\x00\x62pe\x00\x61d\x60\x61v\x60\x63doc\x61d\x62ln\x01",
    ];
    for bytes in odd {
        let read = Bytes::copy_from_slice(bytes);
        let payload = Payload::new(&read, 0..read.len());
        assert!(
            ChannelCodec::new()
                .decode(payload.on(WireVersion::V2))
                .is_ok()
        );
        for payload in [payload.on(WireVersion::V3), payload] {
            let refused = ChannelCodec::new().decode(payload).unwrap_err();
            assert_eq!(refused.code(), "invalid-wire-message");
        }
    }
}

#[test]
fn bulk_is_a_range_of_the_read_buffer() {
    let bytes = Bytes::from(
        [
            b"\xa8\x61t\x12\x62pk\x00\x62pe\x01\x61d\x58\xc8",
            &[7; 200][..],
            b"\x61v\x71a version of 17 B\x63doc\x61d\x61r\xf5\x62ln\x64line",
        ]
        .concat(),
    );
    let shuffled = with_unknown_key(&bytes).unwrap();
    for read in [bytes, shuffled] {
        let within = |part: &[u8]| read.as_ptr_range().contains(&part.as_ptr());
        let Ok(ChannelMsg::Offer(offer)) = decode(&mut ChannelCodec::new(), &read) else {
            panic!("an offer");
        };
        assert!(within(offer.data.as_slice()));
        assert!(within(offer.version.as_bytes()));
        assert_eq!(offer.lineage.unwrap().as_str(), "line");
    }
}

#[test]
fn a_message_holds_at_most_twice_what_it_counts_however_its_frame_is_padded() {
    let offers: [&[u8]; 2] = [
        b"\xa7\x61t\x12\x62pk\x00\x62pe\x01\x61d\x58\x20 32 bytes of data, in the middle",
        b"\xa7\x61t\x12\x62pk\x00\x62pe\x01\x61d\x78\x20 32 bytes of text, in the middle",
    ];
    let offers =
        offers.map(|offer| [offer, b"\x61v\x71a version of 17 B\x63doc\x61d\x61x"].concat());
    let interest = b"\xa4\x61t\x11\x63doc\x61d\x61v\x71a version of 17 B\x61x".to_vec();
    for message in offers.into_iter().chain([interest]) {
        for padding in [0, 100, 5_000, 1 << 20] {
            let head = [&[0x5a][..], &(padding as u32 + 24).to_be_bytes()].concat();
            let read = Bytes::from([&message[..], &head, &vec![0; padding + 24]].concat());
            let decoded = decode(&mut ChannelCodec::new(), &read).unwrap();
            // Whoever holds a range of it is another owner.
            let holds = if read.is_unique() { 0 } else { read.len() };
            assert!(
                holds <= 2 * decoded.size(),
                "{padding} bytes of padding: holds {holds}, counts {}",
                decoded.size()
            );
        }
    }
}
