//! A directory to look into, obstacles at a path, and a child process.
//!
//! In: what is to lie at the path. Out: a directory of the test's own, and the names in it afterwards.
#![allow(dead_code)] // Each binary uses its part.

use std::{
    any::Any,
    collections::BTreeMap,
    error::Error,
    fs,
    os::unix::{
        fs::{MetadataExt as _, symlink},
        net::{UnixListener as ForeignListener, UnixStream as ForeignStream},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use tokio::{
    net::UnixSocket,
    runtime::{Builder, Runtime},
};

pub(crate) struct Dir(pub(crate) tempfile::TempDir);

impl Dir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("bus.sock")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.path().join("bus.sock.lock")
    }

    /// The metadata of all files in it.
    pub(crate) fn state(&self) -> BTreeMap<PathBuf, (u64, u32, u64, (i64, i64))> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                let meta = fs::symlink_metadata(entry.path()).unwrap();
                let changed = (meta.ctime(), meta.ctime_nsec());
                (entry.path(), (meta.ino(), meta.mode(), meta.len(), changed))
            })
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.state().into_keys();
        names
            .map(|path| path.file_name().unwrap().to_str().unwrap().into())
            .collect()
    }
}

/// Leaves a socket file at which no process listens any more.
pub(crate) fn stale(path: &Path) {
    drop(ForeignListener::bind(path).unwrap());
    assert!(path.exists());
}

/// An error and its causes, each once, as the command prints them.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

/// Makes an obstacle at a path, and returns what keeps it alive.
pub(crate) type Obstacle = fn(&Path) -> Box<dyn Any>;

pub(crate) fn nothing(_: &Path) -> Box<dyn Any> {
    Box::new(())
}

pub(crate) fn stale_socket(path: &Path) -> Box<dyn Any> {
    stale(path);
    Box::new(())
}

pub(crate) fn link_to_listener(path: &Path) -> Box<dyn Any> {
    let target = path.with_extension("target");
    symlink(&target, path).unwrap();
    Box::new(ForeignListener::bind(target).unwrap())
}

/// A listener with a full backlog.
pub(crate) fn busy_listener(path: &Path) -> Box<dyn Any> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

    let socket = UnixSocket::new_stream().unwrap();
    socket.bind(path).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut pending: Vec<ForeignStream> = Vec::new();
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        match rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()) {
            Ok(()) => pending.push(socket.into()),
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN);
                return Box::new((listener, pending));
            }
        }
    }
}

pub(crate) fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.unwrap()
}

/// A test that changes process-wide state, or must not be root, runs once more in a child process.
pub(crate) struct Child;

impl Child {
    /// In the child: itself. In the parent: `None`, after the child has passed.
    pub(crate) fn run(test: &str, unprivileged: bool) -> Option<Self> {
        const CHILD: &str = "KYNETA_UDS_TEST_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return Some(Self);
        }
        let mut child = Self::command(test);
        child.env(CHILD, "1");
        if unprivileged && rustix::process::geteuid().is_root() {
            child.uid(65534).gid(65534).env_remove("TMPDIR");
        }
        Self::passes(child);
        None
    }

    /// In a child that [`run_as`](Self::run_as) has started: its path. `None` in the parent.
    pub(crate) fn path() -> Option<PathBuf> {
        std::env::var_os(Self::PATH).map(Into::into)
    }

    /// Runs the test once more as another user, with this path. Only root may.
    pub(crate) fn run_as(test: &str, uid: u32, path: &Path) {
        let mut child = Self::command(test);
        child.env(Self::PATH, path).uid(uid).gid(uid);
        Self::passes(child);
    }

    const PATH: &str = "KYNETA_UDS_TEST_PATH";

    fn command(test: &str) -> Command {
        // The unprivileged user may have no access to the path of the test binary.
        let itself = Path::new("/proc/self/exe");
        let itself = if itself.exists() {
            itself.into()
        } else {
            std::env::current_exe().unwrap()
        };
        let mut child = Command::new(itself);
        child
            .args(["--exact", test, "--nocapture"])
            .current_dir("/");
        child
    }

    fn passes(mut child: Command) {
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
