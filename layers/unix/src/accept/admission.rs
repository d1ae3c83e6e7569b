//! The door of a listener: who may come in, how often, and how many at once.
//!
//! In: credentials of those who have connected. Out: a [`Permit`] for each who may stay, a
//! [`Refusal`] for each who may not, and a log line. May touch: its own counts, the clock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use kyneta_uds_core::{Credentials, RateLimit};

use tracing::{Span, field::Empty, info_span};

use super::rate::Rate;
use crate::{access_policy::Allow, credentials_who::Who};

/// Connections at once, unless chosen otherwise.
const MAX_CONNECTIONS: usize = 16_384;

/// Connections a second of one user, unless chosen otherwise; twice as many at once.
const ACCEPT_RATE: u32 = 10_000;

/// Log lines a minute about those who are refused, unless chosen otherwise.
const LOG_LINES: u32 = 60;

/// Who may come in, and how many.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) allow: Allow,
    pub(crate) max_connections: usize,
    /// Three quarters of all unless chosen otherwise, so that one user cannot take all places.
    pub(crate) max_per_uid: Option<usize>,
    pub(crate) accept_rate: u32,
    pub(crate) log_lines: u32,
}

impl Rules {
    pub(crate) fn new() -> Self {
        Self {
            allow: Allow::same_uid(),
            max_connections: MAX_CONNECTIONS,
            max_per_uid: None,
            accept_rate: ACCEPT_RATE,
            log_lines: LOG_LINES,
        }
    }

    fn per_uid(&self) -> usize {
        let share = self.max_connections - self.max_connections / 4;
        self.max_per_uid.unwrap_or(share.max(1))
    }
}

/// Why a connection was closed as soon as it was accepted. Nothing was read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The policy says no.
    #[error("{} is not allowed in", Who(*credentials))]
    NotAllowed {
        /// Who it was, where the kernel tells.
        credentials: Option<Credentials>,
    },
    /// As many as may be are connected.
    #[error("{} was one too many: {limit} connections at most", Who(*credentials))]
    TooMany {
        /// Who it was, where the kernel tells.
        credentials: Option<Credentials>,
        /// How many may be.
        limit: usize,
    },
    /// As many of one user's processes as may be are connected.
    #[error("{} was one too many: {limit} connections at most of one user", Who(Some(*credentials)))]
    TooManyOfUid {
        /// Who it was.
        credentials: Credentials,
        /// How many may be.
        limit: usize,
    },
    /// Processes of one user have connected too often in a short time.
    #[error("{} was one too many: {per_second} connections a second at most of one user", Who(*credentials))]
    TooFast {
        /// Who it was, where the kernel tells.
        credentials: Option<Credentials>,
        /// How many a second may be, on average.
        per_second: u32,
    },
}

impl Refusal {
    /// Who was refused, where the kernel tells.
    pub const fn credentials(&self) -> Option<Credentials> {
        match self {
            Self::NotAllowed { credentials }
            | Self::TooMany { credentials, .. }
            | Self::TooFast { credentials, .. } => *credentials,
            Self::TooManyOfUid { credentials, .. } => Some(*credentials),
        }
    }
}

/// The door itself; shared with the [`Permit`]s that it has given.
#[derive(Debug)]
pub(crate) struct Door {
    rules: Rules,
    count: Mutex<Count>,
    rate: Mutex<Rate>,
    log: Mutex<RateLimit>,
}

