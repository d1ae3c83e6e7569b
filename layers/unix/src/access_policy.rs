//! Access policies: which processes may connect, by the credentials that the kernel reports.
//!
//! In: credentials. Out: yes or no. Touches nothing; [`AccessPolicy::same_uid`] reads our own uid, and whether
//! other users share it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use kyneta_uds_core::Credentials;

use crate::user_namespace::is_unmapped;

/// Which processes are allowed, by the credentials that the kernel reports (unix(7), `SO_PEERCRED`).
///
/// The credentials are those of the process that connected, or that began to listen, at that moment; a
/// descriptor that it passes to another process keeps them. Where the kernel reports none, only
/// [`anyone`](Self::anyone) allows the process.
///
/// ```
/// use kyneta_uds_core::Credentials;
/// use kyneta_uds_unix::AccessPolicy;
///
/// let of = |uid| Some(Credentials { uid, gid: 100, pid: None });
/// let ours_and_www = AccessPolicy::uids([1000]).or(AccessPolicy::uids([33]));
/// assert!(ours_and_www.allows(of(33)));
/// assert!(!ours_and_www.allows(of(0))); // root, too, must be listed
/// assert!(!ours_and_www.allows(None));
/// assert!(AccessPolicy::gids([100]).allows(of(0)));
/// assert!(AccessPolicy::when(|peer| peer.uid >= 1000).allows(of(1000)));
/// assert!(AccessPolicy::anyone().allows(None));
/// ```
#[derive(Clone)]
pub struct AccessPolicy {
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    Anyone,
    /// `None` when other users share our own uid.
    SameUid(Option<u32>),
    Uids(Arc<[u32]>),
    Gids(Arc<[u32]>),
    When(Arc<dyn Fn(&Credentials) -> bool + Send + Sync>),
    Either(Arc<(Rule, Rule)>),
}

impl AccessPolicy {
    /// Processes of our own effective user, and of no other user, not even root.
    ///
    /// In a user namespace (a rootless container, for example) the kernel shows all users that the namespace does
    /// not map as one, the overflow uid 65534. A process that itself has this uid there cannot distinguish its
    /// own processes from those of other users, so this allows no process. Run as another user, or allow that
    /// uid by number, [`uids`](Self::uids), which allows all of these users.
    pub fn same_uid() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self {
            rule: Rule::SameUid((!is_unmapped(uid)).then_some(uid)),
        }
    }

    /// Processes of these users. In a user namespace the overflow uid, 65534, stands for every user that the
    /// namespace does not map.
    pub fn uids(uids: impl IntoIterator<Item = u32>) -> Self {
        Self {
            rule: Rule::Uids(uids.into_iter().collect()),
        }
    }

    /// Processes whose effective group is one of these. Supplementary groups are not visible: to allow all
    /// members of a group, give the file a mode of 0660 and that group, and use [`anyone`](Self::anyone).
    pub fn gids(gids: impl IntoIterator<Item = u32>) -> Self {
        Self {
            rule: Rule::Gids(gids.into_iter().collect()),
        }
    }

    /// Every process that the file's mode and its directory permit; the credentials are not checked. An abstract
    /// name has neither: then it is every process of the network namespace.
    pub const fn anyone() -> Self {
        Self { rule: Rule::Anyone }
    }

    /// Processes that a predicate accepts. It is called once per connection, and must not block. One at which it panics is
    /// not allowed.
    pub fn when(predicate: impl Fn(&Credentials) -> bool + Send + Sync + 'static) -> Self {
        Self {
            rule: Rule::When(Arc::new(predicate)),
        }
    }

    /// Processes that this policy or the other allows.
    pub fn or(self, other: Self) -> Self {
        Self {
            rule: Rule::Either(Arc::new((self.rule, other.rule))),
        }
    }

    /// True when only our own user is allowed, whatever the file's mode permits.
    pub(crate) fn is_same_uid(&self) -> bool {
        self.rule.is_of(rustix::process::geteuid().as_raw())
    }

    /// True when the process is allowed.
    pub fn allows(&self, credentials: Option<Credentials>) -> bool {
        self.rule.allows(credentials.as_ref())
    }
}

impl Rule {
    fn allows(&self, credentials: Option<&Credentials>) -> bool {
        match (self, credentials) {
            (Self::Anyone, _) => true,
            (Self::Either(both), _) => both.0.allows(credentials) || both.1.allows(credentials),
            (_, None) => false,
            (Self::SameUid(uid), Some(peer)) => *uid == Some(peer.uid),
            (Self::Uids(uids), Some(peer)) => uids.contains(&peer.uid),
            (Self::Gids(gids), Some(peer)) => gids.contains(&peer.gid),
            (Self::When(predicate), Some(peer)) => {
                // It would end the task that accepts, and with it the listener.
                catch_unwind(AssertUnwindSafe(|| predicate(peer))).unwrap_or(false)
            }
        }
    }

    fn is_of(&self, ours: u32) -> bool {
        match self {
            Self::SameUid(_) => true,
            Self::Uids(uids) => uids.iter().all(|uid| *uid == ours),
            Self::Either(both) => both.0.is_of(ours) && both.1.is_of(ours),
            Self::Anyone | Self::Gids(_) | Self::When(_) => false,
        }
    }
}

impl fmt::Debug for AccessPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rule.fmt(f)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("Anyone"),
            Self::SameUid(uid) => f.debug_tuple("SameUid").field(uid).finish(),
            Self::Uids(uids) => f.debug_tuple("Uids").field(uids).finish(),
            Self::Gids(gids) => f.debug_tuple("Gids").field(gids).finish(),
            Self::When(_) => f.write_str("When(..)"),
            Self::Either(both) => f
                .debug_tuple("Either")
                .field(&both.0)
                .field(&both.1)
                .finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_of_many_users_is_allowed_by_number_only() {
        const OVERFLOW_UID: u32 = 65_534;
        let of = |uid| {
            let gid = uid;
            Some(Credentials {
                uid,
                gid,
                pid: None,
            })
        };
        let same = |uid| AccessPolicy {
            rule: Rule::SameUid(uid),
        };
        assert!(same(Some(1000)).allows(of(1000)));
        assert!(!same(Some(1000)).allows(of(OVERFLOW_UID)));
        assert!(!same(None).allows(of(OVERFLOW_UID)));
        assert!(
            same(None)
                .or(AccessPolicy::uids([OVERFLOW_UID]))
                .allows(of(OVERFLOW_UID))
        );
        assert!(same(None).is_same_uid());
    }
}
