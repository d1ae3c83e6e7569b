//! What handles accepted connections, and what a peer reports to.
//!
//! In: accepted channels, roles, errors. Out: an entered handle for each channel. What it may touch is up to the
//! implementor.

use std::{any::Any, future::Future};

use kyneta_uds_core::{SharedError, panic_text};
use kyneta_uds_unix::{ConnectionPermit, DirectoryRisk, RejectReason};

use crate::{entrance::Entrance, machine::Role, role_wait::RoleWait};

/// Handles accepted connections, and takes the reports of an [`Acceptor`](crate::Acceptor) or a peer. `C` is
/// the channel, `E` the error of its make service, `M` the message. A panic in a report costs nothing else.
///
/// [`NegotiateLayer::new`](crate::NegotiateLayer::new) uses [`PerPeer`](crate::PerPeer).
#[allow(unused_variables)] // A default method ignores its report.
pub trait AcceptHandler<C, E, M>: Clone + Send + 'static {
    /// Has a channel driven, and enters the handle of its queue; if it does not, the connection was not kept.
    /// What is sent to all goes into each of these queues, and waits until each has room. The connection
    /// counts against the listener's limits until `permit` is dropped.
    fn accept(
        self,
        channel: C,
        permit: ConnectionPermit,
        entrance: Entrance<M>,
    ) -> impl Future<Output = ()> + Send;

    /// An accepted stream did not become a channel.
    fn accept_failed(&self, error: E);

    /// The make service, or [`accept`](Self::accept), has panicked; the connection is lost. It has been
    /// logged.
    fn panicked(&self, error: AcceptPanicked) {}

    /// A connection was rejected and closed at once. It has been logged.
    fn rejected(&self, refusal: &RejectReason) {}

    /// The directory of the listener's path lets other users replace the socket. It has been logged.
    fn directory_risk(&self, risk: &DirectoryRisk) {}

    /// A message to all was dropped: no connection was there to get it, and none is expected.
    fn unheard(&self) {}

    /// The role from now on.
    fn role_changed(&self, role: Role) {}

    /// There has been no role for a second or more. It has been logged, and is reported again after pauses
    /// that grow, as long as there is none.
    fn waiting(&self, waiting: &RoleWait) {}

    /// An obstacle at the path does not go away by itself; it is tried again all the same.
    fn in_the_way(&self, error: &SharedError) {}
}

/// Code of the user's panicked while a connection was accepted.
#[derive(Debug, thiserror::Error)]
#[error("making a peer of an accepted connection panicked: {0}")]
pub struct AcceptPanicked(String);

impl AcceptPanicked {
    pub(crate) fn new(panic: &(dyn Any + Send)) -> Self {
        Self(panic_text(panic).unwrap_or("no text").to_owned())
    }
}
