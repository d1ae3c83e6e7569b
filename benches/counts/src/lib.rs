//! Empty: this package is the bench `../counts.rs`.
