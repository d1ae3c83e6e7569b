//! What our codec writes, read by ciborium.

use kyneta_uds_cbor::ChannelCodec;

use crate::{
    oracle,
    random::Random,
    support::{ROUNDS, encode, to_value},
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
