//! A path, its lock and its temporary name, the kernel's part, and the processes that share them.
//!
//! Every action is at most one system call that others can see. Files have numbers; a number is
//! reused once no process refers to it. The kernel drops a dead process's lock and sockets and
//! leaves its files.

use std::collections::BTreeMap;

use crate::peer::{Peer, Work};

/// The process that listens on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Peer(u8),
    Intruder,
    /// An intruder that does not know that another one has unlinked its socket.
    Former,
}

/// A process that ignores the lock: it unlinks whatever is at the path and binds its own socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Intruder {
    pub(crate) socket: Option<u8>,
    /// It has unlinked and is about to bind.
    stealing: bool,
    /// The socket of a former intruder, which another one has unlinked. It stays for ever.
    former: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) path: Option<u8>,
    /// The temporary names, by the lock file that they belong to.
    pub(crate) temporaries: BTreeMap<u8, u8>,
    pub(crate) lock_file: Option<u8>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) intruder: Intruder,
    pub(crate) left: Budget,
}

/// How much may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    /// Peers killed, at any step.
    pub(crate) crashes: u8,
    /// Peers that leave on purpose, at any step.
    pub(crate) disposals: u8,
    /// Paths stolen by the intruder; its deaths and departures.
    pub(crate) thefts: u8,
    /// Second intruders, which take the path from the first one.
    pub(crate) seconds: u8,
    /// The path, or the lock file, removed by a stranger.
    pub(crate) removals: u8,
}

/// What is at the path before any peer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    StaleSocket,
    StaleLock,
    StaleBoth,
}

