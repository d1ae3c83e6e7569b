//! What tests share: a socket in a directory of its own, messages, frames as bytes, the log.
//!
//! In: what a test wants at its path. Out: sockets, messages, what was logged. What does not come within twenty
//! seconds ends the test.
#![allow(dead_code)] // Each test uses its part.
#![allow(clippy::unwrap_used)] // No test function stands here, but only tests call.

use std::{
    convert::Infallible,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
};

use kyneta_uds::{
    ChannelMsg, DocId, Event, Events, Identity, Incoming, Offer, PeerChange, Server, Version,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceExt as _, service_fn, util::BoxCloneService};
use tracing::{level_filters::LevelFilter, subscriber::DefaultGuard};

pub(crate) struct Bus {
    pub(crate) path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Bus {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            path: dir.path().join("bus.sock"),
            _dir: dir,
        }
    }

    /// Its path as an argument.
    pub(crate) fn at(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// A server that sends everything back.
    pub(crate) async fn echo(&self, id: &str) -> Server {
        let echo = service_fn(async |incoming: Incoming| {
            incoming.from().ready().await?.call(incoming.message).await
        });
        let identity = Identity::service(id).unwrap();
        Server::builder(&self.path)
            .identity(identity)
            .relay(false)
            .listen(echo)
            .await
            .unwrap()
    }
}

type Collector = BoxCloneService<Incoming, (), Infallible>;

/// A handler that puts each message into a channel, waiting for room. Once the receiver is dropped,
/// messages are dropped.
pub(crate) fn collect(room: usize) -> (Collector, mpsc::Receiver<Incoming>) {
    let (sender, receiver) = mpsc::channel(room);
    let handler = service_fn(move |incoming: Incoming| {
        let sender = sender.clone();
        let put: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            let _ = sender.send(incoming).await;
            Ok(())
        });
        put
    });
    (BoxCloneService::new(handler), receiver)
}

pub(crate) fn dismiss(doc: &str) -> ChannelMsg {
    ChannelMsg::Dismiss(DocId::new(doc).unwrap())
}

pub(crate) fn service(id: &str) -> Identity {
    Identity::service(id).unwrap()
}

/// An error with all that caused it, on one line.
pub(crate) fn said(error: &(dyn std::error::Error + 'static)) -> String {
    kyneta_uds::Chain(error).to_string()
}

/// Fails the test if `what` takes longer than 20 s.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, what).await.unwrap()
}

/// The changes of peers and roles, by name, up to `until`.
pub(crate) async fn changes(events: &mut Events, until: &str) -> Vec<String> {
    let mut changes = Vec::new();
    while changes.last().is_none_or(|last| last != until) {
        let event = match soon(events.recv()).await.unwrap() {
            Event::Role(role) => role.to_string(),
            Event::Peer { peer, change } => {
                let change = match change {
                    PeerChange::Established => "established",
                    PeerChange::Reconnected => "reconnected",
                    PeerChange::Disconnected(_) => "disconnected",
                    PeerChange::Departed => "departed",
                    _ => continue,
                };
                format!("{} {change}", peer.identity().peer_id)
            }
            Event::DuplicatePeer { peer } => format!("{} twice", peer.identity().peer_id),
            Event::SelfConnection { .. } => "self".to_owned(),
            _ => continue,
        };
        changes.push(event);
    }
    changes
}

/// An offer of `size` bytes that are not all the same.
pub(crate) fn offer(doc: &str, size: usize) -> ChannelMsg {
    let data: Vec<u8> = (0..size).map(|i| (i * 31 + 7) as u8).collect();
    let (doc, version) = (DocId::new(doc).unwrap(), Version::new("1").unwrap());
    Offer::binary(doc, version, data).into()
}

/// This process's resident memory.
pub(crate) fn resident_bytes() -> usize {
    vitals::resident_bytes("self")
}

/// Raises the limit of open files to the hard limit.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
}

/// What proc(5) says of a process: a pid, or `self`.
pub(crate) mod vitals {
    use std::{fmt::Display, fs};

    pub(crate) fn resident_bytes(pid: impl Display) -> usize {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.split_once("VmRSS:").unwrap().1;
        let kib: usize = resident.split_whitespace().next().unwrap().parse().unwrap();
        kib << 10
    }

    /// How many files are open.
    pub(crate) fn descriptors(pid: impl Display) -> usize {
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    }

    pub(crate) fn threads(pid: impl Display) -> usize {
        fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
    }
}

/// What this thread logs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Until the guard is dropped.
    pub(crate) fn start(level: impl Into<LevelFilter>) -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The wire by hand.
pub(crate) mod raw {
    use kyneta_uds::{ChannelCodec, ChannelMsg, Codec as _, WriteBuf};

    /// `{t: 99}`: well-formed CBOR, and no message.
    pub(crate) const NO_MESSAGE: &[u8] = b"\xa1\x61t\x18\x63";

    /// The first frame of a connection: `{t: 1, id: ID, y: "bot"}`.
    pub(crate) fn establish(wire: u8, id: &str) -> Vec<u8> {
        let mut payload = b"\xa3\x61t\x01\x62id".to_vec();
        assert!(id.len() < 24);
        payload.push(0x60 | id.len() as u8);
        payload.extend(id.as_bytes());
        payload.extend(b"\x61y\x63bot");
        frame(wire, 1, &payload)
    }

    /// A message's payload, without aliases.
    pub(crate) fn payload(msg: &ChannelMsg) -> Vec<u8> {
        let mut payload = WriteBuf::default();
        ChannelCodec::new()
            .encode(msg, &mut payload.writer())
            .unwrap();
        payload.front().to_vec()
    }

    /// A complete frame.
    pub(crate) fn frame(wire: u8, seq: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![wire, 0];
        frame.extend((payload.len() as u32).to_be_bytes());
        if wire == 3 {
            frame.extend(seq.to_be_bytes());
        }
        frame.extend(payload);
        frame
    }
}
