//! The role, for those who look on, and their wish to leave.
//!
//! In: what the channel says of itself. Out: the present role, waits for another. Touches nothing.

use std::sync::Arc;

use kyneta_uds_core::SharedError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::machine::Role;

/// What a peer is, seen from outside. Cloneable; obtained from
/// [`NegotiateLayer::roles`](crate::NegotiateLayer::roles) before the stack is built.
#[derive(Debug, Clone)]
pub struct Roles {
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
}

impl Roles {
    pub(crate) fn new() -> Self {
        let standing = Standing {
            role: Role::Negotiating,
            refusal: None,
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

    /// Waits for a role. Roles that last shorter than it takes to look may be missed.
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, wanted: impl Fn(Role) -> bool) -> Role {
        let mut standing = self.inner.standing.subscribe();
        match standing.wait_for(|standing| wanted(standing.role)).await {
            Ok(standing) => standing.role,
            // The sender lives in `self`.
            Err(_) => Role::Disposed,
        }
    }

    /// Waits until there is a role, or something in its way that does not heal by itself.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What is in the way: not permitted, not a socket, no directory, with the path.
    pub async fn settled(&self) -> Result<Role, SharedError> {
        let mut standing = self.inner.standing.subscribe();
        let there =
            |standing: &Standing| standing.role != Role::Negotiating || standing.refusal.is_some();
        match standing.wait_for(there).await {
            Ok(standing) => match (standing.role, &standing.refusal) {
                (Role::Negotiating, Some(refusal)) => Err(refusal.clone()),
                (role, _) => Ok(role),
            },
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
        });
    }

    pub(crate) fn refuse(&self, error: SharedError) {
        self.inner
            .standing
            .send_modify(|standing| standing.refusal = Some(error));
    }
}
