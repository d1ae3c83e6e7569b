//! The bounds of a machine.
//!
//! In: the setters. Out: bounds with their defaults. Pure.

/// Bounds. What is refused because of one is reported.
///
/// ```
/// let limits = kyneta_uds_sync::SyncLimits::default().max_opened_by_peer(10_000);
/// # let _ = limits;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncLimits {
    pub(crate) max_opened: usize,
    pub(crate) max_opened_by_peer: usize,
    pub(crate) max_destroyed: usize,
    pub(crate) max_away: usize,
}

impl Default for SyncLimits {
    fn default() -> Self {
        Self {
            max_opened: 65_536,
            max_opened_by_peer: 4_096,
            max_destroyed: 4_096,
            max_away: 1_024,
        }
    }
}

impl SyncLimits {
    /// How many documents may be here because peers have presented them: opened, replicated or deferred. 65,536
    /// by default. Documents that this side opens by itself do not count.
    pub const fn max_opened(mut self, max: usize) -> Self {
        self.max_opened = max;
        self
    }

    /// How many of them one peer may present. 4,096 by default.
    pub const fn max_opened_by_peer(mut self, max: usize) -> Self {
        self.max_opened_by_peer = max;
        self
    }

    /// How many destroyed documents are remembered, so that a peer that presents one does not bring it back. 4,096
    /// by default; then the oldest is forgotten.
    pub const fn max_destroyed(mut self, max: usize) -> Self {
        self.max_destroyed = max;
        self
    }

    /// How many peers without a channel are remembered. 1,024 by default; then the one that is away longest has
    /// departed.
    pub const fn max_away(mut self, max: usize) -> Self {
        self.max_away = max;
        self
    }
}
