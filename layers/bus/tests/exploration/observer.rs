//! Sees everything that happens, and says what breaks the promise.
//!
//! In: what members accept, deliver, miss and resolve, and which members died or were declared left. Out: an error
//! for the first thing that must not be.

use std::collections::{BTreeMap, BTreeSet};

use kyneta_uds_bus::{Incarnation, MachineId, MemberId};
use kyneta_uds_core::PeerId;

/// A member: its process, and which life of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Who {
    pub(crate) process: u8,
    pub(crate) life: u8,
}

impl Who {
    pub(crate) fn of(id: &MemberId) -> Self {
        Self {
            process: id.peer.as_str().parse().unwrap(),
            life: u8::try_from(id.incarnation.0).unwrap(),
        }
    }

    pub(crate) fn id(self, machine: usize) -> MemberId {
        MemberId {
            machine: MachineId(machine as u64),
            peer: PeerId::new(self.process.to_string()).unwrap(),
            incarnation: Incarnation(u64::from(self.life)),
        }
    }
}

/// What a message says: its sender and its number.
pub(crate) type Body = (Who, u64);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Accepted {
    /// The members that may get it.
    audience: BTreeSet<Who>,
    /// The members that it is owed to.
    owed: BTreeSet<Who>,
    resolved: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Observer {
    accepted: BTreeMap<Who, BTreeMap<u64, Accepted>>,
    /// Receiver and sender: the numbers, in the order of delivery.
    delivered: BTreeMap<(Who, Who), Vec<u64>>,
    /// The same: up to which number the user has got them.
    got: BTreeMap<(Who, Who), u64>,
    /// Members whose process ended, or that said goodbye.
    dead: BTreeSet<Who>,
    /// Members that a hub has counted as left.
    declared: BTreeSet<Who>,
}

impl Observer {
    pub(crate) fn died(&mut self, who: Who) {
        self.dead.insert(who);
    }

    pub(crate) fn is_dead(&self, who: Who) -> bool {
        self.dead.contains(&who)
    }

    pub(crate) fn declared(&mut self, who: Who) {
        self.declared.insert(who);
    }

    pub(crate) fn accepted(
        &mut self,
        sender: Who,
        n: u64,
        audience: BTreeSet<Who>,
        owed: BTreeSet<Who>,
    ) {
        let accepted = Accepted {
            audience,
            owed,
            resolved: false,
        };
        let of_sender = self.accepted.entry(sender).or_default();
        assert!(
            of_sender.insert(n, accepted).is_none(),
            "{n} was given twice"
        );
    }

    pub(crate) fn delivered(
        &mut self,
        receiver: Who,
        sender: Who,
        n: u64,
        body: Body,
    ) -> Result<(), String> {
        let what = || format!("{receiver:?} got {n} of {sender:?}");
        if body != (sender, n) {
            return Err(format!("{} with the body of {body:?}", what()));
        }
        let of_sender = self.accepted.get(&sender);
        let accepted = of_sender.and_then(|of_sender| of_sender.get(&n));
        if !accepted.is_some_and(|accepted| accepted.audience.contains(&receiver)) {
            return Err(format!("{}, which is not owed to it", what()));
        }
        let delivered = self.delivered.entry((receiver, sender)).or_default();
        if delivered.last().is_some_and(|last| *last >= n) {
            return Err(format!("{} after {:?}", what(), delivered.last()));
        }
        delivered.push(n);
        Ok(())
    }

    /// The user of a receiver has got a message.
    pub(crate) fn got(&mut self, receiver: Who, sender: Who, n: u64) {
        self.got.insert((receiver, sender), n);
    }

    /// A receiver's place went from `from` to `to`, and it was told that it missed so many. `is_excused` where it
    /// had no word of the sender before.
    pub(crate) fn advanced(
        &self,
        receiver: Who,
        sender: Who,
        (from, to): (u64, u64),
        told: u64,
        is_excused: bool,
    ) -> Result<(), String> {
        let none = BTreeMap::new();
        let accepted = self.accepted.get(&sender).unwrap_or(&none);
        let delivered = self.delivered.get(&(receiver, sender));
        let lost = accepted.range(from + 1..=to).filter(|(n, accepted)| {
            accepted.audience.contains(&receiver)
                && delivered.is_none_or(|delivered| delivered.binary_search(n).is_err())
        });
        let lost = lost.count() as u64;
        if lost > told && !is_excused {
            return Err(format!(
                "{receiver:?} went from {from} to {to} of {sender:?}: {lost} lost, told {told}"
            ));
        }
        Ok(())
    }

    pub(crate) fn resolved(
        &mut self,
        sender: Who,
        n: u64,
        left: &BTreeSet<Who>,
    ) -> Result<(), String> {
        let of_sender = self.accepted.get_mut(&sender);
        let Some(accepted) = of_sender.and_then(|of_sender| of_sender.get_mut(&n)) else {
            return Err(format!("{sender:?} resolved {n}, which it did not accept"));
        };
        if std::mem::replace(&mut accepted.resolved, true) {
            return Err(format!("{sender:?} resolved {n} twice"));
        }
        for receiver in &accepted.owed {
            let delivered = self.delivered.get(&(*receiver, sender));
            let got = self.got.get(&(*receiver, sender)).copied();
            let has = got >= Some(n)
                && delivered.is_some_and(|delivered| delivered.binary_search(&n).is_ok());
            if !has && !left.contains(receiver) {
                return Err(format!("{sender:?} resolved {n}, {receiver:?} has it not"));
            }
        }
        for named in left {
            let has_left = self.dead.contains(named)
                || self.declared.contains(named)
                || self.declared.contains(&sender);
            if !has_left || !accepted.owed.contains(named) {
                return Err(format!("{sender:?} resolved {n} and names {named:?}"));
            }
        }
        Ok(())
    }

    /// All is quiet: what these living members accepted is resolved. With `all`, each other living one has all.
    pub(crate) fn at_rest(&self, living: &BTreeSet<Who>, all: bool) -> Result<(), String> {
        for sender in living {
            for (n, accepted) in self.accepted.get(sender).into_iter().flatten() {
                if !accepted.resolved {
                    return Err(format!("{sender:?} waits for {n} for ever"));
                }
                for receiver in accepted.owed.intersection(living).filter(|_| all) {
                    let delivered = self.delivered.get(&(*receiver, *sender));
                    if delivered.is_none_or(|delivered| delivered.binary_search(n).is_err()) {
                        return Err(format!("{receiver:?} never got {n} of {sender:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.delivered
            .values()
            .map(|numbers| numbers.len() as u64)
            .sum()
    }
}
