//! Who a member is, and the numbers that the frames carry.
//!
//! Values alone. Pure.

use std::fmt;

use kyneta_uds_core::PeerId;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after it. The last one stays the last.
            pub(crate) const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    };
}

/// When a member's process started, on the clock since boot, in nanoseconds. Of two the larger is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u64);

number! {
    /// The number of a message of one sender: 1 is its first. 0 stands for "none yet".
    ///
    /// A sender has one sequence for all messages, so a receiver sees gaps where a message was for another.
    SeqNo
}

number! {
    /// Names a place that a receiver made for a sender. A new place has a new token, so what a sender knows of an
    /// earlier place is not taken for the new one.
    Token
}

number! {
    /// A hub's number for one admission of a member: new at each greeting and each announcement.
    Session
}

number! {
    /// Counts the connections that a member has made: 1 is the first.
    Attempt
}

impl SeqNo {
    /// The one before it; 0 for 0.
    pub(crate) const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// Which machine a member runs on. A bus without links has one machine, the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MachineId(pub u64);

impl MachineId {
    /// That of another machine, by its name: FNV-1a, which does not change with a process or a release.
    pub fn of_name(name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        // 0 is this machine.
        Self(hash.max(1))
    }
}

/// A connection to a hub. The shell numbers them and uses no number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// A member: a peer, in one life of its process. The same peer after a restart is another member.
///
/// ```
/// use kyneta_uds_bus::{Incarnation, MachineId, MemberId};
/// use kyneta_uds_core::PeerId;
///
/// let till = MemberId::new(PeerId::new("till")?, Incarnation(1));
/// let restarted = MemberId { incarnation: Incarnation(2), ..till.clone() };
/// assert!(restarted.replaces(&till) && !till.replaces(&restarted));
/// assert_eq!(till.machine, MachineId::default());
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
// The order of the fields is the order of members: all incarnations of a peer are neighbours in a table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    /// Where it runs.
    pub machine: MachineId,
    /// The peer.
    pub peer: PeerId,
    /// Which life of its process.
    pub incarnation: Incarnation,
}

impl MemberId {
    /// A member on the default machine.
    pub const fn new(peer: PeerId, incarnation: Incarnation) -> Self {
        Self {
            machine: MachineId(0),
            peer,
            incarnation,
        }
    }

    /// True when `other` is the same peer in an earlier life of its process.
    pub fn replaces(&self, other: &Self) -> bool {
        self.is_same_peer(other) && self.incarnation > other.incarnation
    }

    /// True for the same peer, in any life of its process.
    pub fn is_same_peer(&self, other: &Self) -> bool {
        self.machine == other.machine && self.peer == other.peer
    }

    /// The same peer in another life of its process.
    pub(crate) fn with(&self, incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            ..self.clone()
        }
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.machine != MachineId::default() {
            write!(f, "{}:", self.machine.0)?;
        }
        write!(f, "{}/{}", self.peer, self.incarnation.0)
    }
}
