//! A peer: its machines, what it holds, and its next steps.
//!
//! In: a state of the world. Out: the steps that this peer may do next, among them that it crashes, and the world
//! after each. Pure: the kernel is a value, too.

use std::collections::VecDeque;

use kyneta_uds_negotiate::machine::{Bind, Effect, Input, Negotiation, Probe, Role};
use kyneta_uds_unix::{
    PathLoss,
    bind::{Answer, BindStep, FileId, Next},
    watch::{Observation, Verdict, WatchStep},
};

use crate::world::{Owner, World};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    machine: Negotiation,
    crashed: bool,
    /// The next steps, in order; then the peer waits for an event.
    pub(crate) work: VecDeque<Work>,
    /// Something has changed since it last looked.
    pub(crate) changed: bool,
    /// The lock file that is open and locked.
    lock: Option<u8>,
    /// The socket that is being made: bound, and then listening.
    bound: Option<u8>,
    fresh: Option<(u8, u8)>,
    /// The sockets that it listens on; the last stands at the path.
    listening: Vec<u8>,
    /// The file that it believes is its own.
    owned: Option<u8>,
    pub(crate) connection: Option<Owner>,
}

/// At most one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    Connect,
    /// Connected to it; `None` once that has closed.
    AwaitAnswer(Option<Owner>),
    /// End the connection; all is flushed.
    HalfClose,
    /// Look whether there is anything to put back.
    BeginRestore,
    Bind(BindStep),
    /// [`BindStep::Lock`] in detail: open or make the file; lock it; see that it is still the one.
    LockFile(u8),
    CheckLock,
    Watch(WatchStep),
    /// The end of a failed claim.
    RemoveTemporary,
    /// A path that is given up.
    LookAtOurs,
    UnlinkOurs,
    RemoveLockFile,
    Unlock,
    CloseSockets,
    /// Feed the machine, when all before is done.
    Say(Input),
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            machine: Negotiation::new(),
            crashed: false,
            work: VecDeque::from([Work::Say(Input::Start)]),
            changed: false,
            lock: None,
            bound: None,
            fresh: None,
            listening: Vec::new(),
            owned: None,
            connection: None,
        }
    }

    /// Neither crashed nor disposed.
    pub(crate) fn is_up(&self) -> bool {
        !self.crashed && self.machine.role() != Role::Disposed
    }

    pub(crate) fn role(&self) -> Role {
        self.machine.role()
    }

    pub(crate) fn is_listening(&self) -> bool {
        !self.crashed && self.role() == Role::Listener
    }

    pub(crate) fn is_on(&self, listener: Owner, i: u8, path: Option<u8>) -> bool {
        match self.role() {
            Role::Listener => {
                listener == Owner::Peer(i)
                    && self.owned == path
                    && self.listening.last().copied() == path
                    && self.lock.is_some()
            }
            Role::Connector => self.connection == Some(listener),
            _ => false,
        }
    }

    pub(crate) fn die(&mut self) {
        *self = Self {
            crashed: true,
            work: VecDeque::new(),
            ..Self::new()
        };
    }

    /// Taking a path has no pause: between its steps a peer can crash, but not be asked to leave.
    pub(crate) fn can_be_disposed(&self) -> bool {
        let pauses = matches!(
            self.work.front(),
            None | Some(Work::Say(Input::Start) | Work::Connect | Work::AwaitAnswer(_))
        );
        self.is_up() && pauses
    }

    /// Ended for good, whatever else happens, with nothing left behind.
    pub(crate) fn is_absorbed(&self) -> bool {
        let inputs = [
            Input::Start,
            Input::Probed(Probe::Joined),
            Input::Bound(Bind::Done),
            Input::ConnectionLost,
            Input::Rejected { times: 1 },
            Input::PathMoved,
            Input::Overdue,
            Input::PathFree,
            Input::PathLost,
            Input::TimerFired,
            Input::Dispose,
        ];
        let stays = inputs.into_iter().all(|input| {
            let mut machine = self.machine.clone();
            machine.on(input, 0.5);
            machine == self.machine
        });
        let holds_nothing = self.lock.is_none()
            && self.bound.is_none()
            && self.fresh.is_none()
            && self.listening.is_empty()
            && self.connection.is_none();
        stays && (holds_nothing || !self.work.is_empty())
    }

    pub(crate) fn listens_on(&self, socket: u8) -> bool {
        self.listening.contains(&socket) || self.fresh.is_some_and(|(made, _)| made == socket)
    }

    pub(crate) fn is_about_to_unlink(&self) -> bool {
        matches!(
            self.work.front(),
            Some(Work::UnlinkOurs | Work::Bind(BindStep::RemoveStale))
        )
    }

    pub(crate) fn knows_file(&self, file: u8) -> bool {
        let seen = |work: &Work| match work {
            Work::Bind(BindStep::Probe(seen) | BindStep::LookOnceMore(seen)) => {
                seen.inode as u8 == file
            }
            _ => false,
        };
        self.owned == Some(file)
            || self.bound == Some(file)
            || self
                .fresh
                .is_some_and(|(made, seen)| made == file || seen == file)
            || self.listening.contains(&file)
            || self.work.iter().any(seen)
    }

    pub(crate) fn knows_lock(&self, lock: u8) -> bool {
        self.lock == Some(lock) || self.work.contains(&Work::LockFile(lock))
    }
}

