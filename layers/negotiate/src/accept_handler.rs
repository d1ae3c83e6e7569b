//! What a peer does as the one who listens, and whom it tells of its role.
//!
//! In: channels that were accepted, roles, refusals. Out: a handle for each channel. What it may
//! touch is the implementor's to say.

use kyneta_uds_core::SharedError;
use kyneta_uds_queue::Handle;
use kyneta_uds_unix::{DirectoryRisk, RejectReason};

use crate::{machine::Role, role_wait::RoleWait};

/// Attends to those who have connected to us. `C` is the channel, `E` the error of its maker, `M`
/// the message.
///
/// [`PerPeer`] is the one that [`NegotiateLayer::new`](crate::NegotiateLayer::new) uses.
pub trait AcceptHandler<C, E, M>: Clone + Send + 'static {
    /// Takes a channel, sees that it is driven, and returns a handle to its queue. What is sent to
    /// the peer as a whole goes into each of these queues, and waits for each to have room.
    fn attend(&self, channel: C) -> Handle<M>;

    /// An accepted stream did not become a channel.
    fn not_attended(&self, error: E);

    /// Somebody has connected, and was hung up on at once. It has been logged.
    fn not_admitted(&self, refusal: &RejectReason) {
        let _ = refusal;
    }

    /// The directory of the path that we listen at lets others replace the socket. It has been logged.
    fn at_risk(&self, risk: &DirectoryRisk) {
        let _ = risk;
    }

    /// This is the role from now on.
    fn announced(&self, role: Role) {
        let _ = role;
    }

    /// There has been no role for a second or more. It has been logged, and is told again after pauses
    /// that grow, as long as there is none.
    fn waiting(&self, waiting: &RoleWait) {
        let _ = waiting;
    }

    /// Something is in the way that does not heal by itself; it is tried again all the same.
    fn refused(&self, error: &SharedError) {
        let _ = error;
    }
}
