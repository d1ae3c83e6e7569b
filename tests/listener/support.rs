//! A directory to look into, what may be in the way in it, and a process of one's own.

use std::{
    any::Any,
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    fs,
    os::unix::{
        fs::MetadataExt as _,
        net::{UnixListener as ForeignListener, UnixStream as ForeignStream},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use kyneta_uds::{
    BindError, Client, ClientError, Incoming, ListenerOptions, ReconnectPolicy, Server,
};
use tower::service_fn;

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

    /// All that can be seen of the files in it.
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

/// A socket file behind which nobody listens any more.
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

pub(crate) async fn bind_as_server(
    path: &Path,
    options: ListenerOptions,
) -> Result<Server, BindError> {
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    Server::builder(path).listener(options).listen(ignore).await
}

pub(crate) async fn connect_as_client(path: &Path) -> Result<Client, ClientError> {
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    Client::builder(path)
        .reconnect(ReconnectPolicy::off())
        .connect(ignore)
        .await
}

/// What is in the way of a bind: made in a directory, which then says all that is kept alive.
pub(crate) type InTheWay = fn(&Path) -> Box<dyn Any>;

pub(crate) fn nothing(_: &Path) -> Box<dyn Any> {
    Box::new(())
}

/// A listener whose backlog has no room, and those who fill it.
pub(crate) fn full(
    listener: tokio::net::UnixListener,
    path: &Path,
) -> (tokio::net::UnixListener, Vec<ForeignStream>) {
    let mut waiting = Vec::new();
    loop {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        match rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()) {
            Ok(()) => waiting.push(socket.into()),
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN);
                return (listener, waiting);
            }
        }
    }
}

/// A test that changes what belongs to the whole process, or must not be root, runs once more, in a
/// process of its own.
pub(crate) struct Child;

impl Child {
    /// In the child: itself. In the parent: `None`, after the child has passed.
    pub(crate) fn run(test: &str, as_nobody: bool) -> Option<Self> {
        const CHILD: &str = "KYNETA_UDS_TEST_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return Some(Self);
        }
        let mut child = Self::command(test);
        child.env(CHILD, "1");
        if as_nobody && rustix::process::geteuid().is_root() {
            child.uid(65534).gid(65534).env_remove("TMPDIR");
        }
        Self::passes(child);
        None
    }

    /// Where the test runs once more, as another user, about this path: the path. `None` where it runs first.
    pub(crate) fn path() -> Option<PathBuf> {
        std::env::var_os(Self::PATH).map(Into::into)
    }

    /// Runs the test once more, as another user, about a path. Root alone may.
    pub(crate) fn run_as(test: &str, uid: u32, path: &Path) {
        let mut child = Self::command(test);
        child.env(Self::PATH, path).uid(uid).gid(uid);
        Self::passes(child);
    }

    const PATH: &str = "KYNETA_UDS_TEST_PATH";

    fn command(test: &str) -> Command {
        // Not by its path, where nobody may have no way to.
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
