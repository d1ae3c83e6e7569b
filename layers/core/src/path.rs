//! The address of a bus: a pathname, or on Linux a name in the abstract namespace.
//!
//! In: any path. Out: one that fits `sockaddr_un`. Touches nothing.

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

/// The address of a bus.
///
/// A path that begins with `@` is a name in Linux's abstract namespace (as `ss` and systemd write it). For a
/// file with such a name, write `./@name`.
///
/// An abstract name has no file, so no mode and no directory protects it: any process in the same network
/// namespace, of any user, can connect, and can bind the name before its listener does. The only protection is
/// that each side checks the other's credentials.
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
    /// The path is empty.
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
    /// It contains a NUL byte, where the kernel would end the path.
    #[error("socket path {path:?} contains a NUL byte")]
    Nul {
        /// As given.
        path: PathBuf,
    },
    /// Abstract names exist only on Linux.
    #[error(
        "socket path {path:?} is an abstract name, which this platform does not support; for a file, write ./ before it"
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
    /// Checks the path: not empty, without NUL, within [`Self::limit`]. Does not access the file system.
    ///
    /// # Errors
    /// [`SocketPathError`] says which check failed.
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

macro_rules! try_from {
    ($($path:ty),*) => {
        $(impl TryFrom<$path> for SocketPath {
            type Error = SocketPathError;
            fn try_from(path: $path) -> Result<Self, SocketPathError> {
                Self::new(path)
            }
        })*
    };
}
try_from!(&str, String, &Path, PathBuf, &PathBuf);
