//! Members, as others see them.
//!
//! In: what a member, its kernel or its machine says. Out: values. May touch: the clock, for the time since.

use std::{fmt, time::Instant};

use kyneta_uds_bus::{Incarnation, MachineId, MemberId};
use kyneta_uds_core::{Credentials, Identity, Name, PeerId, PeerType, TextTooLong};

use super::wire::Introduction;

/// A member of a bus.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Its id. It belongs to the user that has used it first. Of a member on another machine it ends with `@` and what
    /// that machine is called here.
    pub id: PeerId,
    /// When its process has started: after a restart it is another member with the same id.
    pub incarnation: Incarnation,
    /// For display.
    pub name: Option<Name>,
    /// What it is.
    pub kind: PeerType,
    /// The machine that it runs on, if that is another one.
    pub machine: Option<Name>,
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
            machine: None,
            pid: credentials.and_then(|of| of.pid),
            uid: credentials.map(|of| of.uid),
            since: Instant::now(),
        }
    }

    /// Of a member that is known by its id alone, as a next listener knows those that it awaits.
    pub(crate) fn of_unknown(member: &MemberId) -> Self {
        let identity = Identity::new(member.peer.clone(), PeerType::Service);
        let is_far = member.machine != MachineId::default();
        let machine = member.peer.as_str().rsplit_once('@');
        let machine = machine.filter(|_| is_far);
        Self {
            machine: machine.and_then(|(_, name)| Name::new(name).ok()),
            ..Self::new(&identity, member.incarnation, None)
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

    /// This process goes on as a member that another process was.
    pub(crate) fn continues(&mut self, other: &Self) {
        self.id = other.id.clone();
        self.incarnation = other.incarnation;
        self.since = other.since;
    }

    /// As another process says.
    pub(crate) fn read(of: &Introduction) -> Result<Self, TextTooLong> {
        // Only one whose id says so is on another machine.
        let is_far = |machine: &String| of.id.rsplit_once('@').is_some_and(|(_, of)| of == machine);
        let machine = of.machine.clone().filter(is_far);
        Ok(Self {
            id: PeerId::new(of.id.clone())?,
            incarnation: Incarnation(of.inc),
            name: of.name.clone().map(Name::new).transpose()?,
            kind: PeerType::from_name(&of.kind).unwrap_or(PeerType::Service),
            machine: machine.map(Name::new).transpose()?,
            pid: of.pid,
            uid: of.uid,
            since: Instant::now(),
        })
    }

    /// As the hub of another machine says, which is called `machine` here.
    #[cfg(feature = "machines")]
    pub(crate) fn of_machine(of: Introduction, machine: &Name) -> Result<Self, TextTooLong> {
        Self::read(&Introduction {
            id: format!("{}@{machine}", of.id),
            machine: Some(machine.as_str().to_owned()),
            ..of
        })
    }

    pub(crate) fn introduction(&self) -> Introduction {
        Introduction {
            id: self.id.as_str().to_owned(),
            inc: self.incarnation.0,
            name: self.name.as_ref().map(|name| name.as_str().to_owned()),
            kind: self.kind.name().to_owned(),
            machine: self.machine.as_ref().map(|name| name.as_str().to_owned()),
            pid: self.pid,
            uid: self.uid,
            since_ms: None,
            waits: None,
        }
    }

    pub(crate) fn member_id(&self) -> MemberId {
        let here = MemberId::new(self.id.clone(), self.incarnation);
        match &self.machine {
            Some(name) => MemberId {
                machine: MachineId::of_name(name.as_str()),
                ..here
            },
            None => here,
        }
    }
}

impl fmt::Display for MemberInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_known_by_its_id_alone_is_introduced_as_itself() {
        for (id, machine) in [
            ("stock@rome", MachineId::of_name("rome")),
            ("stock@rome", MachineId::default()),
            ("stock", MachineId::default()),
        ] {
            let member = MemberId::new(PeerId::new(id).unwrap(), Incarnation(7));
            let member = MemberId { machine, ..member };
            let info = MemberInfo::of_unknown(&member);
            assert_eq!(info.member_id(), member);
            let read = MemberInfo::read(&info.introduction()).unwrap();
            assert_eq!(read.member_id(), member);
        }
    }
}