const fn id(file: u8) -> FileId {
    FileId {
        device: 0,
        inode: file as u64,
        changed: (0, 0),
    }
}

/// As the shell reports what has become of the path.
const fn lost(lost: PathLoss) -> Input {
    match lost {
        PathLoss::Taken => Input::PathLost,
        _ => Input::PathFree,
    }
}

impl World {
    fn me(&mut self, i: u8) -> &mut Peer {
        &mut self.peers[usize::from(i)]
    }

    /// True when a peer has something to do, or something has happened to it. A wait is over when
    /// there is something new to see: to look again before that leads back to the wait.
    pub(crate) fn can_step(&self, i: u8) -> bool {
        let peer = self.peer(i);
        match (peer.work.front(), peer.role()) {
            _ if peer.crashed => false,
            // Accepted by a role, not by a socket: a listener that is linked into place answers a moment later.
            (Some(Work::AwaitAnswer(Some(Owner::Peer(to)))), _) => self.peer(*to).is_listening(),
            (Some(_), _) => true,
            (None, Role::Connector) => peer.connection.is_none() || self.has_moved(i),
            (None, Role::Negotiating | Role::Listener) => peer.changed,
            (None, Role::Disposed) => false,
        }
    }

    /// The path has a listener, and it is not the one that the peer is connected to. To look and find
    /// anything else changes nothing.
    fn has_moved(&self, i: u8) -> bool {
        let there = self.path.and_then(|socket| self.listener(socket));
        there.is_some() && there != self.peer(i).connection
    }

    pub(crate) fn step(&mut self, i: u8) {
        let role = self.peer(i).role();
        match (self.me(i).work.pop_front(), role) {
            (Some(work), _) => self.work(i, work),
            (None, Role::Connector) => {
                let lost = self.peer(i).connection.is_none();
                self.say(
                    i,
                    if lost {
                        Input::ConnectionLost
                    } else {
                        Input::PathMoved
                    },
                );
            }
            (None, Role::Negotiating) => {
                // The timer touches nothing: what follows is done in the same step.
                self.say(i, Input::TimerFired);
                self.step(i);
            }
            (None, Role::Listener) => {
                self.me(i).changed = false;
                self.work(i, Work::Watch(WatchStep::FIRST));
            }
            (None, Role::Disposed) => unreachable!("{self:?}"),
        }
    }

    pub(crate) fn dispose(&mut self, i: u8) {
        // What is under way is dropped.
        self.me(i).work.clear();
        self.say(i, Input::Dispose);
    }

    /// Feeds the machine, and queues its effects.
    fn say(&mut self, i: u8, input: Input) {
        let effects = self.me(i).machine.on(input, 0.5);
        for effect in effects {
            let peer = self.me(i);
            match effect {
                Effect::Probe => peer.work.push_back(Work::Connect),
                Effect::Bind => peer.work.push_back(Work::Bind(BindStep::FIRST)),
                Effect::Restore => peer.work.push_back(Work::BeginRestore),
                Effect::StopListening => peer.work.extend([
                    Work::LookAtOurs,
                    Work::RemoveLockFile,
                    Work::Unlock,
                    Work::CloseSockets,
                ]),
                Effect::Disconnect => peer.connection = None,
                // The length of a wait, and the number before, do not matter here.
                Effect::Wait(_) => {
                    peer.machine = Negotiation::new();
                    peer.machine.on(Input::Start, 0.5);
                    peer.machine.on(Input::Probed(Probe::Busy), 0.5);
                }
                Effect::HalfClose => peer.work.push_back(Work::HalfClose),
                // A report changes nothing.
                Effect::Report | Effect::Remind(_) | Effect::Announce(_) => {}
                other => unreachable!("{other:?}"),
            }
        }
    }

