//! How two versions of a document stand to each other: what the machine asks of the substrates.

use kyneta_uds_core::{DocEntry, Version};

/// How the version here stands to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// Both hold the same.
    Equal,
    /// This one holds all that the other one does, and more.
    Ahead,
    /// The other one holds all that this one does, and more.
    Behind,
    /// Each holds what the other one lacks.
    Concurrent,
    /// The two histories began apart, and a serialized document holds one of them.
    Unrelated {
        /// Which history stays, if no policy decides. The same one on both sides.
        ours_stays: bool,
    },
}

/// Compares versions, as the substrate of a document does.
///
/// ```
/// use kyneta_uds_core::{DocEntry, Version};
/// use kyneta_uds_sync::{Relation, Versions};
///
/// /// Versions that are numbers.
/// struct Numbers;
///
/// impl Versions for Numbers {
///     fn relation(&self, _: &DocEntry, ours: &Version, theirs: &Version) -> Option<Relation> {
///         let (ours, theirs): (u64, u64) = (ours.parse().ok()?, theirs.parse().ok()?);
///         Some(match ours.cmp(&theirs) {
///             std::cmp::Ordering::Less => Relation::Behind,
///             std::cmp::Ordering::Equal => Relation::Equal,
///             std::cmp::Ordering::Greater => Relation::Ahead,
///         })
///     }
/// }
/// ```
pub trait Versions {
    /// How `ours` stands to `theirs`, which a peer has sent; `None` when that is no version of this kind of
    /// document. The entry says the kind: its replica type and its mode.
    fn relation(&self, doc: &DocEntry, ours: &Version, theirs: &Version) -> Option<Relation>;
}
