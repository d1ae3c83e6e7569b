//! Which format of the handoff both sides understand.

/// The newest format of the handoff that this version speaks.
pub const FORMAT: u32 = 2;

/// The oldest one.
const OLDEST: u32 = 1;

/// The first in which bytes go [ahead](crate::Word::Ahead).
pub(super) const WITH_AHEAD: u32 = 2;

/// The formats that a process understands, from the oldest to the newest.
///
/// ```
/// use kyneta_uds_handoff::Formats;
/// let (old, new) = (Formats { oldest: 1, newest: 2 }, Formats { oldest: 2, newest: 5 });
/// assert_eq!(old.common(new), Some(2));
/// assert_eq!(old.common(Formats { oldest: 3, newest: 5 }), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Formats {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl Formats {
    /// Those of this version.
    pub const OURS: Self = Self {
        oldest: OLDEST,
        newest: FORMAT,
    };

    /// The newest format that both understand.
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}
