//! What processes of earlier releases hand over is taken over: the state of the listener, of the process, of the
//! connections of each stack, as the sealed file has them (tests/vectors/saved-process.json).

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::ready,
    io::Read as _,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use kyneta_uds::{
    Bus, BusIncoming, Client, Identity, Incoming, Listener, Server, WireVersion, default_stack,
    framing::WireMode,
    protocol::{DocEntry, DocId, Interest, ReplicaType, Saved, SavedBytes, SavedValue, SchemaHash},
};
use kyneta_uds_handoff::{Frozen, HandOver, Limits, Offer, Outcome, Refusal, take_over};
use serde_json::Value;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tower::service_fn;

use crate::offer;

fn vectors() -> Vec<Value> {
    let vectors = include_str!("../vectors/saved-process.json");
    serde_json::from_str(vectors).unwrap()
}

fn service(id: &str) -> Identity {
    Identity::service(id).unwrap()
}

/// The values of a sealed file: that with the process's, then those of the connections.
fn values(mut file: &[u8]) -> Vec<Saved> {
    let mut values = Vec::new();
    while !file.is_empty() {
        values.push(Saved::decode_first(&mut file).unwrap());
    }
    values
}

/// The sealed file of the process that serves `path`. It serves on.
async fn saved_at(path: &Path) -> Vec<u8> {
    let path = path.to_owned();
    let asking = spawn_blocking(move || {
        let mut file = Vec::new();
        let looked = take_over(&path, Limits::default(), |received| {
            let states = received.connections.iter().map(|(_, state)| state.as_ref());
            let lengths = states
                .clone()
                .map(|state| SavedValue::from(state.len() as u64));
            file = Saved::new(1, 1)
                .with("process", received.process)
                .with("lengths", lengths.collect::<Vec<_>>())
                .encode();
            file.extend(states.flatten());
            Err::<(), _>(Refusal::Other("it only looks".to_owned()))
        });
        assert!(looked.is_err());
        file
    });
    asking.await.unwrap()
}

/// A process of another release, which hands over what it has saved, with one end of a pair for each connection.
struct Former {
    shared: Vec<OwnedFd>,
    process: Saved,
    connections: Vec<(UnixStream, Saved)>,
}

impl HandOver for Former {
    fn shared(&mut self) -> Vec<BorrowedFd<'_>> {
        self.shared.iter().map(|shared| shared.as_fd()).collect()
    }

    fn connections(&self) -> usize {
        self.connections.len()
    }

    fn freeze(&mut self) -> Result<Frozen, Refusal> {
        let copies = self.connections.iter().map(|(stream, state)| {
            let copy = stream.try_clone().unwrap();
            (copy.into(), SavedBytes::from(state))
        });
        Ok(Frozen {
            process: self.process.clone(),
            connections: copies.collect(),
        })
    }

    fn thaw(&mut self, _: Option<Frozen>) {}
}

/// Serves `path` as the process that has saved `file` did: the ends of its peers, whether it was taken over, and its
/// listener, which then leaves.
async fn former(path: &Path, file: &[u8]) -> (Vec<UnixStream>, JoinHandle<bool>, Listener) {
    let mut values = values(file).into_iter();
    let first = values.next().unwrap();
    let process = first.part("process").unwrap();
    let listener = Listener::bind(path).await.unwrap();
    let (mut shared, here) = listener.hand_over().unwrap();
    // The socket's file is another one; all else is as it was saved.
    let mut there = process.part("listener").unwrap().clone();
    for name in ["device", "inode"] {
        there = there.with(name, here.number(name).unwrap());
    }
    let offered = Offer::bind(path).unwrap();
    shared.push(offered.as_fd().try_clone_to_owned().unwrap());
    let pairs = values.map(|state| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ((ours, state), theirs)
    });
    let (connections, peers) = pairs.unzip();
    let mut former = Former {
        shared,
        process: process.clone().with("listener", there),
        connections,
    };
    let serving = spawn_blocking(move || {
        loop {
            if let Some(asking) = offered.accept().unwrap() {
                let outcome = asking.hand_over(&mut former, Limits::default());
                return matches!(outcome, Outcome::Left { .. });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    (peers, serving, listener)
}

/// The names, versions and types in encoded values: what a reader of a state relies on. Items of a list count once.
fn shape(file: &[u8]) -> BTreeSet<String> {
    let (mut shape, mut rest) = (BTreeSet::new(), file);
    while !rest.is_empty() {
        walk(&mut rest, "", &mut shape);
    }
    shape
}

fn walk(rest: &mut &[u8], at: &str, shape: &mut BTreeSet<String>) {
    let start = take(rest, 1)[0];
    let number = match start & 0x1f {
        small @ 0..24 => u64::from(small),
        more => take(rest, 1 << (more - 24))
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)),
    };
    let kind = match start >> 5 {
        0 if at.ends_with(".version") || at.ends_with(".lowest") => number.to_string(),
        0 => "number".to_owned(),
        2 | 3 => {
            take(rest, number as usize);
            if start >> 5 == 2 { "bytes" } else { "text" }.to_owned()
        }
        4 => {
            for _ in 0..number {
                walk(rest, &format!("{at}[]"), shape);
            }
            "list".to_owned()
        }
        5 => {
            for _ in 0..number {
                let length = usize::from(take(rest, 1)[0] & 0x1f);
                let name = String::from_utf8(take(rest, length).to_vec()).unwrap();
                walk(rest, &format!("{at}.{name}"), shape);
            }
            "part".to_owned()
        }
        _ => "flag".to_owned(),
    };
    shape.insert(format!("{at}: {kind}"));
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

/// A file that this version has saved has the shape of the last vector.
fn is_as_the_last(kind: &str, file: &[u8]) {
    let last = vectors().pop().unwrap();
    let last = hex::decode(last[kind].as_str().unwrap()).unwrap();
    assert_eq!(
        shape(file),
        shape(&last),
        "it saves something else now; a new vector: {}",
        hex::encode(file)
    );
}

fn ignore() -> impl kyneta_uds::Handler + Clone {
    service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())))
}

