//! A socket of one's own, messages, and bytes by hand.
#![allow(dead_code)] // Each test uses its part.
#![allow(clippy::unwrap_used)] // No test function stands here, but only tests call.

use std::{convert::Infallible, future::Future, path::PathBuf, pin::Pin};

use kyneta_uds::{ChannelMsg, DocId, Identity, Incoming, Offer, Server, Version};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceExt as _, service_fn, util::BoxCloneService};

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

    /// A server that sends everything back.
    pub(crate) async fn echo(&self, id: &str) -> Server {
        let echo = service_fn(async |incoming: Incoming| {
            incoming.from().ready().await?.call(incoming.message).await
        });
        let identity = Identity::service(id).unwrap();
        Server::builder(&self.path)
            .identity(identity)
            .listen(echo)
            .await
            .unwrap()
    }
}

type Collector = BoxCloneService<Incoming, (), Infallible>;

/// A handler that puts what it gets into a channel, waiting for room; what nobody wants any more
/// is dropped.
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

/// What happens in good time, or never.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(20);
    tokio::time::timeout(patience, what).await.unwrap()
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

/// As many open files as may be.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
}

/// What the kernel says of a process (proc(5)): its number, or `self`.
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

pub(crate) mod raw {
    use kyneta_uds::{ChannelCodec, ChannelMsg, Codec as _, WriteBuf};

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
