//! Every case of the reference's vectors, both wire versions, byte for byte.
//!
//! `vectors` reads the files, `json` compares messages with their JSON form, `peer` is one side of
//! a connection without a socket; `sessions`, `inbound` and `captured` are the three kinds of case,
//! `differences` lists what ours does otherwise on purpose.

mod captured;
mod differences;
mod inbound;
mod json;
mod peer;
mod sessions;
mod vectors;
