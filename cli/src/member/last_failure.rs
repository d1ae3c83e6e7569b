//! Why a client's last attempt or connection failed: its states do not carry the reason, but
//! its policy receives it.

use std::sync::{Arc, Mutex, PoisonError};

use kyneta_uds::{DisconnectReason, Failure, ReconnectPolicy, Recover, Wait};

/// The last reason, shared by the policy that records it and the code that reports it.
#[derive(Debug, Clone, Default)]
pub(super) struct LastFailure {
    reason: Arc<Mutex<Option<DisconnectReason>>>,
}

impl LastFailure {
    pub(super) fn get(&self) -> Option<DisconnectReason> {
        let reason = self.reason.lock();
        reason.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: &DisconnectReason) {
        let last = self.reason.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
    }
}

/// A policy that records the reason of each failure.
#[derive(Debug, Clone)]
pub(super) struct RecordingPolicy {
    pub(super) policy: ReconnectPolicy,
    pub(super) last: LastFailure,
}

impl Recover for RecordingPolicy {
    fn recover(&mut self, failure: Failure<'_>) -> Result<Wait, DisconnectReason> {
        self.last.set(failure.reason());
        self.policy.recover(failure)
    }

    fn is_on(&self) -> bool {
        self.policy.is_on()
    }
}
