//! Tells a connector that another socket stands at its path than the one that it is connected to.
//!
//! In: a path, looked at before and after connecting. Out: a wake, once. May touch: the process's thread
//! for looks; the path, and a connection to another socket there, which is closed at once.

mod machine;

use std::{
    fs::{self, Metadata},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf, absolute},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use kyneta_uds_core::SocketPath;

pub use self::machine::{Answer, Next, Replacement, Sighting, SocketFile};
use crate::{
    access_policy::Allow,
    probe,
    watch::{Bell, Looking, Why},
};

impl Sighting {
    /// Looks at a path, before it is connected to. One lstat(2); an abstract name has no file.
    pub fn of(path: &SocketPath) -> Self {
        path.as_pathname().map_or(Self::Nothing, Self::at)
    }

    fn at(file: &Path) -> Self {
        match fs::symlink_metadata(file) {
            Ok(metadata) if metadata.file_type().is_socket() => Self::Socket(metadata.into()),
            _ => Self::Nothing,
        }
    }
}

impl From<Metadata> for SocketFile {
    fn from(metadata: Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Tells when another socket, at which a process listens, stands at the path than the one that was
/// connected to: the connection is to a listener that has lost the path. It tells within two seconds, and
/// of a listener of this library, which watches its path itself, within four.
///
/// It costs no file descriptor and no timer of the runtime: one thread of the process looks at all such
/// paths, every 1.5 s or 4 s.
///
/// ```
/// use kyneta_uds_core::SocketPath;
/// use kyneta_uds_unix::{ReplacementWatch, replacement::Sighting};
/// use tokio::net::{UnixListener, UnixStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let file = dir.path().join("bus.sock");
/// let path = SocketPath::new(&file)?;
/// let _first = UnixListener::bind(&file)?;
/// let before = Sighting::of(&path);
/// let stream = UnixStream::connect(&file).await?;
/// let mut watch = ReplacementWatch::new(&path, before, stream.peer_cred()?.pid());
///
/// std::fs::remove_file(&file)?;
/// let _second = UnixListener::bind(&file)?;
/// std::future::poll_fn(|cx| watch.poll_replaced(cx)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReplacementWatch {
    /// `None` where there is nothing to look at.
    looked_at: Option<LookedAt>,
    /// The waker that the bell has.
    waker: Option<Waker>,
    replaced: bool,
}

#[derive(Debug)]
struct LookedAt {
    file: PathBuf,
    allow: Allow,
    bell: Arc<Bell>,
    replacement: Arc<Mutex<Replacement>>,
    _looking: Looking,
}

impl ReplacementWatch {
    /// Of a connection to `path`, made after the look `before`. `listener` is the id of the process that
    /// listens, where the kernel tells
    /// ([`ConnectionInfo::credentials`](kyneta_uds_core::ConnectionInfo::credentials)). Of an abstract name,
    /// which cannot be replaced, it never tells; nor where no thread can be started, which is logged.
    pub fn new(path: &SocketPath, before: Sighting, listener: Option<i32>) -> Self {
        let looked_at = path
            .as_pathname()
            .and_then(|file| LookedAt::new(file, before, listener));
        Self {
            looked_at,
            waker: None,
            replaced: false,
        }
    }

    /// Tells of a process that listens at the other socket only if `allow` lets it; of any by default. A
    /// connection to a listener of use is not to be given up for one that is of none.
    pub fn allow(mut self, allow: Allow) -> Self {
        if let Some(looked_at) = &mut self.looked_at {
            looked_at.allow = allow;
        }
        self
    }

    /// Ready, from then on always, when another socket stands at the path and a process listens there. The
    /// last task that has polled it is woken. Two comparisons while nothing has happened: cheap enough for
    /// every poll of a connection.
    ///
    /// Cancel safe.
    pub fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            looked_at: Some(looked_at),
            waker,
            replaced,
        } = self
        else {
            return Poll::Pending;
        };
        if *replaced {
            return Poll::Ready(());
        }
        let is_known = waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_known && looked_at.bell.is_quiet() {
            return Poll::Pending;
        }
        *waker = None;
        loop {
            if looked_at.bell.poll(cx).is_pending() {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if looked_at.is_replaced() {
                *replaced = true;
                return Poll::Ready(());
            }
        }
    }
}

impl LookedAt {
    fn new(file: &Path, before: Sighting, listener: Option<i32>) -> Option<Self> {
        // The directory that a relative path is meant from may change.
        let file = absolute(file).ok()?;
        let replacement = Replacement::new(before, Sighting::at(&file), listener);
        let interval = replacement.interval();
        let replacement = Arc::new(Mutex::new(replacement));
        let bell = Arc::<Bell>::default();
        let look = {
            let (file, bell, replacement) = (file.clone(), bell.clone(), replacement.clone());
            move || {
                let replacement = lock(&replacement);
                let (next, interval) = (
                    replacement.looked(Sighting::at(&file)),
                    replacement.interval(),
                );
                drop(replacement);
                if let Next::Probe(_) = next {
                    bell.ring(Why::Change);
                }
                interval
            }
        };
        let looking = Looking::start(interval, look);
        if looking.is_none() {
            tracing::warn!(file = %file.display(), "no thread can be started to look at the path");
        }
        Some(Self {
            file,
            allow: Allow::anyone(),
            bell,
            replacement,
            _looking: looking?,
        })
    }

    /// Looks again, and asks who listens there.
    fn is_replaced(&self) -> bool {
        let next = lock(&self.replacement).looked(Sighting::at(&self.file));
        match next {
            Next::Look => false,
            Next::Probe(socket) => {
                // The predicate of `allow` is the user's: not under the lock.
                let answer = ask(&self.file, &self.allow);
                lock(&self.replacement).probed(socket, answer)
            }
        }
    }
}

/// Which process listens at a socket. One that is not allowed is none.
fn ask(file: &Path, allow: &Allow) -> Answer {
    match probe::listener(file) {
        Some(credentials) if allow.allows(credentials) => {
            Answer::Listening(credentials.and_then(|of| of.pid))
        }
        _ => Answer::Refused,
    }
}

/// No code that can panic runs under this lock, so poison means nothing.
fn lock(replacement: &Mutex<Replacement>) -> MutexGuard<'_, Replacement> {
    replacement.lock().unwrap_or_else(PoisonError::into_inner)
}
