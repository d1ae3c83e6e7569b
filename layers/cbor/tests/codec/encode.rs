//! What our codec writes, read by ciborium.

use kyneta_uds_cbor::{ChannelCodec, Codec as _};
use kyneta_uds_core::{ChannelMsg, DocId, Offer, SmallOffer, Version, WriteBuf};

use crate::{
    oracle,
    random::Random,
    support::{ROUNDS, encode, established, to_value},
};

#[test]
fn our_bytes_are_what_the_oracle_says() {
    let mut random = Random::new(1);
    for _ in 0..ROUNDS {
        let msg = random.message();
        // A new codec announces aliases, which the oracle does not.
        let mut value = to_value(&encode(&mut ChannelCodec::new(), &msg));
        oracle::without_announcements(&mut value);
        assert_eq!(value, oracle::value(&msg), "{msg:?}");
    }
}

/// Encodes it by reference if it is a small offer. True if so.
fn by_reference(codec: &mut ChannelCodec, msg: &ChannelMsg, expected: &[u8]) -> bool {
    if let ChannelMsg::Offer(offer) = msg
        && let Some(small) = SmallOffer::of(&offer.into())
    {
        let mut buf = WriteBuf::default();
        let (size, write) = codec.encode_offer(&small);
        write(&mut buf.writer());
        assert_eq!(
            (size, buf.to_vec()),
            (expected.len(), expected.to_vec()),
            "{msg:?}"
        );
        return true;
    }
    // Announces the same aliases.
    assert_eq!(encode(codec, msg), expected);
    false
}

#[test]
fn an_offer_by_reference_has_the_bytes_of_its_message() {
    let mut random = Random::new(2);
    let (mut ours, _) = established();
    let mut other = ours.clone();
    let mut count = 0;
    for _ in 0..ROUNDS {
        let msg = random.message();
        let bytes = encode(&mut ours, &msg);
        count += usize::from(by_reference(&mut other, &msg, &bytes));
    }
    assert!(count > ROUNDS / 50);
}

#[test]
fn so_it_has_at_every_length_of_its_parts() {
    let doc = DocId::new("d".repeat(300)).unwrap();
    for data in [0, 1, 23, 24, 100, 255, 256, 3840, 4071, 4072, 4095, 4096] {
        for version in [0, 1, 16, 17, 23, 24, 25, 255, 256] {
            for reciprocate in [None, Some(false), Some(true)] {
                let version = Version::new("v".repeat(version)).unwrap();
                let mut offer = Offer::json(doc.clone(), version, "x".repeat(data)).delta();
                offer.reciprocate = reciprocate;
                let is_small = data + offer.version.as_bytes().len() <= SmallOffer::MAX;
                let msg = ChannelMsg::from(offer);
                let (mut ours, mut other) = (ChannelCodec::new(), ChannelCodec::new());
                let bytes = encode(&mut ours, &msg);
                assert_eq!(by_reference(&mut other, &msg, &bytes), is_small);
            }
        }
    }
}
