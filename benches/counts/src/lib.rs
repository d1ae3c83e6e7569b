//! Nothing: what is here is the bench `../counts.rs`.
