//! Our codec against ciborium's, and its two ways of reading against each other.
//!
//! `random` makes messages, `oracle` says what CBOR they are; `agreement` and `hostile` compare.

mod agreement;
mod hostile;
mod oracle;
mod random;
mod typed;
