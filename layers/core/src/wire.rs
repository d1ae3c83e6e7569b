//! What is known about a connection: its wire version, and the credentials of the peer process.
//!
//! In: bytes of a header, numbers of the kernel. Out: values that are displayed alike in events and errors. Pure.

use std::fmt;

/// The two frame formats in use (wire section 2).
///
/// ```
/// use kyneta_uds_core::WireVersion;
/// assert_eq!(WireVersion::V2.header_len(), 6);
/// assert_eq!(WireVersion::from_byte(3), Some(WireVersion::V3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WireVersion {
    /// Reference 1.x: a header of 6 bytes.
    V2,
    /// Reference 2.x and 3.x: a header of 10 bytes with a sequence number.
    V3,
}

impl WireVersion {
    /// Byte 0 of each frame.
    pub const fn byte(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The version of a frame, by its byte 0.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            _ => None,
        }
    }

    /// Bytes before the payload of a complete frame.
    pub const fn header_len(self) -> usize {
        match self {
            Self::V2 => 6,
            Self::V3 => 10,
        }
    }

    /// Bytes between the header and the payload of a fragment frame.
    pub const fn fragment_len(self) -> usize {
        match self {
            Self::V2 => 10,
            Self::V3 => 8,
        }
    }

    /// The other of the two versions.
    pub const fn other(self) -> Self {
        match self {
            Self::V2 => Self::V3,
            Self::V3 => Self::V2,
        }
    }
}

impl fmt::Display for WireVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.byte().fmt(f)
    }
}

/// The peer process of a Unix socket, as reported by the kernel (unix(7), `SO_PEERCRED`).
///
/// ```
/// let root = kyneta_uds_core::Credentials { uid: 0, gid: 0, pid: Some(1) };
/// assert_eq!(root.to_string(), "uid 0 (gid 0, pid 1)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Effective user. In a user namespace, 65534 stands for every user that it does not map.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Process. `None` where the kernel does not report it, or for a process outside our pid namespace.
    pub pid: Option<i32>,
}

impl Credentials {
    /// As the kernel reports them (`SO_PEERCRED`). Linux reports pid 0 for a process that our pid namespace does
    /// not show.
    pub fn new(uid: u32, gid: u32, pid: Option<i32>) -> Self {
        let pid = pid.filter(|pid| *pid > 0);
        Self { uid, gid, pid }
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {} (gid {}", self.uid, self.gid)?;
        match self.pid {
            Some(pid) => write!(f, ", pid {pid})"),
            None => f.write_str(")"),
        }
    }
}

/// What a channel knows about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionInfo {
    /// Absent until the first frame determines it.
    pub wire: Option<WireVersion>,
    /// Absent if the connector does not expose the socket, or the stream is not a socket.
    pub credentials: Option<Credentials>,
    /// Inbound frames dropped because they repeated the frame before them (wire section 9).
    pub duplicates_dropped: u64,
    /// Inbound frames that are missing, by the peer's sequence numbers (wire section 9).
    pub frames_missing: u64,
}
