//! The two ends of a path: a Rust one and `peer.mjs` in a process of its own.
//!
//! In: what one end does. Out: what the other one sees of it, in whichever language each is. A wait that is in vain
//! says for what.

use std::{
    ffi::OsString,
    fmt,
    process::{Command as Probe, Stdio},
    time::Duration,
};

use kyneta_uds::{
    ChannelMsg, Client, Connection, Event, Events, Identity, Incoming, PeerChange, ReconnectPolicy,
    Server, WireVersion,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc::Receiver,
    time::timeout,
};
use tower::{Service as _, ServiceExt as _};

use crate::support::{Bus, collect};

/// Limit of each step.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not come within {DEADLINE:?}"),
    }
}

/// Which side listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    RustListens,
    RustConnects,
}

/// One combination of runtime, role and wire version.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    runtime: OsString,
    pub(crate) role: Role,
    pub(crate) wire: WireVersion,
    option: Option<&'static str>,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runtime, wire) = (self.runtime.display(), self.wire);
        write!(f, "{:?}, {runtime}, wire {wire}", self.role)
    }
}

/// Node, and Bun where `KYNETA_BUN` says.
pub(crate) fn runtimes() -> impl Iterator<Item = OsString> {
    let node = Some(OsString::from("node")).filter(|node| {
        let found = Probe::new(node).arg("--version").output().is_ok();
        if !found {
            println!("skipped: there is no `node` on the PATH");
        }
        found
    });
    node.into_iter().chain(std::env::var_os("KYNETA_BUN"))
}

/// All combinations that this machine can run.
pub(crate) fn pairs() -> impl Iterator<Item = Setting> {
    runtimes().flat_map(|runtime| {
        let wires = [WireVersion::V2, WireVersion::V3];
        let roles = [Role::RustListens, Role::RustConnects];
        roles.into_iter().flat_map(move |role| {
            let runtime = runtime.clone();
            wires.map(|wire| Setting {
                runtime: runtime.clone(),
                role,
                wire,
                option: None,
            })
        })
    })
}

impl Setting {
    /// With an option of the script.
    pub(crate) fn with(&self, option: &'static str) -> Self {
        Self {
            option: Some(option),
            ..self.clone()
        }
    }

    /// Both ends, after the handshake.
    pub(crate) async fn meet(&self) -> Pair {
        self.prepare().await.meet().await
    }

    /// The listening end.
    pub(crate) async fn prepare(&self) -> Prepared {
        let bus = Bus::new();
        let (handler, inbox) = collect(64);
        let listening = match self.role {
            Role::RustListens => {
                let builder = Server::builder(&bus.path).identity(rust()).relay(false);
                let events = builder.events();
                Listening::Rust(builder.listen(handler).await.unwrap(), events)
            }
            Role::RustConnects => {
                let mut node = self.node("listen", &bus);
                node.until("listening").await;
                Listening::Node(Box::new(node), handler)
            }
        };
        Prepared {
            setting: self.clone(),
            bus,
            inbox,
            listening,
        }
    }

    fn node(&self, role: &str, bus: &Bus) -> Node {
        let mut command = Command::new(&self.runtime);
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/peer.mjs"))
            .arg(role)
            .arg(&bus.path)
            .arg(self.wire.byte().to_string())
            .args(self.option)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        Node {
            stdin: process.stdin.take().unwrap(),
            events: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
            met: Value::Null,
        }
    }
}

fn rust() -> Identity {
    Identity::service("rust").unwrap()
}

type Handler = tower::util::BoxCloneService<Incoming, (), std::convert::Infallible>;

enum Listening {
    Rust(Server, Events),
    Node(Box<Node>, Handler),
}

/// One end listens.
pub(crate) struct Prepared {
    setting: Setting,
    bus: Bus,
    inbox: Receiver<Incoming>,
    listening: Listening,
}

impl Prepared {
    /// The other end connects.
    pub(crate) async fn meet(self) -> Pair {
        let (rust, owner, mut events, mut node) = match self.listening {
            Listening::Rust(server, events) => {
                let node = self.setting.node("connect", &self.bus);
                (None, Owner::Server(server), events, Box::new(node))
            }
            Listening::Node(node, handler) => {
                let builder = Client::builder(&self.bus.path)
                    .reconnect(ReconnectPolicy::off())
                    .identity(rust());
                let events = builder.events();
                let client = soon("a listener", builder.connect(handler)).await.unwrap();
                let connection = client.connection().unwrap();
                (Some(connection), Owner::Client(client), events, node)
            }
        };
        let peer = loop {
            match soon("a peer", events.recv()).await {
                Some(Event::Peer {
                    peer,
                    change: PeerChange::Established,
                }) => break peer,
                Some(Event::State(_)) => {}
                other => panic!("{}: {other:?}", self.setting),
            }
        };
        let rust = match &owner {
            Owner::Server(server) => server.connection(&peer.identity().peer_id),
            Owner::Client(_) => rust,
        };
        node.met = node.until("established").await;
        Pair {
            rust: rust.unwrap(),
            node: *node,
            inbox: self.inbox,
            events,
            _owner: owner,
            _bus: self.bus,
        }
    }
}

enum Owner {
    Server(Server),
    Client(#[expect(dead_code, reason = "held for what its last drop does")] Client),
}

/// A Rust and a JavaScript peer after their handshake.
pub(crate) struct Pair {
    pub(crate) rust: Connection,
    pub(crate) node: Node,
    inbox: Receiver<Incoming>,
    events: Events,
    _owner: Owner,
    _bus: Bus,
}

impl Pair {
    /// Sends from the Rust side.
    pub(crate) async fn send(&mut self, msg: ChannelMsg) {
        self.rust.ready().await.unwrap().call(msg).await.unwrap();
    }

    /// The next message on the Rust side.
    pub(crate) async fn receive(&mut self) -> Incoming {
        soon("a message", self.inbox.recv()).await.unwrap()
    }

    /// The end of the Node side, as the Rust side reports it.
    pub(crate) async fn end(&mut self) -> PeerChange {
        loop {
            match soon("an end", self.events.recv()).await {
                Some(Event::Peer { change, .. }) => return change,
                Some(Event::HighWater { .. } | Event::Drained { .. } | Event::State(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Ends both sides in order, and checks that no error was reported.
    pub(crate) async fn part(mut self) {
        assert_eq!(self.rust.dispose().await.kind(), "intentional");
        self.node.until("close").await;
        assert!(self.inbox.try_recv().is_err());
        let change = self.end().await;
        assert!(matches!(change, PeerChange::Disconnected(_)), "{change:?}");
    }
}

/// The process in which `peer.mjs` runs.
pub(crate) struct Node {
    process: Child,
    stdin: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
    /// The event of its handshake with the Rust side.
    pub(crate) met: Value,
}

impl Node {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Sends it a command.
    pub(crate) async fn say(&mut self, command: Value) {
        let line = format!("{command}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    /// Its next event.
    async fn event(&mut self) -> Value {
        let line = soon("an event of Node's", self.events.next_line()).await;
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }

    /// The next message that it received.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            let event = self.event().await;
            // The reference's connecting side repeats it; ours does not.
            if event["event"] != "established-again" {
                assert_ne!(event["event"], "error", "{event}");
                return event;
            }
        }
    }

    /// The next event of that name. Other events before it are skipped, except errors.
    pub(crate) async fn until(&mut self, name: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["event"] == name {
                return event;
            }
            assert_ne!(event["event"], "error", "{event} before {name}");
        }
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }
}