    fn work(&mut self, i: u8, work: Work) {
        match work {
            Work::Say(input) => self.say(i, input),
            Work::Connect => {
                self.me(i).changed = false;
                match self.path.and_then(|socket| self.listener(socket)) {
                    Some(owner) => self.me(i).work.push_front(Work::AwaitAnswer(Some(owner))),
                    None => self.say(i, Input::Probed(Probe::NoListener)),
                }
            }
            Work::AwaitAnswer(Some(owner)) => {
                self.me(i).connection = Some(owner);
                self.say(i, Input::Probed(Probe::Joined));
            }
            Work::HalfClose => {
                self.me(i).connection = None;
                self.say(i, Input::ConnectionLost);
            }
            Work::AwaitAnswer(None) => self.say(i, Input::Probed(Probe::Silent)),
            Work::Bind(step) => self.claim(i, step),
            Work::LockFile(lock) => {
                if self.peers.iter().any(|peer| peer.lock == Some(lock)) {
                    return self.answer(i, BindStep::Lock, Answer::InUse);
                }
                self.me(i).lock = Some(lock);
                self.me(i).work.push_front(Work::CheckLock);
                self.changed();
            }
            Work::CheckLock => {
                if self.peer(i).lock == self.lock_file {
                    self.answer(i, BindStep::Lock, Answer::Done);
                } else {
                    self.me(i).lock = None;
                    self.changed();
                    self.me(i).work.push_front(Work::Bind(BindStep::Lock));
                }
            }
            Work::Watch(step) => self.watch(i, step),
            Work::BeginRestore => {
                let ours = self.path.is_some() && self.path == self.peer(i).owned;
                if ours {
                    return self.say(i, Input::Restored(Bind::Done));
                }
                let first = if self.keeps_lock(i) {
                    BindStep::UNDER_LOCK
                } else {
                    self.me(i).lock = None;
                    self.changed();
                    BindStep::FIRST
                };
                self.me(i).work.push_front(Work::Bind(first));
            }
            Work::RemoveTemporary => {
                self.temporaries.remove(&self.held(i));
                self.changed();
            }
            Work::LookAtOurs => {
                if self.path.is_some() && self.path == self.peer(i).owned {
                    self.me(i).work.push_front(Work::UnlinkOurs);
                }
            }
            Work::UnlinkOurs => {
                self.path = None;
                self.changed();
            }
            Work::RemoveLockFile => {
                if self.keeps_lock(i) {
                    self.lock_file = None;
                    self.changed();
                }
            }
            Work::Unlock => {
                self.me(i).lock = None;
                self.changed();
            }
            Work::CloseSockets => {
                self.me(i).listening.clear();
                self.me(i).owned = None;
                self.close_connections(Owner::Peer(i));
                self.changed();
            }
        }
    }

    fn keeps_lock(&self, i: u8) -> bool {
        self.lock_file.is_some() && self.peer(i).lock == self.lock_file
    }

    /// The lock that a peer holds, which names its temporary file.
    fn held(&self, i: u8) -> u8 {
        self.peer(i).lock.unwrap()
    }

    fn temporary(&self, i: u8) -> Option<u8> {
        self.temporaries.get(&self.held(i)).copied()
    }

