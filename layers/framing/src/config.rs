//! Settings: the wire version, the largest frame, and the shared inbound budget. Touches nothing.

use kyneta_uds_core::WireVersion;

use crate::budget::InboundBudget;

/// Default limit of a frame's payload, bytes.
const MAX_FRAME: usize = 64 << 20;

/// How a connection's wire version is determined.
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
    /// By the first frame of the connection. An inbound frame has its version in its first byte; an outbound
    /// one is of version 3, or of the version given to [`begin_with`](kyneta_uds_core::Frames::begin_with).
    #[default]
    Auto,
    /// It is fixed. Frames of the other version are skipped and reported.
    Fixed(WireVersion),
}

/// The settings of a [`FrameTransport`](crate::FrameTransport). Clones share the inbound budget.
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

    /// Sets how the wire version is determined. Default: [`WireMode::Auto`].
    #[must_use]
    pub const fn wire(mut self, mode: WireMode) -> Self {
        self.wire = mode;
        self
    }

    /// Limits a frame's payload, in bytes, in both directions. A larger inbound frame ends the connection, a
    /// larger outbound one is an error of its message. Default: 64 MiB.
    #[must_use]
    pub const fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// Limits the memory for inbound frames of all connections that share `budget`. Default: no limit; `FramingLayer`
    /// sets one.
    #[must_use]
    pub fn inbound_budget(mut self, budget: InboundBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// How the wire version is determined.
    pub const fn wire_mode(&self) -> WireMode {
        self.wire
    }

    /// The limit of a frame's payload, bytes.
    pub const fn frame_limit(&self) -> usize {
        self.max_frame
    }

    /// The shared inbound budget, if there is one.
    pub const fn shared_inbound_budget(&self) -> Option<&InboundBudget> {
        self.budget.as_ref()
    }
}

impl Default for FramingConfig {
    fn default() -> Self {
        Self::new()
    }
}