impl Door {
    pub(crate) fn new(rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::new(RateLimit::new(rules.log_lines)),
            rate: Mutex::new(Rate::new(rules.accept_rate)),
            rules,
            count: Mutex::default(),
        })
    }

    /// Lets somebody in, or says why not, in a log line as well.
    pub(crate) fn admit(
        self: &Arc<Self>,
        credentials: Option<Credentials>,
    ) -> Result<Permit, Refusal> {
        match self.enter(credentials) {
            Ok(()) => Ok(Permit {
                door: self.clone(),
                credentials,
            }),
            Err(refusal) => {
                self.log(&refusal);
                Err(refusal)
            }
        }
    }

    fn enter(&self, credentials: Option<Credentials>) -> Result<(), Refusal> {
        if !self.rules.allow.allows(credentials) {
            return Err(Refusal::NotAllowed { credentials });
        }
        let uid = credentials.map(|of| of.uid);
        if !lock(&self.rate).take(uid, Instant::now()) {
            let per_second = self.rules.accept_rate;
            return Err(Refusal::TooFast {
                credentials,
                per_second,
            });
        }
        lock(&self.count).enter(&self.rules, credentials)
    }

    fn log(&self, refusal: &Refusal) {
        let Some(unsaid) = lock(&self.log).take(Instant::now()) else {
            return;
        };
        let uid = refusal.credentials().map(|peer| peer.uid);
        let unsaid = (unsaid > 0).then_some(unsaid);
        tracing::warn!(uid, unsaid, "refused: {refusal}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks, so poison means nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One accepted connection's place among those that a listener allows at once. Dropping it gives the
/// place to the next: keep it as long as the connection.
///
/// ```
/// use kyneta_uds_unix::{Listener, ListenerEvent, ListenerOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let mut listener = ListenerOptions::new().max_connections(1).bind(&path).await?;
/// let _first = tokio::net::UnixStream::connect(&path).await?;
/// let (_stream, permit) = listener.accept().await;
/// let _second = tokio::net::UnixStream::connect(&path).await?;
/// let ListenerEvent::Refused(refusal) = listener.next().await else { panic!() };
/// assert!(refusal.to_string().ends_with("one too many: 1 connections at most"));
///
/// drop(permit);
/// let _third = tokio::net::UnixStream::connect(&path).await?;
/// let _ = listener.accept().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it gives the connection's place to the next"]
#[derive(Debug)]
pub struct Permit {
    door: Arc<Door>,
    credentials: Option<Credentials>,
}

impl Permit {
    /// Who was let in, where the kernel tells.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// A span for what happens on the connection: `connection` with `uid`, `gid` and `pid`; `peer` and
    /// `wire` are to be recorded once they are known.
    pub fn span(&self) -> Span {
        let of = self.credentials;
        info_span!(
            "connection",
            uid = of.map(|of| of.uid),
            gid = of.map(|of| of.gid),
            pid = of.and_then(|of| of.pid),
            peer = Empty,
            wire = Empty,
        )
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.door.count).leave(self.credentials.map(|of| of.uid));
    }
}

/// How many are in.
#[derive(Debug, Default)]
struct Count {
    all: usize,
    /// Of each user somebody of whom is in.
    by_uid: HashMap<u32, usize>,
}

impl Count {
    fn enter(&mut self, rules: &Rules, credentials: Option<Credentials>) -> Result<(), Refusal> {
        if self.all >= rules.max_connections {
            return Err(Refusal::TooMany {
                credentials,
                limit: rules.max_connections,
            });
        }
        if let Some(credentials) = credentials {
            let limit = rules.per_uid();
            let count = self.by_uid.get(&credentials.uid).copied().unwrap_or(0);
            if count >= limit {
                return Err(Refusal::TooManyOfUid { credentials, limit });
            }
            self.by_uid.insert(credentials.uid, count + 1);
        }
        self.all += 1;
        Ok(())
    }

    fn leave(&mut self, uid: Option<u32>) {
        self.all = self.all.saturating_sub(1);
        let Some(uid) = uid else { return };
        if let Some(count) = self.by_uid.get_mut(&uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_uid.remove(&uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uid: u32) -> Option<Credentials> {
        Some(Credentials {
            uid,
            gid: 1,
            pid: Some(7),
        })
    }

    fn door(max_connections: usize, max_per_uid: Option<usize>) -> Arc<Door> {
        Door::new(Rules {
            allow: Allow::anyone(),
            max_connections,
            max_per_uid,
            ..Rules::new()
        })
    }

    #[test]
    fn places_are_counted_in_all_and_by_user_and_given_back() {
        let door = door(3, Some(2));
        let mut of_1: Vec<_> = (0..2).map(|_| door.admit(of(1)).unwrap()).collect();
        let too_many_of_1 = door.admit(of(1)).unwrap_err();
        assert!(matches!(
            too_many_of_1,
            Refusal::TooManyOfUid { limit: 2, .. }
        ));
        let of_2 = door.admit(of(2)).unwrap();
        for late in [of(1), of(2), of(3), None] {
            let refusal = door.admit(late).unwrap_err();
            assert!(matches!(refusal, Refusal::TooMany { limit: 3, .. }));
            assert_eq!(refusal.credentials(), late);
        }
        of_1.pop();
        let unknown = door.admit(None).unwrap();
        drop((of_1, of_2, unknown));
        assert_eq!(lock(&door.count).all, 0);
        assert!(
            lock(&door.count).by_uid.is_empty(),
            "one who has left is forgotten"
        );
    }

    #[test]
    fn one_user_has_three_quarters_unless_told_otherwise() {
        for (max_connections, of_one) in [(1, 1), (2, 2), (4, 3), (16_384, 12_288)] {
            let door = door(max_connections, None);
            let permits: Vec<_> = std::iter::from_fn(|| door.admit(of(1)).ok()).collect();
            assert_eq!(permits.len(), of_one);
        }
    }

    #[test]
    fn one_user_that_connects_too_often_is_refused_and_no_other() {
        let door = Door::new(Rules {
            allow: Allow::anyone(),
            accept_rate: 1,
            ..Rules::new()
        });
        // Two at once; a third would take half a second at least.
        let admitted: Vec<_> = (0..3).map(|_| door.admit(of(1)).map(drop)).collect();
        assert!(matches!(
            admitted.as_slice(),
            [Ok(()), Ok(()), Err(Refusal::TooFast { per_second: 1, .. })]
        ));
        assert!(door.admit(of(2)).is_ok());
        assert_eq!(
            admitted
                .into_iter()
                .next_back()
                .unwrap()
                .unwrap_err()
                .to_string(),
            "a process of uid 1 (gid 1, pid 7) was one too many: 1 connections a second at most of one user"
        );
    }

    #[test]
    fn who_is_refused_takes_no_place() {
        let door = Door::new(Rules {
            allow: Allow::uids([5]),
            ..Rules::new()
        });
        let refusal = door.admit(of(6)).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "a process of uid 6 (gid 1, pid 7) is not allowed in"
        );
        assert_eq!(lock(&door.count).all, 0);
        assert!(door.admit(None).is_err());
        assert!(door.admit(of(5)).is_ok());
    }
}
