//! An engine inside this process, for tests: machines are keys, and paths between them can be cut.
//!
//! In: keys. Out: byte streams in memory. May touch: nothing else.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use kyneta_uds_core::ignore_poison;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::{
    cut::Cut,
    engine::{Accept, Accepted, Remote},
    name::MachineKey,
};

/// How many bytes may be under way in each direction of a stream.
const CAPACITY: usize = 64 * 1024;

/// How many connections may wait to be accepted.
const BACKLOG: usize = 64;

/// Machines of this process, by key. Cloneable.
///
/// ```
/// use kyneta_uds_machines::{MachineKey, memory::Network};
/// let (network, a, b) = (Network::new(), MachineKey::from([1; 32]), MachineKey::from([2; 32]));
/// network.cut(a, b); // streams between them end, and none can be opened
/// network.heal(a, b);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Network {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    listeners: BTreeMap<MachineKey, mpsc::Sender<(MachineKey, Stream)>>,
    is_cut: HashSet<[MachineKey; 2]>,
    paths: BTreeMap<[MachineKey; 2], CancellationToken>,
}

fn pair(a: MachineKey, b: MachineKey) -> [MachineKey; 2] {
    [a.min(b), a.max(b)]
}

impl Network {
    /// Without machines.
    pub fn new() -> Self {
        Self::default()
    }

    /// A machine listens. If another one listens with this key, it gets nothing any more, as a process whose address
    /// another one has taken.
    pub fn listen(&self, me: MachineKey) -> Listener {
        let (to_me, arrivals) = mpsc::channel(BACKLOG);
        self.lock().listeners.insert(me, to_me);
        Listener(arrivals)
    }

    /// The connector of a machine.
    pub fn dialer(&self, me: MachineKey) -> Dialer {
        let network = self.clone();
        Dialer { network, me }
    }

    /// All streams between two machines end, and none can be opened.
    pub fn cut(&self, a: MachineKey, b: MachineKey) {
        let mut inner = self.lock();
        inner.is_cut.insert(pair(a, b));
        if let Some(path) = inner.paths.remove(&pair(a, b)) {
            path.cancel();
        }
    }

    /// Streams can be opened again.
    pub fn heal(&self, a: MachineKey, b: MachineKey) {
        self.lock().is_cut.remove(&pair(a, b));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        ignore_poison(self.inner.lock())
    }

    fn open(&self, from: MachineKey, to: MachineKey) -> io::Result<Stream> {
        let mut inner = self.lock();
        if inner.is_cut.contains(&pair(from, to)) {
            return Err(io::Error::new(
                io::ErrorKind::HostUnreachable,
                "the path is cut",
            ));
        }
        let cut = inner.paths.entry(pair(from, to)).or_default().clone();
        let (ours, theirs) = duplex(CAPACITY);
        let listener = inner
            .listeners
            .get(&to)
            .ok_or(io::ErrorKind::ConnectionRefused)?;
        let theirs = Stream::new(theirs, cut.clone());
        listener
            .try_send((from, theirs))
            .map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Stream::new(ours, cut))
    }
}

/// The connector of a machine in memory.
#[derive(Debug, Clone)]
pub struct Dialer {
    network: Network,
    me: MachineKey,
}

impl Service<Remote<MachineKey>> for Dialer {
    type Response = Stream;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Stream>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, remote: Remote<MachineKey>) -> Self::Future {
        std::future::ready(self.network.open(self.me, remote.key))
    }
}

/// Accepts connections in memory.
#[derive(Debug)]
pub struct Listener(mpsc::Receiver<(MachineKey, Stream)>);

impl Accept for Listener {
    type Io = Stream;

    async fn accept(&mut self) -> Option<Accepted<Stream>> {
        match self.0.recv().await {
            Some((key, stream)) => Some(Accepted::new(key, async { Ok(stream) })),
            // Another one listens with this key.
            None => std::future::pending().await,
        }
    }
}

/// A byte stream in memory, which ends with its path.
#[derive(Debug)]
pub struct Stream {
    io: DuplexStream,
    cut: Cut,
}

impl Stream {
    fn new(io: DuplexStream, cut: CancellationToken) -> Self {
        let cut = Cut::new(&cut);
        Self { io, cut }
    }
}

fn alive(is_cut: Poll<()>) -> io::Result<()> {
    match is_cut {
        Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
        Poll::Pending => Ok(()),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        alive(self.cut.poll_read(cx))?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        alive(self.cut.poll_write(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        alive(self.cut.poll_write(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
