//! A stack with the layer, over real sockets: what it admits and what it joins, what it reports while it
//! has no role, how it moves, and that its end is reported.
#![allow(clippy::unwrap_used, clippy::panic)]

mod admission;
mod ending;
mod entering;
mod holding;
mod moving;
mod support;
mod waiting;
