//! What is looked at equals what is decoded by value.
//!
//! A failure shows the view, and the message.

use bytes::Bytes;
use kyneta_uds_cbor::{ChannelCodec, Codec, Looked};
use kyneta_uds_core::{ByReference as _, ChannelMsg, Lineage, Offer, Payload, Rejection, Version};

use crate::{
    random::Random,
    support::{ROUNDS, decode, encode, established},
};

/// What a look saw, by value; whether it saw it.
fn look(codec: &mut ChannelCodec, bytes: &Bytes) -> (Result<ChannelMsg, Rejection>, bool) {
    let mut seen = None;
    let payload = Payload::new(bytes, 0..bytes.len());
    match codec.look(payload, |msg| seen = Some(msg.to_message())) {
        Looked::Seen => (Ok(seen.unwrap()), true),
        Looked::Decoded(decoded) => {
            assert!(seen.is_none());
            (decoded, false)
        }
    }
}

#[test]
fn both_ways_give_the_same_of_every_message_and_of_broken_ones() {
    let mut random = Random::new(7);
    let (mut ours, mut by_value) = established();
    let mut by_ref = by_value.clone();
    let (mut offers, mut shown) = (0, 0);
    for _ in 0..ROUNDS {
        let msg = random.message();
        let mut bytes = encode(&mut ours, &msg);
        let breaks = random.below(4) == 0;
        if breaks {
            let (at, mut broken) = (random.below(bytes.len().min(60)), bytes.to_vec());
            broken[at] ^= 1 << random.below(8);
            bytes = broken.into();
        }
        let value = decode(&mut by_value, &bytes);
        let (seen, was_shown) = look(&mut by_ref, &bytes);
        assert_eq!(format!("{seen:?}"), format!("{value:?}"));
        if let Ok(ChannelMsg::Offer(offer)) = &value
            && !breaks
            && offer.base.is_none()
        {
            offers += 1;
            shown += usize::from(was_shown);
        }
    }
    // All, but those whose text begins with a byte order mark.
    assert_eq!((offers > ROUNDS / 20, shown), (true, offers));
}

#[test]
fn a_view_of_a_message_is_that_message() {
    let mut random = Random::new(8);
    for _ in 0..ROUNDS / 4 {
        let msg = random.message();
        let view = msg.reference();
        // Not a number is in a present.
        assert_eq!(format!("{:?}", view.to_message()), format!("{msg:?}"));
        assert_eq!((view.kind(), view.doc()), (msg.kind(), msg.doc()));
    }
}

#[test]
fn a_lineage_that_is_not_kept_is_decoded_by_value() {
    let (mut ours, mut theirs) = established();
    for (len, expected) in [
        (10, true),
        (1 << 10, true),
        ((1 << 10) + 1, false),
        (9, true),
    ] {
        let version = Version::new("1").unwrap();
        let doc = kyneta_uds_core::DocId::new("d").unwrap();
        let offer = Offer::binary(doc, version, vec![1, 2]);
        let lineage = Lineage::new("x".repeat(len)).unwrap();
        let msg = ChannelMsg::from(offer.lineage(lineage));
        let bytes = encode(&mut ours, &msg);
        assert_eq!(look(&mut theirs, &bytes), (Ok(msg), expected), "{len}");
    }
}
