//! Whether another socket has replaced the one that was connected to, as a pure machine.
//!
//! In: looks at the path; the process that listens there. Out: the next step, and the time until the next look.
//! Touches nothing.
//!
//! A listener of this library watches its own path: it restores its file, or, as a peer, gives the role up and
//! closes its connections. Its connectors look seldom. Another listener does not notice that its path was
//! taken, so its connectors look often enough to move within two seconds.

use std::time::Duration;

use crate::socket_file::MARK;

/// Between looks when connected to a listener of another program.
const FOREIGN_INTERVAL: Duration = Duration::from_millis(1_500);

/// Between looks when connected to a listener of this library: 0.3 wake-ups a second at most.
const OWN_INTERVAL: Duration = Duration::from_secs(4);

/// The identity of a socket file. Inodes of removed files are reused, so the modification time, which is the
/// time of the bind, distinguishes it from a later file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketFile {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// When it was last modified: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
}

impl SocketFile {
    /// True when a [`Listener`](crate::Listener) of this library has bound it: modified at a whole second. For
    /// other files that is true once in a million, and on file systems that keep whole seconds only.
    pub const fn is_marked(self) -> bool {
        self.modified.1 == MARK
    }
}

/// The result of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sighting {
    /// No socket, or the path cannot be looked at.
    Nothing,
    /// A socket.
    Socket(SocketFile),
}

/// What follows a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// Another look after [`Replacement::interval`].
    Look,
    /// Connect to this socket, and pass the result to [`Replacement::probed`].
    Probe(SocketFile),
}

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// No process listens there, or none that is allowed. It is probed again after the next look.
    Refused,
    /// A process listens there; its id, where the kernel reports it.
    Listening(Option<i32>),
}

/// The socket that was connected to, and whether another one has replaced it.
///
/// ```
/// use kyneta_uds_unix::replacement::{Answer, Next, Replacement, Sighting, SocketFile};
///
/// let bound_at = |seconds| SocketFile { device: 1, inode: 2, modified: (seconds, 7) };
/// let (first, second) = (bound_at(100), bound_at(200));
/// let seen = Sighting::Socket(first);
/// let mut replacement = Replacement::new(seen, seen, Some(42));
/// assert_eq!(replacement.looked(seen), Next::Look);
/// assert_eq!(replacement.looked(Sighting::Nothing), Next::Look);
/// assert_eq!(replacement.looked(Sighting::Socket(second)), Next::Probe(second));
/// assert!(replacement.probed(second, Answer::Listening(Some(43))));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replacement {
    /// `None` when it is not known which file was connected to.
    connected_to: Option<SocketFile>,
    /// The process that listens there.
    listener: Option<i32>,
}

impl Replacement {
    /// From a look before connecting, a look after, and the id of the process that listens, where the kernel
    /// reports it.
    pub fn new(before: Sighting, after: Sighting, listener: Option<i32>) -> Self {
        let connected_to = match before {
            Sighting::Socket(socket) if before == after => Some(socket),
            _ => None,
        };
        Self {
            connected_to,
            listener,
        }
    }

    /// The time until the next look: 4 s for a listener of this library, 1.5 s for others.
    pub fn interval(&self) -> Duration {
        match self.connected_to {
            Some(socket) if socket.is_marked() => OWN_INTERVAL,
            _ => FOREIGN_INTERVAL,
        }
    }

    /// Handles a look. A missing file is no replacement: the connection is still useful.
    pub fn looked(&self, sighting: Sighting) -> Next {
        match sighting {
            Sighting::Socket(there) if self.connected_to != Some(there) => Next::Probe(there),
            _ => Next::Look,
        }
    }

    /// Handles the result of a probe. True when this socket has replaced the one that was connected to.
    pub fn probed(&mut self, socket: SocketFile, answer: Answer) -> bool {
        let Answer::Listening(process) = answer else {
            return false;
        };
        // A listener of this library restores a lost file; the connection to it is still the right one.
        let may_be_restored = socket.is_marked() || self.connected_to.is_none();
        let is_same = process.is_some() && process == self.listener && may_be_restored;
        if is_same {
            self.connected_to = Some(socket);
        }
        !is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(inode: u64, nanos: i64) -> SocketFile {
        SocketFile {
            device: 1,
            inode,
            modified: (100, nanos),
        }
    }

    #[test]
    fn a_socket_replaces_another_when_another_process_listens_there() {
        use Answer::{Listening, Refused};
        let (foreign, ours) = (socket(1, 7), socket(1, MARK));
        let table = [
            // Connected to, seen, the answer there, replaced. We are connected to process 42.
            (Some(foreign), socket(2, 7), Listening(Some(43)), true),
            (Some(foreign), socket(2, 7), Listening(None), true),
            (Some(foreign), socket(2, 7), Refused, false),
            // A server that binds again does not close its former connections.
            (Some(foreign), socket(2, 7), Listening(Some(42)), true),
            // The inode of the removed file was used again.
            (Some(foreign), socket(1, 8), Listening(Some(43)), true),
            (Some(ours), socket(2, MARK), Listening(Some(42)), false),
            (Some(ours), socket(2, MARK), Listening(Some(43)), true),
            (Some(ours), socket(2, 7), Listening(Some(43)), true),
            // Replaced while we connected: only the process id decides.
            (None, foreign, Listening(Some(42)), false),
            (None, foreign, Listening(Some(43)), true),
            (None, foreign, Listening(None), true),
        ];
        for (connected_to, there, answer, replaced) in table {
            let case = format!("{connected_to:?} {there:?} {answer:?}");
            let seen = connected_to.map_or(Sighting::Nothing, Sighting::Socket);
            let mut replacement = Replacement::new(seen, seen, Some(42));
            let next = replacement.looked(Sighting::Socket(there));
            assert_eq!(next, Next::Probe(there), "{case}");
            assert_eq!(replacement.probed(there, answer), replaced, "{case}");
            if !replaced && answer != Refused {
                let again = replacement.looked(Sighting::Socket(there));
                assert_eq!(again, Next::Look, "{case}");
            }
        }
    }

    #[test]
    fn the_known_socket_and_a_missing_one_are_not_probed() {
        let seen = Sighting::Socket(socket(1, 7));
        let replacement = Replacement::new(seen, seen, None);
        assert_eq!(replacement.looked(seen), Next::Look);
        assert_eq!(replacement.looked(Sighting::Nothing), Next::Look);
        let other = Sighting::Socket(socket(2, 7));
        let unknown = Replacement::new(seen, other, None);
        assert_eq!(unknown.looked(other), Next::Probe(socket(2, 7)));
    }

    #[test]
    fn only_a_foreign_listener_costs_more_than_a_look_in_four_seconds() {
        for (nanos, interval) in [(7, 1_500), (0, 4_000)] {
            let seen = Sighting::Socket(socket(1, nanos));
            let replacement = Replacement::new(seen, seen, None);
            assert_eq!(replacement.interval(), Duration::from_millis(interval));
        }
    }
}
