//! What links report, as events and as a status.
//!
//! In: changes. Out: values. May touch: a lock of its own.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use kyneta_uds_core::ignore_poison;

use super::{RoundTrip, io::LinkIo};
use crate::{
    link::{DownReason, Reason, Refusal, Role},
    name::{MachineKey, MachineName},
};

/// What happens to links.
///
/// ```
/// use kyneta_uds_machines::LinkEvent;
///
/// fn look<Io>(event: &LinkEvent<Io>) {
///     match event {
///         LinkEvent::Up { machine, .. } => println!("{machine}: up"),
///         LinkEvent::Down { machine, reason } => println!("{machine}: {reason}"),
///         LinkEvent::Absent { machine, reason } => println!("{machine}: {reason}"),
///         LinkEvent::AcceptsNoMore { why } => println!("no machine can open a link to this one: {why}"),
///         _ => {}
///     }
/// }
/// ```
#[non_exhaustive]
pub enum LinkEvent<Io> {
    /// A link is up.
    Up {
        /// To which machine.
        machine: MachineName,
        /// Which side has dialed.
        role: Role,
        /// Its bytes. Dropping it ends the link, which is then opened again.
        io: LinkIo<Io>,
    },
    /// A link is down. What was written to it and not read by the other side is lost.
    Down {
        /// To which machine.
        machine: MachineName,
        /// Why.
        reason: DownReason,
    },
    /// The other machine has opened a newer link; this one has ended. An `Up` follows.
    Replaced {
        /// Which machine.
        machine: MachineName,
    },
    /// A process does not get a link: this machine refuses it, or it is refused by the other one.
    Refused {
        /// Its key.
        key: MachineKey,
        /// What it is called here; absent if its key is not named.
        machine: Option<MachineName>,
        /// Why.
        refusal: Refusal,
        /// True if it was refused here.
        here: bool,
    },
    /// The engine accepts no more connections: links that stand go on, and this machine still dials those that it dials.
    AcceptsNoMore {
        /// Why.
        why: String,
    },
    /// There is no link. Each reason once in a row.
    Absent {
        /// To which machine.
        machine: MachineName,
        /// Why.
        reason: Reason,
    },
}

impl<Io> fmt::Debug for LinkEvent<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up { machine, .. } => write!(f, "Up({machine})"),
            Self::Down { machine, reason } => write!(f, "Down({machine}: {reason})"),
            Self::Replaced { machine } => write!(f, "Replaced({machine})"),
            Self::Refused {
                key,
                machine,
                refusal,
                here,
            } => write!(f, "Refused({key}, {machine:?}, {refusal}, here: {here})"),
            Self::AcceptsNoMore { why } => write!(f, "AcceptsNoMore({why})"),
            Self::Absent { machine, reason } => write!(f, "Absent({machine}: {reason})"),
        }
    }
}

/// Whether the link to a machine is up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStatus {
    /// Which machine.
    pub machine: MachineName,
    /// True while the link is up.
    pub up: bool,
    /// Why there is none, as far as that is known.
    pub reason: Option<Reason>,
    /// Why the one before is down; `None` for the first one.
    pub last_down: Option<DownReason>,
    /// How long the dial took, from the engine's connection to the answer: about two round trips. Absent where the
    /// other machine dials.
    pub opened_in: Option<Duration>,
    /// How long a packet and its answer take now, as the engine measures it: while the link is up, and where
    /// [`Links::round_trip`](crate::Links::round_trip) says how.
    pub round_trip: Option<Duration>,
    /// How often a link has come up.
    pub opened: u64,
}

/// The status of all links, seen from outside. Cloneable; it stays after the [`Links`](crate::Links) have ended.
#[derive(Clone)]
pub struct LinkWatch(Arc<Mutex<BTreeMap<MachineName, Watched>>>);

#[derive(Clone)]
struct Watched {
    status: LinkStatus,
    round_trip: Option<RoundTrip>,
}

impl LinkWatch {
    pub(super) fn new(machines: impl Iterator<Item = MachineName>) -> Self {
        let watched = |machine: MachineName| Watched {
            status: LinkStatus {
                machine,
                up: false,
                reason: None,
                last_down: None,
                opened_in: None,
                round_trip: None,
                opened: 0,
            },
            round_trip: None,
        };
        let machines = machines.map(|name| (name.clone(), watched(name)));
        Self(Arc::new(Mutex::new(machines.collect())))
    }

    /// Each machine that is named, in the order of names, and whether its link is up.
    pub fn status(&self) -> Vec<LinkStatus> {
        let links = ignore_poison(self.0.lock());
        let all: Vec<_> = links.values().cloned().collect();
        // What measures is the engine's.
        drop(links);
        let now = |watched: Watched| LinkStatus {
            round_trip: watched.round_trip.and_then(|measure| measure()),
            ..watched.status
        };
        all.into_iter().map(now).collect()
    }

    pub(super) fn measure(&self, machine: &MachineName, round_trip: RoundTrip) {
        let mut links = ignore_poison(self.0.lock());
        let before = match links.get_mut(machine) {
            // It may be down again.
            Some(watched) if watched.status.up => watched.round_trip.replace(round_trip),
            _ => Some(round_trip),
        };
        drop(links);
        drop(before);
    }

    pub(super) fn change(&self, machine: &MachineName, change: impl FnOnce(&mut LinkStatus)) {
        let mut links = ignore_poison(self.0.lock());
        let Some(watched) = links.get_mut(machine) else {
            return;
        };
        change(&mut watched.status);
        let ended = watched.round_trip.take_if(|_| !watched.status.up);
        drop(links);
        drop(ended);
    }
}

impl fmt::Debug for LinkWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LinkWatch").field(&self.status()).finish()
    }
}