#[tokio::test]
async fn the_state_of_a_server_has_the_shape_of_the_last_vector() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let server = Server::builder(&path).identity(service("listener"));
    let server = server.take_over().listen(ignore()).await.unwrap();
    let mut clients = Vec::new();
    for (id, wire) in [("new", WireVersion::V3), ("old", WireVersion::V2)] {
        let client = Client::builder(&path).identity(service(id));
        let client = client.stack(default_stack(WireMode::Fixed(wire)));
        clients.push(client.connect(ignore()).await.unwrap());
        while server.connection_count() < clients.len() {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let doc = DocId::new("d").unwrap();
    let loro = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let entry = DocEntry::new(doc.clone(), loro, SchemaHash::new("02ab").unwrap());
    let [new, old] = clients.as_mut_slice() else {
        panic!("two")
    };
    new.queue(kyneta_uds::ChannelMsg::Present(vec![entry]))
        .await
        .unwrap();
    old.queue(Interest::new(doc).into()).await.unwrap();
    new.queue(offer(1, 64)).await.unwrap();
    for mut to in server.connections() {
        to.queue(offer(2, 64)).await.unwrap();
        to.flushed().await.unwrap();
    }
    sleep(Duration::from_millis(100)).await;
    is_as_the_last("server", &saved_at(&path).await);
    server.dispose().await;
}

#[tokio::test]
async fn a_server_goes_on_with_the_states_of_all_releases() {
    for vector in vectors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.sock");
        let file = hex::decode(vector["server"].as_str().unwrap()).unwrap();
        let (peers, serving, listener) = former(&path, &file).await;
        let server = Server::builder(&path).identity(service("listener"));
        let server = server.take_over().listen(ignore()).await.unwrap();
        assert!(serving.await.unwrap(), "{vector}");
        listener.leave();
        let mut connections = server.connections();
        connections.sort_by_key(|of| of.peer_id().as_str().to_owned());
        let ids = connections.iter().map(|of| of.peer_id().as_str());
        assert_eq!(ids.collect::<Vec<_>>(), ["new", "old"]);
        for connection in &mut connections {
            connection.queue(offer(3, 64)).await.unwrap();
            connection.flushed().await.unwrap();
        }
        // The frames that the former process would have sent next: their numbers, and aliases in the place of names.
        let mut said = Vec::new();
        for mut peer in peers {
            let mut bytes = vec![0; 4096];
            let count = peer.read(&mut bytes).unwrap();
            said.push(hex::encode(&bytes[..count]));
        }
        said.sort();
        assert_eq!(serde_json::json!(said), vector["server-says-next"]);
        timeout(Duration::from_secs(5), server.dispose())
            .await
            .unwrap();
    }
}

fn bus(path: &Path, id: &str) -> kyneta_uds::bus::BusBuilder<String> {
    Bus::builder(path).identity(service(id)).protocol("test/1")
}

fn ignore_all() -> impl tower::Service<
    BusIncoming<String>,
    Response = (),
    Error = Infallible,
    Future = std::future::Ready<Result<(), Infallible>>,
> + Send
+ 'static {
    service_fn(|_: BusIncoming<String>| ready(Ok(())))
}

async fn until_members(bus: &Bus<String>, count: usize) {
    let mut watch = bus.watch_members();
    while watch.get().len() != count {
        timeout(Duration::from_secs(20), watch.changed())
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn the_state_of_a_bus_has_the_shape_of_the_last_vector() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let hub = bus(&path, "hub")
        .take_over()
        .join(ignore_all())
        .await
        .unwrap();
    let member = bus(&path, "member").join(ignore_all()).await.unwrap();
    until_members(&hub, 1).await;
    let mut to = member.member("hub").unwrap();
    to.send("hello".to_owned()).await.unwrap();
    hub.member("member")
        .unwrap()
        .send("hello".to_owned())
        .await
        .unwrap();
    sleep(Duration::from_millis(100)).await;
    is_as_the_last("bus", &saved_at(&path).await);
    member.dispose().await;
    hub.dispose().await;
}

#[tokio::test]
async fn a_bus_goes_on_with_the_states_of_all_releases() {
    for vector in vectors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.sock");
        let file = hex::decode(vector["bus"].as_str().unwrap()).unwrap();
        let (_peers, serving, listener) = former(&path, &file).await;
        let hub = bus(&path, "hub")
            .take_over()
            .join(ignore_all())
            .await
            .unwrap();
        assert!(serving.await.unwrap(), "{vector}");
        listener.leave();
        let members = hub.watch_members().get();
        let ids: Vec<_> = members.iter().map(|of| of.id.as_str().to_owned()).collect();
        assert_eq!(ids, ["member"]);
        hub.dispose().await;
    }
}
