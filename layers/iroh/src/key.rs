//! A machine's secret key, in a file that its user alone may read.
//!
//! In: a path. Out: a key. May touch: that file and its directory.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use kyneta_uds_machines::MachineKey;

/// How long a key file is at most: 64 digits and the end of the line.
const MAX_FILE: u64 = 66;

/// The secret key of a machine. It shows itself by its public part.
#[derive(Clone)]
pub struct SecretKey(pub(crate) iroh::SecretKey);

impl SecretKey {
    /// A new key.
    pub fn generate() -> Self {
        Self(iroh::SecretKey::generate())
    }

    /// From its bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(iroh::SecretKey::from_bytes(bytes))
    }

    /// The key of a file: 64 hexadecimal digits. If there is none, one is made, with the mode 0600. Of several
    /// processes that make it at once, all get the same key.
    ///
    /// ```
    /// use kyneta_uds_iroh::SecretKey;
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("machine.key");
    /// let made = SecretKey::at(&path)?;
    /// assert_eq!(made.public(), SecretKey::at(&path)?.public());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`KeyFileError`]: others may read the file, it holds no key, or it cannot be read or made.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        match read(path) {
            Err(KeyFileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(|error| KeyFileError::io(path, error))?;
                read(path)
            }
            other => other,
        }
    }

    /// Its public part, by which other machines know this one.
    pub fn public(&self) -> MachineKey {
        MachineKey::from(*self.0.public().as_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

fn read(path: &Path) -> Result<SecretKey, KeyFileError> {
    let io = |error| KeyFileError::io(path, error);
    let file = fs::File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(KeyFileError::Mode { path, mode });
    }
    let not_a_key = || KeyFileError::NotAKey {
        path: path.to_owned(),
    };
    if !about.is_file() || about.len() > MAX_FILE {
        return Err(not_a_key());
    }
    let text = io::read_to_string(file).map_err(io)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim_end(), &mut bytes).map_err(|_| not_a_key())?;
    Ok(SecretKey::from_bytes(&bytes))
}

/// Written aside and then linked, so that no process sees a part of it. If another process is faster, its key stays.
fn make(path: &Path) -> io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    // 0600 from the start.
    let mut file = tempfile::Builder::new().make_in(dir, |aside| {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(aside)
    })?;
    let secret = SecretKey::generate();
    writeln!(file, "{}", hex::encode(secret.0.to_bytes()))?;
    file.as_file().sync_all()?;
    match fs::hard_link(file.path(), path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Others than its owner may read or write it.
    #[error("{} has the mode {mode:o}: a key file is for its owner alone (chmod 600)", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error("{} holds no key: a key file has 64 hexadecimal digits", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("{} cannot be read or made", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

impl KeyFileError {
    fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { path, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let makers = [(); 8].map(|()| {
            let path = path.clone();
            std::thread::spawn(move || SecretKey::at(path).unwrap().public())
        });
        let keys = makers.map(|maker| maker.join().unwrap());
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing is left"
        );
    }

    #[test]
    fn what_is_no_key_file_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let good = "07".repeat(32);
        for (text, mode, reason) in [
            (good.as_str(), 0o640, "mode 640"),
            (good.as_str(), 0o604, "mode 604"),
            ("", 0o600, "holds no key"),
            ("secret", 0o600, "holds no key"),
            (&good.repeat(2), 0o600, "holds no key"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = SecretKey::at(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{text} {mode:o}: {error}");
        }
        let none = dir.path().join("no/such/key");
        assert!(matches!(SecretKey::at(none), Err(KeyFileError::Io { .. })));
    }
}
