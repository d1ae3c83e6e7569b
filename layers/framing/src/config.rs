//! What can be chosen: the wire version, the largest frame, and the memory for all that arrive.
//!
//! Data; touches nothing.

use kyneta_uds_core::WireVersion;

use crate::budget::InboundBudget;

/// Payload bytes of the largest frame, unless chosen otherwise: 64 MiB.
const MAX_FRAME: usize = 64 << 20;

/// How a connection's wire version is found.
///
/// ```
/// use kyneta_uds_core::WireVersion;
/// use kyneta_uds_framing::WireMode;
///
/// assert_eq!(WireMode::default(), WireMode::Auto);
/// let old_peers_only = WireMode::Fixed(WireVersion::V2);
/// # let _ = old_peers_only;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WireMode {
    /// The first frame of the connection settles it. An inbound one says it in its first byte; an
    /// outbound one is of version 3, or of what
    /// [`begin_with`](kyneta_uds_core::Frames::begin_with) said.
    #[default]
    Auto,
    /// It is known. Frames of the other version are skipped and reported.
    Fixed(WireVersion),
}

/// What a [`FrameTransport`](crate::FrameTransport) is made with. Clones share the inbound budget.
///
/// ```
/// use kyneta_uds_framing::{FramingConfig, WireMode};
///
/// let config = FramingConfig::new().max_frame(1 << 20);
/// assert_eq!(config.wire_mode(), WireMode::Auto);
/// assert_eq!(config.frame_limit(), 1 << 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramingConfig {
    wire: WireMode,
    max_frame: usize,
    budget: Option<InboundBudget>,
}

impl FramingConfig {
    /// Automatic wire version, frames of up to 64 MiB, no inbound budget.
    pub const fn new() -> Self {
        Self {
            wire: WireMode::Auto,
            max_frame: MAX_FRAME,
            budget: None,
        }
    }

    /// Chooses how the wire version is found.
    #[must_use]
    pub const fn wire(mut self, mode: WireMode) -> Self {
        self.wire = mode;
        self
    }

    /// Bounds a frame's payload, in bytes, in both directions. An inbound frame above it ends the
    /// connection, an outbound one is refused.
    #[must_use]
    pub const fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// Bounds what arrives on all connections that are given a clone of `budget`.
    #[must_use]
    pub fn inbound_budget(mut self, budget: InboundBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// How the wire version is found.
    pub const fn wire_mode(&self) -> WireMode {
        self.wire
    }

    /// The most payload bytes of a frame.
    pub const fn frame_limit(&self) -> usize {
        self.max_frame
    }

    /// What bounds all that arrives, if anything does.
    pub const fn shared_inbound_budget(&self) -> Option<&InboundBudget> {
        self.budget.as_ref()
    }
}

impl Default for FramingConfig {
    fn default() -> Self {
        Self::new()
    }
}
