//! Three machines in network namespaces: listeners that are killed, links that are cut, delayed and lossy.
//!
//! Needs root, `ip` and `nft`: elsewhere each test says that it is skipped, and does nothing. Long when asked for by
//! `KYNETA_NAMESPACES=long`.

mod bus;
#[cfg(feature = "loro")]
mod documents;
mod forwarder;
mod leaves_nothing;
mod net;

use std::env;

/// How often something is done: in the short form, and in the long one.
fn times(short: usize, long: usize) -> usize {
    match env::var("KYNETA_NAMESPACES").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}
