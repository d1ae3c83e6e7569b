//! Base64 as JavaScript's `atob` reads it: blanks are left out, the padding is whole or absent.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::Fault;

const fn engine(padding: DecodePaddingMode) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(padding);
    GeneralPurpose::new(&STANDARD, config)
}

const PADDED: GeneralPurpose = engine(DecodePaddingMode::RequireCanonical);
const UNPADDED: GeneralPurpose = engine(DecodePaddingMode::RequireNone);

pub(super) fn decode(text: &str) -> Result<Vec<u8>, Fault> {
    let text: String = text
        .chars()
        .filter(|char| !char.is_ascii_whitespace())
        .collect();
    let engine = if text.contains('=') { PADDED } else { UNPADDED };
    engine.decode(text).map_err(|_| Fault::Base64)
}

pub(super) fn encode(bytes: &[u8]) -> String {
    PADDED.encode(bytes)
}