    fn claim(&mut self, i: u8, step: BindStep) {
        let answer = match step {
            BindStep::Look | BindStep::LookUnderLock | BindStep::LookOnceMore(_) => self
                .path
                .map_or(Answer::Nothing, |file| Answer::Socket(id(file))),
            BindStep::Lock => {
                let lock = self.lock_file.unwrap_or_else(|| self.fresh_lock());
                self.lock_file = Some(lock);
                self.me(i).work.push_front(Work::LockFile(lock));
                return;
            }
            BindStep::Probe(_) => match self.path.and_then(|socket| self.listener(socket)) {
                Some(_) => Answer::InUse,
                None => Answer::Nothing,
            },
            BindStep::RemoveStale => {
                self.path = None;
                self.changed();
                Answer::Done
            }
            BindStep::RemoveLeftover => {
                self.temporaries.remove(&self.held(i));
                Answer::Done
            }
            BindStep::BindTemporary => {
                if self.temporary(i).is_some() {
                    return self.end_claim(i, Bind::Denied);
                }
                let socket = self.fresh_file();
                self.temporaries.insert(self.held(i), socket);
                self.me(i).bound = Some(socket);
                Answer::Done
            }
            BindStep::Listen => {
                let made = self.me(i).bound.take().unwrap();
                match self.temporary(i) {
                    Some(seen) => self.me(i).fresh = Some((made, seen)),
                    None => return self.end_claim(i, Bind::Denied),
                }
                Answer::Done
            }
            BindStep::Link => match (self.temporary(i), self.path) {
                (None, _) => return self.end_claim(i, Bind::Denied),
                (Some(_), Some(_)) => Answer::InUse,
                (Some(file), None) => {
                    self.path = Some(file);
                    self.changed();
                    Answer::Done
                }
            },
            BindStep::RemoveTemporary { linked } => {
                self.temporaries.remove(&self.held(i));
                if !linked {
                    self.me(i).fresh = None;
                }
                Answer::Done
            }
        };
        self.answer(i, step, answer);
    }

    fn answer(&mut self, i: u8, step: BindStep, answer: Answer) {
        match step.then(answer, true) {
            Next::Do(next) => self.me(i).work.push_front(Work::Bind(next)),
            Next::Ours => {
                let (made, seen) = self.me(i).fresh.take().unwrap();
                let peer = self.me(i);
                peer.listening.push(made);
                let restored = peer.owned.replace(seen).is_some();
                // Connections that wait at the former socket are accepted: it is not needed any more.
                peer.listening.drain(..peer.listening.len() - 1);
                self.changed();
                self.say(i, bound(restored, Bind::Done));
            }
            Next::InUse(_) => self.end_claim(i, Bind::InUse),
            Next::Stale => unreachable!("cleaning up is on"),
        }
    }

    /// A failed claim: what it has made is removed, and then the lock, unless it is that of a path that this
    /// peer had before.
    fn end_claim(&mut self, i: u8, bind: Bind) {
        let peer = self.me(i);
        let restored = peer.owned.is_some();
        if peer.bound.take().is_some() || peer.fresh.take().is_some() {
            peer.work.push_back(Work::RemoveTemporary);
        }
        if !restored && peer.lock.is_some() {
            peer.work.extend([Work::RemoveLockFile, Work::Unlock]);
        }
        peer.work.push_back(Work::Say(bound(restored, bind)));
        if peer.work.len() == 1 {
            self.step(i);
        }
    }

    fn watch(&mut self, i: u8, step: WatchStep) {
        let seen = match step {
            WatchStep::KeepLock => {
                if !self.keeps_lock(i) {
                    let lock = self.lock_file.unwrap_or_else(|| self.fresh_lock());
                    let free = !self.peers.iter().any(|peer| peer.lock == Some(lock));
                    if free || self.peer(i).lock.is_some() {
                        self.me(i).lock = free.then_some(lock);
                        self.lock_file = Some(lock);
                        self.changed();
                    }
                }
                match self.peer(i).lock {
                    Some(_) => Observation::Ours,
                    None => Observation::Other,
                }
            }
            WatchStep::Look => match self.path {
                None => Observation::Nothing,
                there if there == self.peer(i).owned => Observation::Ours,
                Some(_) => Observation::Socket,
            },
            WatchStep::Probe => match self.path.and_then(|socket| self.listener(socket)) {
                Some(_) => Observation::Alive,
                None => Observation::Nothing,
            },
        };
        match step.then(seen) {
            Verdict::Do(next) => self.me(i).work.push_front(Work::Watch(next)),
            Verdict::Ours => {}
            Verdict::Lost(what) => self.say(i, lost(what)),
        }
    }
}

const fn bound(restored: bool, bind: Bind) -> Input {
    if restored {
        Input::Restored(bind)
    } else {
        Input::Bound(bind)
    }
}
