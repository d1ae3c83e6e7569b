//! Reports to a connector that another socket has replaced the one that it is connected to.
//!
//! In: a path, looked at before and after connecting. Out: a wake, once. May touch: the process's thread for
//! periodic checks; the path, and a connection to another socket there, which is closed at once.

mod machine;

use std::{
    fs::{self, Metadata},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf, absolute},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use kyneta_uds_core::SocketPath;

pub use self::machine::{Answer, Next, Replacement, Sighting, SocketFile};
use crate::{
    access_policy::AccessPolicy,
    mutex::lock,
    probe,
    watch::{Notify, PeriodicCheck, Reason},
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

/// Reports that another socket, at which a process listens, has replaced the one that was connected to: the
/// connected listener has lost the path. It reports within two seconds, or within four when that listener is of
/// this library, which watches its path itself.
///
/// It costs no file descriptor and no timer of the runtime: one thread of the process looks at all such paths,
/// every 1.5 s or 4 s.
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
    /// `None` where there is no file to watch.
    watched: Option<WatchedPath>,
    /// The waker that `notify` has.
    waker: Option<Waker>,
    replaced: bool,
}

#[derive(Debug)]
struct WatchedPath {
    file: PathBuf,
    allow: AccessPolicy,
    notify: Arc<Notify>,
    replacement: Arc<Mutex<Replacement>>,
    _check: PeriodicCheck,
}

impl ReplacementWatch {
    /// Watches a connection to `path`, made after the look `before`. `listener` is the id of the process that
    /// listens, where the kernel reports it
    /// ([`ConnectionInfo::credentials`](kyneta_uds_core::ConnectionInfo::credentials)). It never reports for an
    /// abstract name, which cannot be replaced, nor where no thread can be started, which is logged.
    pub fn new(path: &SocketPath, before: Sighting, listener: Option<i32>) -> Self {
        let watched = path
            .as_pathname()
            .and_then(|file| WatchedPath::new(file, before, listener));
        Self {
            watched,
            waker: None,
            replaced: false,
        }
    }

    /// Reports a replacement only if the policy allows the process that listens there; any by default. A useful
    /// connection should not be given up for a listener that will be rejected.
    pub fn allow(mut self, allow: AccessPolicy) -> Self {
        if let Some(watched) = &mut self.watched {
            watched.allow = allow;
        }
        self
    }

    /// Ready, and then always, when another socket is at the path and a process listens there. Wakes the last
    /// task that has polled it. Two comparisons while nothing has happened: cheap enough for every poll of a
    /// connection.
    ///
    /// Cancel safe.
    pub fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(watched) = &self.watched else {
            return Poll::Pending;
        };
        if self.replaced {
            return Poll::Ready(());
        }
        let waker = self.waker.as_ref();
        let is_known = waker.is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_known && watched.notify.is_quiet() {
            return Poll::Pending;
        }
        self.waker = None;
        while watched.notify.poll(cx).is_ready() {
            if watched.is_replaced() {
                self.replaced = true;
                return Poll::Ready(());
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl WatchedPath {
    fn new(file: &Path, before: Sighting, listener: Option<i32>) -> Option<Self> {
        // The working directory may change.
        let file = absolute(file).ok()?;
        let replacement = Replacement::new(before, Sighting::at(&file), listener);
        let interval = replacement.interval();
        let replacement = Arc::new(Mutex::new(replacement));
        let notify = Arc::<Notify>::default();
        let look = {
            let (file, notify, replacement) = (file.clone(), notify.clone(), replacement.clone());
            move || {
                let replacement = lock(&replacement);
                let (next, interval) = (
                    replacement.looked(Sighting::at(&file)),
                    replacement.interval(),
                );
                drop(replacement);
                if let Next::Probe(_) = next {
                    notify.notify(Reason::Change);
                }
                interval
            }
        };
        let check = PeriodicCheck::start(interval, look);
        if check.is_none() {
            tracing::warn!(file = %file.display(), "no thread can be started to watch the path");
        }
        Some(Self {
            file,
            allow: AccessPolicy::anyone(),
            notify,
            replacement,
            _check: check?,
        })
    }

    /// Looks again, and probes another socket.
    fn is_replaced(&self) -> bool {
        let next = lock(&self.replacement).looked(Sighting::at(&self.file));
        match next {
            Next::Look => false,
            Next::Probe(socket) => {
                // The policy's predicate is code of the user: not under the lock.
                let answer = ask(&self.file, &self.allow);
                lock(&self.replacement).probed(socket, answer)
            }
        }
    }
}

/// Which process listens at a socket. A process that is not allowed does not count.
fn ask(file: &Path, allow: &AccessPolicy) -> Answer {
    match probe::listener(file) {
        Some(credentials) if allow.allows(credentials) => {
            Answer::Listening(credentials.and_then(|of| of.pid))
        }
        _ => Answer::Refused,
    }
}
