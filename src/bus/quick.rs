//! Maps of members and numbers, for each message.
//!
//! Ids are chosen by members, so the hash has a seed that no member knows. It takes a tenth of the instructions of std's,
//! which is made for keys of any enemy.

use std::collections::HashMap;

/// A map with this hash.
pub(crate) type QuickMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
