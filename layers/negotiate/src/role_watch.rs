//! The role, seen from outside, and the request to leave.
//!
//! In: what the channel reports. Out: the present role, waits for another. Touches nothing.

use std::sync::Arc;

use kyneta_uds_core::SharedError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    holding::Orders,
    machine::{Role, WaitReason},
    role_wait::RoleWait,
};

/// The role of a peer, seen from outside. Cloneable; obtained from
/// [`NegotiateLayer::role_watch`](crate::NegotiateLayer::role_watch) before the stack is built.
#[derive(Debug, Clone)]
pub struct RoleWatch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    status: watch::Sender<Status>,
    leaving: CancellationToken,
    orders: Orders,
}

#[derive(Debug, Clone)]
struct Status {
    role: Role,
    /// The obstacle at the path.
    obstacle: Option<SharedError>,
    /// Why there is no role, once that has taken a second.
    waiting: Option<RoleWait>,
}

impl RoleWatch {
    pub(crate) fn new() -> Self {
        let status = Status {
            role: Role::Negotiating,
            obstacle: None,
            waiting: None,
        };
        Self {
            inner: Arc::new(Inner {
                status: watch::Sender::new(status),
                leaving: CancellationToken::new(),
                orders: Orders::new(),
            }),
        }
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.inner.status.borrow().role
    }

    /// Why there has been no role for a second or more, and for how long; or, of a listener, why its path
    /// could not be restored, so that new peers do not find it. `None` otherwise.
    pub fn waiting(&self) -> Option<RoleWait> {
        let waiting = self.inner.status.borrow().waiting.clone();
        waiting.map(RoleWait::now)
    }

    /// Waits for a role, or for [`Role::Disposed`], after which there is no other: the channel was
    /// closed or dropped, on purpose, by a panic, or with its runtime. A role that ends before this task is
    /// polled may be missed.
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, wanted: impl Fn(Role) -> bool) -> Role {
        let mut status = self.inner.status.subscribe();
        loop {
            // Not called under the watch's lock.
            let role = status.borrow_and_update().role;
            if wanted(role) || role == Role::Disposed || status.changed().await.is_err() {
                return role;
            }
        }
    }

    /// Waits until there is a role, or an obstacle at the path that does not go away by itself.
    /// [`Role::Disposed`] counts as a role: there will be no other. A listener that does not answer is waited
    /// for, and so is a lock that another process holds: put a timeout around it.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// The obstacle: not permitted, not a socket, no directory, with the path; or the [`RoleWait`], when the
    /// listener has rejected this process for a second. It is tried again all the same.
    pub async fn settled(&self) -> Result<Role, SharedError> {
        self.role_unless(|status| {
            let rejected = status.waiting.as_ref();
            let rejected = rejected.filter(|waiting| waiting.why == WaitReason::Rejected);
            let obstacle = status.obstacle.clone();
            obstacle.or_else(|| Some(SharedError::new(rejected?.clone())))
        })
        .await
    }

    /// As [`settled`](Self::settled), but a listener that rejects this process is waited for, too: it may be
    /// at its limit of connections only for the moment.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// The obstacle: not permitted, not a socket, no directory, with the path.
    pub async fn joined(&self) -> Result<Role, SharedError> {
        self.role_unless(|status| status.obstacle.clone()).await
    }

    async fn role_unless(
        &self,
        obstacle: impl Fn(&Status) -> Option<SharedError>,
    ) -> Result<Role, SharedError> {
        let mut status = self.inner.status.subscribe();
        let settled = |status: &Status| match status.role {
            Role::Negotiating => obstacle(status).map(Err),
            role => Some(Ok(role)),
        };
        match status.wait_for(|status| settled(status).is_some()).await {
            Ok(status) => settled(&status).unwrap_or(Ok(status.role)),
            // The sender lives in `self`.
            Err(_) => Ok(Role::Disposed),
        }
    }

    /// Leaves: a listener gives up its path at once, and another peer may take over while queued messages are
    /// still sent. The peer connects no more. The channel ends when it is closed.
    pub fn leave(&self) {
        self.inner.leaving.cancel();
    }

    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.inner.leaving
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.inner.orders
    }

    pub(crate) fn announce(&self, role: Role) {
        self.inner.status.send_replace(Status {
            role,
            obstacle: None,
            waiting: None,
        });
    }

    pub(crate) fn wait(&self, waiting: RoleWait) {
        self.modify(|status| status.waiting = Some(waiting));
    }

    /// Updates what [`waiting`](Self::waiting) returns, if it returns anything, and wakes no task.
    pub(crate) fn wait_on(&self, waiting: RoleWait) {
        let mut before = None;
        self.inner.status.send_if_modified(|status| {
            if status.waiting.is_some() {
                before = status.waiting.replace(waiting);
            }
            false
        });
        drop(before);
    }

    /// The listener's path is its own again.
    pub(crate) fn restored(&self) {
        self.modify(|status| (status.waiting, status.obstacle) = (None, None));
    }

    pub(crate) fn obstructed(&self, error: SharedError) {
        self.modify(|status| status.obstacle = Some(error));
    }

    fn modify(&self, change: impl FnOnce(&mut Status)) {
        // It may hold an error of the user's, which is not dropped under the lock.
        let before = self.inner.status.borrow().clone();
        self.inner.status.send_modify(change);
        drop(before);
    }
}
