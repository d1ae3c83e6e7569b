//! What our codec reads: the bytes of ciborium, keys in any order, damaged messages; `fast` and `general` agree.
//!
//! Damage is done by a fixed seed. A failure shows the payload in hex, and what each decoder makes of it.

use bytes::Bytes;
use ciborium::Value;
use kyneta_uds_cbor::{ChannelCodec, Codec as _};
use kyneta_uds_core::{ChannelMsg, Message as _, Payload, Rejection, WireVersion};

use crate::{
    oracle::{self, with_unknown_key},
    random::Random,
    support::{ROUNDS, decode, encode, established, to_bytes, to_value},
};

/// Puts the keys of every map in another order, with some unknown keys.
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

#[test]
fn what_ciborium_writes_is_read_in_any_order() {
    let mut random = Random::new(2);
    for _ in 0..ROUNDS {
        let msg = random.message();
        let mut value = oracle::value(&msg);
        // Finite half floats are not part of the protocol; ciborium writes 0.5 as one.
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

/// The `fast` decoder reads the expected key order, `general` any other: two connections that use one of them
/// throughout stay equal.
#[test]
fn both_decoders_agree() {
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

/// As ciborium writes it, but with all floats of 64 bits.
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

/// With any byte changed or removed, both decoders return the same message or both an error.
#[test]
fn both_decoders_agree_on_damaged_messages() {
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
        // An unknown key in front makes `general` read it.
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

/// 1.x peers know neither key, so on their wire version an invalid value is ignored.
#[test]
fn wire_version_2_tolerates_what_its_peers_do_not_check() {
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

/// A link alone writes the key; to all others it is one that they do not know.
#[test]
fn a_base_that_is_no_text_is_ignored() {
    for (base, expected) in [(&b"\x61b"[..], Some("b")), (b"\x01", None), (b"\xf6", None)] {
        let offer =
            b"\xa7\x61t\x12\x62pk\x00\x62pe\x00\x61d\x60\x61v\x60\x63doc\x61d\x61b".as_slice();
        let bytes = Bytes::from([offer, base].concat());
        let Ok(ChannelMsg::Offer(offer)) = decode(&mut ChannelCodec::new(), &bytes) else {
            panic!("{base:x?}");
        };
        assert_eq!(offer.base.as_ref().map(|base| base.as_str()), expected);
    }
}

#[test]
fn large_data_is_a_range_of_the_read_buffer() {
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
            // A range of it is another owner.
            let holds = if read.is_unique() { 0 } else { read.len() };
            assert!(
                holds <= 2 * decoded.size(),
                "{padding} bytes of padding: holds {holds}, counts {}",
                decoded.size()
            );
        }
    }
}