impl Before {
    pub(crate) const ALL: [Self; 4] = [
        Self::Nothing,
        Self::StaleSocket,
        Self::StaleLock,
        Self::StaleBoth,
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A peer's next step.
    Step(u8),
    Crash(u8),
    Dispose(u8),
    Steal,
    /// One listener replaces another, as two of the reference do that start at once.
    Supplant,
    IntruderBinds,
    IntruderDies,
    /// As in the reference, which also removes whatever is at the path.
    IntruderLeaves,
    RemovePath,
    RemoveLock,
}

impl World {
    pub(crate) fn new(peers: usize, before: Before, left: Budget) -> Self {
        let stale = matches!(before, Before::StaleSocket | Before::StaleBoth);
        let lock = matches!(before, Before::StaleLock | Before::StaleBoth);
        Self {
            path: stale.then_some(0),
            // As a crash between the link and its end leaves it.
            temporaries: (before == Before::StaleBoth)
                .then_some((0, 0))
                .into_iter()
                .collect(),
            lock_file: lock.then_some(0),
            peers: vec![Peer::new(); peers],
            intruder: Intruder::default(),
            left,
        }
    }

    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let indices = || 0..self.peers.len() as u8;
        actions.extend(indices().filter(|&i| self.can_step(i)).map(Action::Step));
        if self.left.crashes > 0 {
            actions.extend(
                indices()
                    .filter(|&i| self.peer(i).is_up())
                    .map(Action::Crash),
            );
        }
        if self.left.disposals > 0 {
            actions.extend(
                indices()
                    .filter(|&i| self.peer(i).can_be_disposed())
                    .map(Action::Dispose),
            );
        }
        // POSIX has no compare-and-unlink: a file that is linked between the two calls is removed. The lock
        // keeps peers from linking there; the intruder, which ignores it, does not bind then.
        let open = !self.peers.iter().any(Peer::is_about_to_unlink);
        if self.intruder.stealing && open {
            actions.push(Action::IntruderBinds);
        }
        if self.left.thefts > 0 && !self.intruder.stealing && open {
            actions.push(Action::Steal);
            if self.intruder.socket.is_some() {
                actions.extend([Action::IntruderDies, Action::IntruderLeaves]);
            }
        }
        if self.left.seconds > 0 && open && self.stands() {
            actions.push(Action::Supplant);
        }
        if self.left.removals > 0 {
            // The intruder never notices, and no peer can make it.
            if self.path.is_some() && self.path != self.intruder.socket {
                actions.push(Action::RemovePath);
            }
            if self.lock_file.is_some() {
                actions.push(Action::RemoveLock);
            }
        }
        actions
    }

    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Step(i) => self.step(i),
            Action::Crash(i) => {
                self.left.crashes -= 1;
                self.peers[usize::from(i)].die();
                self.close_connections(Owner::Peer(i));
                self.changed();
            }
            Action::Dispose(i) => {
                self.left.disposals -= 1;
                self.dispose(i);
            }
            Action::Steal => {
                self.left.thefts -= 1;
                self.intruder_closes();
                self.intruder.stealing = true;
                self.path = None;
                self.changed();
            }
            Action::Supplant => {
                self.left.seconds -= 1;
                self.intruder.former = self.intruder.socket.take();
                for peer in &mut self.peers {
                    let at_former = |owner: &mut Owner| {
                        if *owner == Owner::Intruder {
                            *owner = Owner::Former;
                        }
                    };
                    peer.connection.iter_mut().for_each(at_former);
                    for work in &mut peer.work {
                        if let Work::AwaitAnswer(Some(owner)) = work {
                            at_former(owner);
                        }
                    }
                }
                self.intruder.stealing = true;
                self.path = None;
                self.changed();
            }
            // Binding and listening are one step here: until it listens it looks stale to every peer.
            Action::IntruderBinds => {
                self.intruder.stealing = false;
                if self.path.is_none() {
                    let socket = self.fresh_file();
                    self.path = Some(socket);
                    self.intruder.socket = Some(socket);
                }
                self.changed();
            }
            Action::IntruderDies => {
                self.left.thefts -= 1;
                self.intruder_closes();
            }
            Action::IntruderLeaves => {
                self.left.thefts -= 1;
                self.intruder_closes();
                self.path = None;
            }
            Action::RemovePath => {
                self.left.removals -= 1;
                self.path = None;
                self.changed();
            }
            Action::RemoveLock => {
                self.left.removals -= 1;
                self.lock_file = None;
                self.changed();
            }
        }
    }

    /// The intruder listens at the path.
    fn stands(&self) -> bool {
        self.intruder.socket.is_some() && self.intruder.socket == self.path
    }

    fn intruder_closes(&mut self) {
        self.intruder.socket = None;
        self.close_connections(Owner::Intruder);
        self.changed();
    }

    /// True when no process has anything to do, whatever may still go wrong.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.intruder.stealing && !(0..self.peers.len() as u8).any(|i| self.can_step(i))
    }

    /// One live listener at the path, and every peer that is up connected to it. While none is there, a
    /// listener that has lost the path counts: the next peer takes the path, and the rest move there.
    pub(crate) fn is_one_bus(&self) -> bool {
        let former = self.intruder.former.map(|_| Owner::Former);
        let listener = self.path.and_then(|socket| self.listener(socket));
        let listener = listener.or(former);
        self.peers.iter().enumerate().all(|(i, peer)| {
            !peer.is_up() || listener.is_some_and(|owner| peer.is_on(owner, i as u8, self.path))
        })
    }

    pub(crate) fn peer(&self, i: u8) -> &Peer {
        &self.peers[usize::from(i)]
    }

    /// Something that a peer can see has changed: it looks again.
    pub(crate) fn changed(&mut self) {
        for peer in &mut self.peers {
            peer.changed = true;
        }
    }

    /// The process that would answer a connection to a socket.
    pub(crate) fn listener(&self, socket: u8) -> Option<Owner> {
        if self.intruder.socket == Some(socket) {
            return Some(Owner::Intruder);
        }
        if self.intruder.former == Some(socket) {
            return Some(Owner::Former);
        }
        let at = self.peers.iter().position(|peer| peer.listens_on(socket))?;
        Some(Owner::Peer(at as u8))
    }

    /// Every process that is connected to it, or waits to be, reads the end.
    pub(crate) fn close_connections(&mut self, owner: Owner) {
        for peer in &mut self.peers {
            if peer.connection == Some(owner) {
                peer.connection = None;
            }
            for work in &mut peer.work {
                if *work == Work::AwaitAnswer(Some(owner)) {
                    *work = Work::AwaitAnswer(None);
                }
            }
        }
    }

    pub(crate) fn fresh_file(&self) -> u8 {
        fresh(|file| {
            self.path == Some(file)
                || self.temporaries.values().any(|&there| there == file)
                || self.intruder.socket == Some(file)
                || self.intruder.former == Some(file)
                || self.peers.iter().any(|peer| peer.knows_file(file))
        })
    }

    pub(crate) fn fresh_lock(&self) -> u8 {
        fresh(|lock| {
            self.lock_file == Some(lock) || self.peers.iter().any(|peer| peer.knows_lock(lock))
        })
    }
}

fn fresh(used: impl Fn(u8) -> bool) -> u8 {
    (0..u8::MAX).find(|&number| !used(number)).unwrap()
}
