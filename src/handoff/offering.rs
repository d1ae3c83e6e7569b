//! The offer of a process that listens: successors that ask.
//!
//! In: the offer. Out: successors. May touch: the offer's socket.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixDatagram as ForeignDatagram,
    },
    path::Path,
    time::Duration,
};

use kyneta_uds_core::SocketPath;
use kyneta_uds_handoff::{Asking, Offer};
use tokio::{io::Interest, net::UnixDatagram, time::sleep};

use super::{HandoffPolicy, not_handed_over};
use crate::{builder::Settings, event_sender::EventSender};

/// After a failure of the kernel's.
const PAUSE: Duration = Duration::from_secs(1);

/// An offer that is waited for.
#[derive(Debug)]
pub(crate) struct Offering {
    offer: Offer,
    /// A copy of its socket, whose readiness tokio watches. No datagram is read from it.
    watched: UnixDatagram,
    pub(crate) policy: HandoffPolicy,
}

impl Offering {
    pub(crate) fn bind(path: &Path, policy: HandoffPolicy) -> io::Result<Self> {
        Self::watched(Offer::bind(path)?, policy)
    }

    /// The offer of the predecessor.
    pub(crate) fn resume(socket: OwnedFd, path: &Path, policy: HandoffPolicy) -> io::Result<Self> {
        Self::watched(Offer::resume(socket, path)?, policy)
    }

    /// If it is to be offered. What fails is an event.
    pub(crate) fn of_role(settings: &Settings, path: &SocketPath) -> Option<Self> {
        let policy = settings.handoff.as_ref()?.policy;
        Self::of(path, policy, &settings.events)
    }

    /// What is served at `path`. What fails is an event.
    pub(crate) fn of(
        path: &SocketPath,
        policy: HandoffPolicy,
        events: &EventSender,
    ) -> Option<Self> {
        match Self::bind(path.as_pathname()?, policy) {
            Ok(offering) => Some(offering),
            Err(error) => {
                not_handed_over(events, error);
                None
            }
        }
    }

    fn watched(offer: Offer, policy: HandoffPolicy) -> io::Result<Self> {
        let copy = offer.as_fd().try_clone_to_owned()?;
        let watched = UnixDatagram::from_std(ForeignDatagram::from(copy))?;
        Ok(Self {
            offer,
            watched,
            policy,
        })
    }

    /// The next successor that asks.
    ///
    /// Cancel safe.
    pub(crate) async fn asked(&self) -> Asking {
        loop {
            let accepted = self.watched.async_io(Interest::READABLE, || {
                self.offer.accept()?.ok_or(io::ErrorKind::WouldBlock.into())
            });
            match accepted.await {
                Ok(asking) => return asking,
                Err(error) => {
                    tracing::warn!(%error, "a successor cannot be accepted; it is tried again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    pub(super) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Ends the offer.
    pub(crate) fn close(self) {
        self.offer.close();
    }
}
