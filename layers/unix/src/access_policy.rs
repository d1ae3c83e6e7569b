//! Who may come in: policies on what the kernel says of the process at the other end.
//!
//! In: credentials. Out: yes or no. Touches nothing; [`Allow::same_uid`] asks for our own user, and whether
//! its uid is one user's.

use std::{fmt, sync::Arc};

use kyneta_uds_core::Credentials;

use crate::user_namespace::is_unmapped;

/// Whom to deal with, by the credentials that the kernel vouches for (unix(7), `SO_PEERCRED`).
///
/// They are those of the process that connected, or that began to listen, at that moment; a
/// descriptor that it hands to another process keeps them. Where the kernel tells nothing,
/// [`anyone`](Self::anyone) alone says yes.
///
/// ```
/// use kyneta_uds_core::Credentials;
/// use kyneta_uds_unix::Allow;
///
/// let of = |uid| Some(Credentials { uid, gid: 100, pid: None });
/// let ours_and_www = Allow::uids([1000]).or(Allow::uids([33]));
/// assert!(ours_and_www.allows(of(33)));
/// assert!(!ours_and_www.allows(of(0))); // not even root, unless it is named
/// assert!(!ours_and_www.allows(None));
/// assert!(Allow::gids([100]).allows(of(0)));
/// assert!(Allow::when(|peer| peer.uid >= 1000).allows(of(1000)));
/// assert!(Allow::anyone().allows(None));
/// ```
#[derive(Clone)]
pub struct Allow {
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    Anyone,
    /// `None` when our own uid is that of other users as well.
    SameUid(Option<u32>),
    Uids(Arc<[u32]>),
    Gids(Arc<[u32]>),
    When(Arc<dyn Fn(&Credentials) -> bool + Send + Sync>),
    Either(Arc<(Rule, Rule)>),
}

impl Allow {
    /// Processes of our own effective user, and of no other: not of root either, unless that is us.
    ///
    /// In a user namespace (a container without root, for one) the kernel shows every user that the
    /// namespace does not map as one, the overflow uid: 65534, "nobody". A process that itself has this uid
    /// there cannot tell its own from strangers, so this lets no process in. Run as another user, or allow
    /// that uid by number, [`uids`](Self::uids), which lets all of them in.
    pub fn same_uid() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self {
            rule: Rule::SameUid((!is_unmapped(uid)).then_some(uid)),
        }
    }

    /// Processes of these users. In a user namespace the overflow uid, 65534, stands for every user that
    /// the namespace does not map.
    pub fn uids(uids: impl IntoIterator<Item = u32>) -> Self {
        Self {
            rule: Rule::Uids(uids.into_iter().collect()),
        }
    }

    /// Processes whose effective group is one of these. A user's further groups are not seen: to let
    /// in the members of a group, whatever group they act as, give the file a mode of 0660 and that
    /// group, and say [`anyone`](Self::anyone).
    pub fn gids(gids: impl IntoIterator<Item = u32>) -> Self {
        Self {
            rule: Rule::Gids(gids.into_iter().collect()),
        }
    }

    /// Whoever the file's mode and its directory let through, and the kernel's word is not asked for.
    /// An abstract name has neither: then it is every process of the network namespace.
    pub const fn anyone() -> Self {
        Self { rule: Rule::Anyone }
    }

    /// Whomever a predicate likes. It is called once a connection: be quick.
    pub fn when(predicate: impl Fn(&Credentials) -> bool + Send + Sync + 'static) -> Self {
        Self {
            rule: Rule::When(Arc::new(predicate)),
        }
    }

    /// Those whom this or the other allows.
    pub fn or(self, other: Self) -> Self {
        Self {
            rule: Rule::Either(Arc::new((self.rule, other.rule))),
        }
    }

    /// True when nobody but our own user is allowed, whatever else the file's mode says.
    pub(crate) fn is_same_uid(&self) -> bool {
        self.rule.is_of(rustix::process::geteuid().as_raw())
    }

    /// The answer about one process.
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
            (Self::When(predicate), Some(peer)) => predicate(peer),
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

impl fmt::Debug for Allow {
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
    fn a_uid_of_many_users_is_let_in_by_number_alone() {
        const NOBODY: u32 = 65_534;
        let of = |uid| {
            let gid = uid;
            Some(Credentials {
                uid,
                gid,
                pid: None,
            })
        };
        let same = |uid| Allow {
            rule: Rule::SameUid(uid),
        };
        assert!(same(Some(1000)).allows(of(1000)));
        assert!(!same(Some(1000)).allows(of(NOBODY)));
        assert!(!same(None).allows(of(NOBODY)));
        assert!(same(None).or(Allow::uids([NOBODY])).allows(of(NOBODY)));
        assert!(same(None).is_same_uid());
    }
}
