//! What another user may do to a path because of its directory, as a pure check.
//!
//! In: a directory's owner and mode, and our uid. Out: a [`DirectoryRisk`], if there is one. Touches nothing.
//!
//! A user who may write to a directory may remove our socket and put another in its place. A group that may
//! write is not reported: that is how users share a path, and where each user has a group of its own, every
//! directory is writable by a group. The sticky bit is no risk, but no way to share a path either: it keeps
//! other users from removing the file of a killed listener.

use std::path::{Path, PathBuf};

/// The directory lets another user remove or replace the socket. The path is bound all the same.
///
/// Checked once, when the path is bound, and only for the directory itself, not for those above it.
///
/// ```
/// use std::{fs, os::unix::fs::PermissionsExt as _};
/// use kyneta_uds_unix::{DirectoryRisk, Listener};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// fs::set_permissions(dir, fs::Permissions::from_mode(0o777))?;
/// let listener = Listener::bind(dir.join("bus.sock")).await?;
/// assert!(matches!(listener.risk(), Some(DirectoryRisk::WorldWritable { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryRisk {
    /// Any user may write to it, and it has no sticky bit, so any user may remove the socket.
    #[error(
        "any user can replace the files in {directory} (mode {mode:04o}, owner uid {uid}): make it \
         writable by its owner alone (chmod 755), or, if several users share it, by a group that they are all \
         in (chmod 2770)"
    )]
    WorldWritable {
        /// The directory.
        directory: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user than root owns it, and may remove the socket whatever the mode.
    #[error(
        "uid {uid} can replace the files in {directory} (mode {mode:04o}), because it is its owner: use \
         a directory that belongs to this process's user (uid {ours}) or to root"
    )]
    OwnedByOther {
        /// The directory.
        directory: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
        /// Our effective uid.
        ours: u32,
    },
}

/// May do anything in every directory.
const ROOT: u32 = 0;

const WRITABLE_BY_ALL: u32 = 0o002;

/// Only its own owner, the directory's owner and root may remove a file in such a directory.
pub(crate) const STICKY: u32 = 0o1000;

impl DirectoryRisk {
    /// The greater risk, if there are two.
    pub(crate) fn of(directory: &Path, uid: u32, mode: u32, ours: u32) -> Option<Self> {
        let mode = mode & 0o7777;
        let directory = || directory.into();
        if mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0 {
            return Some(Self::WorldWritable {
                directory: directory(),
                uid,
                mode,
            });
        }
        (uid != ours && uid != ROOT).then(|| Self::OwnedByOther {
            directory: directory(),
            uid,
            mode,
            ours,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_mode_of_a_directory_make_the_risk() {
        const SAFE: &str = "safe";
        const WORLD: &str = "world-writable";
        const OTHER: &str = "owned by another user";
        let table = [
            // The file type is among the bits that a stat gives.
            (0o040_700, 1000, 1000, SAFE),
            (0o755, 1000, 1000, SAFE),
            (0o755, 0, 1000, SAFE),
            (0o1777, 0, 1000, SAFE),
            (0o1777, 1000, 1000, SAFE),
            (0o775, 1000, 1000, SAFE),
            (0o2770, 0, 1000, SAFE),
            (0o040_777, 1000, 1000, WORLD),
            (0o777, 0, 1000, WORLD),
            (0o702, 0, 0, WORLD),
            // The greater one is reported.
            (0o777, 1001, 1000, WORLD),
            (0o755, 1001, 1000, OTHER),
            // The sticky bit does not bind the directory's owner.
            (0o1777, 1001, 1000, OTHER),
            (0o500, 1001, 1000, OTHER),
            (0o700, 1000, 0, OTHER),
        ];
        for (mode, uid, ours, is) in table {
            let risk = match DirectoryRisk::of(Path::new("/run/app"), uid, mode, ours) {
                None => SAFE,
                Some(DirectoryRisk::WorldWritable { .. }) => WORLD,
                Some(DirectoryRisk::OwnedByOther { .. }) => OTHER,
            };
            assert_eq!(risk, is, "mode {mode:o} of {uid}, we are {ours}");
        }
    }

    #[test]
    fn a_risk_says_where_and_what_to_do() {
        let text = |mode, uid| {
            let risk = DirectoryRisk::of(Path::new("/run/app"), uid, mode, 1000);
            risk.map(|risk| risk.to_string()).unwrap_or_default()
        };
        assert_eq!(
            text(0o040_777, 1000),
            "any user can replace the files in /run/app (mode 0777, owner uid 1000): make it writable \
             by its owner alone (chmod 755), or, if several users share it, by a group that they are \
             all in (chmod 2770)"
        );
        assert_eq!(
            text(0o041_777, 1001),
            "uid 1001 can replace the files in /run/app (mode 1777), because it is its owner: use a \
             directory that belongs to this process's user (uid 1000) or to root"
        );
    }
}
