//! Where a bus is: a pathname, or on Linux a name in the abstract namespace.
//!
//! In: a path of the user's. Out: one that fits `sockaddr_un`, checked once. Touches nothing.

use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
};

/// The longest pathname that fits `sockaddr_un.sun_path` with its closing NUL, bytes (unix(7)).
#[cfg(any(target_os = "linux", target_os = "android"))]
const LIMIT: usize = 107;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LIMIT: usize = 103;

/// Where a bus is.
///
/// A text that begins with `@` is a name in Linux's abstract namespace (as `ss` and systemd write
/// it); to mean a file of that name, say `./@name`.
///
/// An abstract name has no file, so neither a mode nor a directory protects it: any process in the same
/// network namespace, whatever its user, may connect, and may take the name before its listener does.
/// All that protects it is that each side looks at who the other is: the connection's credentials.
///
/// ```
/// use kyneta_uds_core::SocketPath;
///
/// let path = SocketPath::new("/run/app/bus.sock")?;
/// assert_eq!(path.as_pathname(), Some("/run/app/bus.sock".as_ref()));
/// assert!(SocketPath::new("/".repeat(200)).is_err());
/// # Ok::<(), kyneta_uds_core::SocketPathError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SocketPath(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Pathname(PathBuf),
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Abstract(Box<[u8]>),
}

/// A path that no Unix socket can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocketPathError {
    /// Nothing was given.
    #[error("the socket path is empty")]
    Empty,
    /// It does not fit the kernel's structure.
    #[error("socket path {path:?} has {len} bytes; this platform allows {limit}")]
    TooLong {
        /// As given.
        path: PathBuf,
        /// Its length, bytes.
        len: usize,
        /// The longest allowed, bytes.
        limit: usize,
    },
    /// The kernel would end the path there.
    #[error("socket path {path:?} contains a NUL byte")]
    Nul {
        /// As given.
        path: PathBuf,
    },
    /// Abstract names exist on Linux alone.
    #[error(
        "socket path {path:?} is an abstract name, which this platform has not; write ./ before it to mean a file"
    )]
    NoAbstractNames {
        /// As given.
        path: PathBuf,
    },
}

impl From<Infallible> for SocketPathError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl SocketPath {
    /// Checks the path: not empty, without NUL, within [`Self::limit`]. The file system is not asked.
    ///
    /// # Errors
    /// [`SocketPathError`] says which of these it is, with path, length and limit.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, SocketPathError> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() {
            return Err(SocketPathError::Empty);
        }
        if bytes.contains(&0) {
            return Err(SocketPathError::Nul { path: path.into() });
        }
        if bytes.len() > LIMIT {
            let (path, len) = (path.into(), bytes.len());
            return Err(SocketPathError::TooLong {
                path,
                len,
                limit: LIMIT,
            });
        }
        match bytes.strip_prefix(b"@") {
            None => Ok(Self(Kind::Pathname(path.into()))),
            Some(name) => Self::abstract_name(path, name),
        }
    }

    #[cfg(target_os = "linux")]
    fn abstract_name(_path: &Path, name: &[u8]) -> Result<Self, SocketPathError> {
        if name.is_empty() {
            return Err(SocketPathError::Empty);
        }
        Ok(Self(Kind::Abstract(name.into())))
    }

    #[cfg(not(target_os = "linux"))]
    fn abstract_name(path: &Path, _name: &[u8]) -> Result<Self, SocketPathError> {
        Err(SocketPathError::NoAbstractNames { path: path.into() })
    }

    /// The longest path of this platform, bytes: 107 on Linux, 103 elsewhere.
    pub const fn limit() -> usize {
        LIMIT
    }

    /// The file, unless the name is abstract.
    pub fn as_pathname(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Pathname(path) => Some(path),
            Kind::Abstract(_) => None,
        }
    }

    /// The name after the `@`, if the name is abstract.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Pathname(_) => None,
            Kind::Abstract(name) => Some(name),
        }
    }
}

impl fmt::Display for SocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Pathname(path) => path.display().fmt(f),
            Kind::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}

impl TryFrom<&str> for SocketPath {
    type Error = SocketPathError;
    fn try_from(path: &str) -> Result<Self, SocketPathError> {
        Self::new(path)
    }
}

impl TryFrom<&Path> for SocketPath {
    type Error = SocketPathError;
    fn try_from(path: &Path) -> Result<Self, SocketPathError> {
        Self::new(path)
    }
}

impl TryFrom<&PathBuf> for SocketPath {
    type Error = SocketPathError;
    fn try_from(path: &PathBuf) -> Result<Self, SocketPathError> {
        Self::new(path)
    }
}

impl TryFrom<PathBuf> for SocketPath {
    type Error = SocketPathError;
    fn try_from(path: PathBuf) -> Result<Self, SocketPathError> {
        Self::new(path)
    }
}

impl TryFrom<String> for SocketPath {
    type Error = SocketPathError;
    fn try_from(path: String) -> Result<Self, SocketPathError> {
        Self::new(path)
    }
}
