//! Members, as others see them.

use std::{fmt, time::Instant};

use kyneta_uds_bus::{Incarnation, MemberId};
use kyneta_uds_core::{Credentials, Identity, Name, PeerId, PeerType, TextTooLong};

use super::wire::Introduction;

/// A member of a bus.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Its id. It belongs to the user that has used it first.
    pub id: PeerId,
    /// When its process has started: after a restart it is another member with the same id.
    pub incarnation: Incarnation,
    /// For display.
    pub name: Option<Name>,
    /// What it is.
    pub kind: PeerType,
    /// Its process, where the kernel of the listener reports it.
    pub pid: Option<i32>,
    /// Its user.
    pub uid: Option<u32>,
    /// When this process has heard of it first.
    pub(crate) since: Instant,
}

impl MemberInfo {
    pub(crate) fn new(
        identity: &Identity,
        incarnation: Incarnation,
        credentials: Option<Credentials>,
    ) -> Self {
        Self {
            id: identity.peer_id.clone(),
            incarnation,
            name: identity.name.clone(),
            kind: identity.peer_type,
            pid: credentials.and_then(|of| of.pid),
            uid: credentials.map(|of| of.uid),
            since: Instant::now(),
        }
    }

    /// This process.
    pub(crate) fn of_this_process(identity: &Identity, incarnation: Incarnation) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let pid = i32::try_from(std::process::id()).ok();
        Self {
            pid,
            uid: Some(uid),
            ..Self::new(identity, incarnation, None)
        }
    }

    /// As another process says.
    pub(crate) fn read(of: &Introduction) -> Result<Self, TextTooLong> {
        Ok(Self {
            id: PeerId::new(of.id.clone())?,
            incarnation: Incarnation(of.inc),
            name: of.name.clone().map(Name::new).transpose()?,
            kind: PeerType::from_name(&of.kind).unwrap_or(PeerType::Service),
            pid: of.pid,
            uid: of.uid,
            since: Instant::now(),
        })
    }

    pub(crate) fn introduction(&self) -> Introduction {
        Introduction {
            id: self.id.as_str().to_owned(),
            inc: self.incarnation.0,
            name: self.name.as_ref().map(|name| name.as_str().to_owned()),
            kind: self.kind.name().to_owned(),
            pid: self.pid,
            uid: self.uid,
            since_ms: None,
            waits: None,
        }
    }

    pub(crate) fn member_id(&self) -> MemberId {
        MemberId::new(self.id.clone(), self.incarnation)
    }
}

impl fmt::Display for MemberInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id.as_str())
    }
}
