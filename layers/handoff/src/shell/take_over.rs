//! The successor's shell: carries out what its machine says.
//!
//! In: the path. Out: what was taken over. May touch: the control channel, the clock. It blocks, for as long as the
//! limits say.

use std::{
    collections::VecDeque,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::Instant,
};

use bytes::Bytes;
use kyneta_uds_core::{Saved, SavedBytes};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use super::{
    TakeOverError,
    channel::{Arrived, Channel, NotSent},
    control_path,
    credentials::same_user,
    descriptors,
    memory::Memory,
    sealed,
};
use crate::{
    Formats, Limits, Refusal, Successor, SuccessorEffect as Effect, SuccessorInput as Input, Word,
};

/// Descriptors beside those of the connections: of the listener, of the state, of connections that come meanwhile.
const ROOM: u32 = 64;

/// Everything that a predecessor hands over.
#[derive(Debug)]
pub struct Received {
    /// The descriptors of listener, lock and offer, in the order of [`HandOver::shared`](super::HandOver::shared).
    pub shared: Vec<OwnedFd>,
    /// What belongs to no one connection.
    pub process: Saved,
    /// The connections, with their states. They can be read in several threads.
    pub connections: Vec<(OwnedFd, SavedBytes)>,
    /// Bytes that came ahead, in the order of [`HandOver::ahead`](super::HandOver::ahead). Some of them are written.
    pub ahead: Vec<Bytes>,
    /// The predecessor's process.
    pub pid: u32,
}

/// How taking over has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum TakeOver<T> {
    /// This process serves everything. Call listen(2) again on each listener: until then the kernel shows new
    /// clients the predecessor as the process that listens.
    All {
        /// What `prepare` has made.
        prepared: T,
        /// The predecessor's process.
        pid: u32,
        /// Since when the connections have been frozen, at the earliest.
        since: Instant,
        /// To be dropped when they are served: the kernel takes a millisecond for each thousand to have it back.
        memory: Memory,
    },
    /// The predecessor died before its state had arrived: its connections are lost. This process has what was shared:
    /// the listener with those that wait there, and the lock.
    Listener {
        /// In the order of [`HandOver::shared`](super::HandOver::shared).
        shared: Vec<OwnedFd>,
        /// The predecessor's process.
        pid: u32,
    },
    /// No process offers a handoff, or it died before it gave anything away: bind the path as always.
    Nothing,
}

/// Takes over from the process that offers a handoff of `path`. `prepare` decodes and registers what was received; it
/// must not read or write a connection, and what it makes must close without a shutdown when it is dropped, because
/// it is dropped when the predecessor has given up meanwhile. Blocks, for at most [`Limits::successor`] an answer.
///
/// ```
/// use kyneta_uds_handoff::{Limits, TakeOver, take_over};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// match take_over(&path, Limits::default(), |received| Ok(received.connections))? {
///     TakeOver::All { prepared, .. } => println!("{} connections", prepared.len()),
///     TakeOver::Nothing => println!("nothing offers"), // bind
///     _ => println!("the listener alone"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TakeOverError`]: one of the two has refused, or the channel failed. The predecessor serves on.
pub fn take_over<T>(
    path: &Path,
    limits: Limits,
    prepare: impl FnOnce(Received) -> Result<T, Refusal>,
) -> Result<TakeOver<T>, TakeOverError> {
    let control = control_path(path);
    let failed = |error: Errno| TakeOverError::Channel {
        path: control.clone(),
        source: error.into(),
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let socket = socket.map_err(failed)?;
    let address = SocketAddrUnix::new(&control).map_err(failed)?;
    // Connecting waits where others ask already.
    set_socket_timeout(&socket, Timeout::Send, Some(limits.successor)).map_err(failed)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(TakeOver::Nothing),
        Err(error) => return Err(failed(error)),
    }
    let pid = same_user(socket.as_fd()).map_err(|why| TakeOverError::Refused {
        path: control.clone(),
        why,
    })?;
    let mut effects = Vec::new();
    let machine = Successor::new(Formats::OURS, limits, descriptors::free(), &mut effects);
    let shell = Shell {
        channel: Channel::new(socket),
        machine,
        prepare: Some(prepare),
        prepared: None,
        shared: Vec::new(),
        connections: Vec::new(),
        ahead: Vec::new(),
        state: None,
        memory: Memory::default(),
        deadline: Instant::now() + limits.successor,
        asked_at: Instant::now(),
        pid,
    };
    shell.run(effects, control)
}

