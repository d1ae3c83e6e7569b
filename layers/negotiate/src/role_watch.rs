//! The role, for those who look on, and their wish to leave.
//!
//! In: what the channel says of itself. Out: the present role, waits for another. Touches nothing.

use std::sync::Arc;

use kyneta_uds_core::SharedError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    machine::{Role, WaitReason},
    role_wait::RoleWait,
};

/// What a peer is, seen from outside. Cloneable; obtained from
/// [`NegotiateLayer::role_watch`](crate::NegotiateLayer::role_watch) before the stack is built.
#[derive(Debug, Clone)]
pub struct RoleWatch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    standing: watch::Sender<Standing>,
    leaving: CancellationToken,
}

#[derive(Debug, Clone)]
struct Standing {
    role: Role,
    /// What is in the way of a role.
    refusal: Option<SharedError>,
    /// What is waited for, once that has taken a second.
    waiting: Option<RoleWait>,
}

impl RoleWatch {
    pub(crate) fn new() -> Self {
        let standing = Standing {
            role: Role::Negotiating,
            refusal: None,
            waiting: None,
        };
        Self {
            inner: Arc::new(Inner {
                standing: watch::Sender::new(standing),
                leaving: CancellationToken::new(),
            }),
        }
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.inner.standing.borrow().role
    }

    /// Why there has been no role for a second or more, and for how long; or, of a listener, why its path
    /// could not be restored, so that new peers do not find it. `None` otherwise.
    pub fn waiting(&self) -> Option<RoleWait> {
        let waiting = self.inner.standing.borrow().waiting.clone();
        waiting.map(RoleWait::now)
    }

    /// Waits for a role, or for [`Role::Disposed`], after which there is no other: the channel was
    /// closed or dropped, on purpose, by a panic, or with its runtime. RoleWatch that last shorter than it
    /// takes to look may be missed.
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, wanted: impl Fn(Role) -> bool) -> Role {
        let mut standing = self.inner.standing.subscribe();
        loop {
            // What is wanted is not asked under the watch's lock.
            let role = standing.borrow_and_update().role;
            if wanted(role) || role == Role::Disposed || standing.changed().await.is_err() {
                return role;
            }
        }
    }

    /// Waits until there is a role, or something in its way that does not heal by itself.
    /// [`Role::Disposed`] is one: there will be no other. A listener that does not answer is waited for,
    /// and so is a lock that another process holds: put a timeout around it.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What is in the way: not permitted, not a socket, no directory, with the path; or the
    /// [`Waiting`], when the listener has turned this process away for a second. It is tried again all
    /// the same.
    pub async fn settled(&self) -> Result<Role, SharedError> {
        self.role_unless(|standing| {
            let turned_away = standing.waiting.as_ref();
            let turned_away = turned_away.filter(|waiting| waiting.why == WaitReason::TurnedAway);
            let refusal = standing.refusal.clone();
            refusal.or_else(|| Some(SharedError::new(turned_away?.clone())))
        })
        .await
    }

    /// As [`settled`](Self::settled), but a listener that turns this process away is waited for, too: it
    /// may have no place left just now.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What is in the way: not permitted, not a socket, no directory, with the path.
    pub async fn joined(&self) -> Result<Role, SharedError> {
        self.role_unless(|standing| standing.refusal.clone()).await
    }

    async fn role_unless(
        &self,
        in_the_way: impl Fn(&Standing) -> Option<SharedError>,
    ) -> Result<Role, SharedError> {
        let mut standing = self.inner.standing.subscribe();
        let settled = |standing: &Standing| match standing.role {
            Role::Negotiating => in_the_way(standing).map(Err),
            role => Some(Ok(role)),
        };
        match standing
            .wait_for(|standing| settled(standing).is_some())
            .await
        {
            Ok(standing) => settled(&standing).unwrap_or(Ok(standing.role)),
            // The sender lives in `self`.
            Err(_) => Ok(Role::Disposed),
        }
    }

    /// Leaves: a listener gives up its path at once, and the next one may take over while what
    /// waits is still sent. Nothing is connected to any more. The channel ends when it is closed.
    pub fn leave(&self) {
        self.inner.leaving.cancel();
    }

    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.inner.leaving
    }

    pub(crate) fn announce(&self, role: Role) {
        self.inner.standing.send_replace(Standing {
            role,
            refusal: None,
            waiting: None,
        });
    }

    pub(crate) fn wait(&self, waiting: RoleWait) {
        // What was there may hold an error of the user's: it is not dropped under the lock.
        let mut before = None;
        let standing = &self.inner.standing;
        standing.send_modify(|standing| before = standing.waiting.replace(waiting));
        drop(before);
    }

    /// Updates what [`waiting`](Self::waiting) returns; no wait ends by it.
    pub(crate) fn wait_on(&self, waiting: RoleWait) {
        let mut before = None;
        self.inner.standing.send_if_modified(|standing| {
            if standing.waiting.is_some() {
                before = standing.waiting.replace(waiting);
            }
            false
        });
        drop(before);
    }

    /// A listener's path is its own again.
    pub(crate) fn found(&self) {
        let mut before = None;
        let standing = &self.inner.standing;
        standing.send_modify(|standing| {
            before = (standing.waiting.take(), standing.refusal.take()).into();
        });
        drop(before);
    }

    pub(crate) fn refuse(&self, error: SharedError) {
        let mut before = None;
        let standing = &self.inner.standing;
        standing.send_modify(|standing| before = standing.refusal.replace(error));
        drop(before);
    }
}