struct Shell<T, P> {
    channel: Channel,
    machine: Successor,
    prepare: Option<P>,
    prepared: Option<T>,
    shared: Vec<OwnedFd>,
    connections: Vec<OwnedFd>,
    ahead: Vec<Bytes>,
    /// The sealed file, and its size.
    state: Option<(OwnedFd, u64)>,
    memory: Memory,
    deadline: Instant,
    /// When it last acknowledged the listener, or what came ahead: the predecessor freezes after that.
    asked_at: Instant,
    pid: u32,
}

impl<T, P: FnOnce(Received) -> Result<T, Refusal>> Shell<T, P> {
    fn run(mut self, effects: Vec<Effect>, path: PathBuf) -> Result<TakeOver<T>, TakeOverError> {
        let mut effects = VecDeque::from(effects);
        let mut added = Vec::new();
        loop {
            let input = match effects.pop_front() {
                Some(Effect::ServeAll) => {
                    return match self.prepared {
                        Some(prepared) => Ok(TakeOver::All {
                            prepared,
                            pid: self.pid,
                            since: self.asked_at,
                            memory: self.memory,
                        }),
                        None => Ok(TakeOver::Nothing), // not said before it is prepared
                    };
                }
                Some(Effect::ServeListener) => {
                    return Ok(TakeOver::Listener {
                        shared: self.shared,
                        pid: self.pid,
                    });
                }
                Some(Effect::Bind) => return Ok(TakeOver::Nothing),
                Some(Effect::GiveUp(why)) => return Err(TakeOverError::Refused { path, why }),
                Some(effect) => self.carry_out(effect),
                None => Some(self.listen()),
            };
            if let Some(input) = input {
                self.machine.input(input, &mut added);
                effects.extend(added.drain(..));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Say(word) => {
                // The end of the channel is heard where it matters.
                let _ = self.channel.send(&word, &[], self.deadline);
                None
            }
            Effect::Wait(limit) => {
                self.deadline = Instant::now() + limit;
                None
            }
            Effect::Prepare => Some(self.prepare()),
            Effect::Commit => Some(match self.channel.send(&Word::Taken, &[], self.deadline) {
                Ok(()) => Input::Committed,
                Err(NotSent::Closed | NotSent::Failed(_)) => Input::NotCommitted,
            }),
            // The ends, above.
            Effect::ServeAll | Effect::ServeListener | Effect::Bind | Effect::GiveUp(_) => None,
        }
    }

    fn prepare(&mut self) -> Input {
        let (Some(prepare), Some((file, size))) = (self.prepare.take(), self.state.take()) else {
            return Input::NotPrepared(Refusal::Unexpected("state"));
        };
        let prepared = sealed::open(file, size).and_then(|(process, states)| {
            if states.len() != self.connections.len() {
                let (states, has) = (states.len(), self.connections.len());
                let why = format!("the state is of {states} connections, and {has} have come");
                return Err(Refusal::Other(why));
            }
            prepare(Received {
                shared: std::mem::take(&mut self.shared),
                process,
                connections: self.connections.drain(..).zip(states).collect(),
                ahead: std::mem::take(&mut self.ahead),
                pid: self.pid,
            })
        });
        match prepared {
            Ok(prepared) => {
                self.prepared = Some(prepared);
                Input::Prepared
            }
            Err(why) => Input::NotPrepared(why),
        }
    }

    /// What the predecessor says next.
    fn listen(&mut self) -> Input {
        match self.channel.receive(self.deadline) {
            Arrived::Word(word, descriptors) => match self.keep(&word, descriptors) {
                Ok(()) => Input::Heard(word),
                Err(why) => Input::Unusable(why),
            },
            Arrived::Unusable(why) => Input::Unusable(why),
            Arrived::Closed => Input::Closed,
            Arrived::Timeout => Input::Timeout,
        }
    }

    /// Keeps the descriptors that came with a word. One that has no meaning where it was said ends the handoff, which
    /// closes them.
    fn keep(&mut self, word: &Word, descriptors: Vec<OwnedFd>) -> Result<(), Refusal> {
        match word {
            // Its predecessor still serves.
            Word::Welcome { connections, .. } => {
                descriptors::make_room(self.channel.as_fd(), connections.saturating_add(ROOM));
                self.memory = Memory::touch(*connections);
            }
            Word::Shared { .. } => {
                self.shared = descriptors;
                self.memory.use_it();
                self.asked_at = Instant::now();
            }
            Word::Ahead { .. } => {
                for file in descriptors {
                    self.ahead.push(sealed::open_bytes(file)?);
                }
                self.asked_at = Instant::now();
            }
            Word::Batch { .. } => self.connections.extend(descriptors),
            Word::State { size, .. } => {
                self.state = descriptors.into_iter().next().map(|file| (file, *size));
            }
            _ => {}
        }
        Ok(())
    }
}
