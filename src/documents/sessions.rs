//! The plain JSON and ephemeral documents of the sessions in `tests/vectors/exchange-sessions.json`: whole exchanges
//! without sockets send each message that those of the reference send, in order, and end with the same values.
//!
//! What differs on purpose is in [`DIFFERENT`], by session, with the reason; and two things everywhere: an edit of several
//! fields of an ephemeral document is pushed once, and such a document keeps the version of what it took.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    path::Path,
    sync::Arc,
};

use kyneta_uds_core::{
    ByteString, ChannelMsg, Data, DocId, Encoding, Identity, Lineage, Offer, PayloadKind, SyncMode,
    Version, WireVersion,
};
use kyneta_uds_exchange::{
    DocKind, DocLimits, DocReplica, Edit, EphemeralKind, Json, JsonKind, Moment, PlainLimits,
    PlainReplica,
};
use kyneta_uds_schema::{Schema, Substrate, SubstrateError};
use kyneta_uds_sync::{ChannelKey, Policy, Resolve};
use serde_json::{Value, json};

use super::{cell::WIRES, engine::Engine, exchange::Exchange, table::Table};

const TWO: &str = "of two histories that began apart the same one stays on both sides";
const GAP: &str = "a lost push is asked for";
const KEPT: &str = "an ephemeral document keeps the version of what it took";
const COUNTED: &str = "a whole document has the count that it comes with";
const AWAY: &str = "a destroyed document stays away until it is opened here";
const ANEW: &str =
    "of a document that was destroyed and opened again, peers are asked before they are pushed to";

/// Sessions whose messages differ, with the release, and why.
const DIFFERENT: &[(&str, u64, &str)] = &[
    ("config/both-edited-before", 2, TWO),
    ("config/restart-edits-before-sync", 2, TWO),
    ("config/deny-share-to-b", 2, TWO),
    ("config/deny-reset", 2, TWO),
    ("config/two-lineages", 2, TWO),
    ("random/5010", 2, TWO),
    ("config/lost-push", 1, GAP),
    ("config/lost-push", 2, GAP),
    ("presence/triangle", 1, KEPT),
    ("presence/triangle", 2, KEPT),
    ("inject/offers", 2, COUNTED),
    ("random/5000", 2, AWAY),
    ("random/5005", 1, AWAY),
    ("random/5009", 2, AWAY),
    ("random/5025", 2, AWAY),
    ("random/5013", 2, ANEW),
    ("random/5014", 1, ANEW),
    ("random/5035", 1, ANEW),
];

/// Of these, those that end with the same values nevertheless.
const EQUAL_AT_THE_END: &[(&str, u64)] = &[
    ("config/deny-share-to-b", 2),
    ("config/deny-reset", 2),
    ("presence/triangle", 1),
    ("presence/triangle", 2),
    ("random/5025", 2),
];

/// Bytes of history that are kept, by session. What the reference drops when it is told to, ours drops when there is no
/// more room: so much that the same batches are gone.
const HISTORIES: &[(&str, usize)] = &[
    ("config/compact-then-late-reader", 150),
    ("config/compact-past-a-lagging-peer", 1 << 20),
];

/// Plain JSON documents with so many bytes of history.
#[derive(Debug)]
struct History(usize);

impl History {
    fn limits(&self, max_bytes: usize) -> PlainLimits {
        let mut limits = PlainLimits::default();
        (limits.max_bytes, limits.max_log_bytes) = (max_bytes, self.0);
        limits
    }
}

impl DocKind for History {
    fn substrate(&self) -> Substrate {
        Substrate::Plain
    }

    fn open(
        &self,
        schema: &Schema,
        limits: DocLimits,
        _: u64,
    ) -> Result<Box<dyn DocReplica>, SubstrateError> {
        let replica = PlainReplica::open(schema.clone())?;
        Ok(Box::new(replica.limits(self.limits(limits.max_bytes))))
    }

    fn headless(&self, limits: DocLimits, _: u64) -> Box<dyn DocReplica> {
        Box::new(PlainReplica::headless().limits(self.limits(limits.max_bytes)))
    }
}

/// A type of documents.
#[derive(Clone)]
struct Type {
    substrate: Substrate,
    schema: Schema,
}

struct Node {
    table: Arc<Table>,
    engine: Engine,
}

/// A link, with its ends, and whether each has heard of the other one.
struct Link {
    ends: [String; 2],
    up: [bool; 2],
}

/// Sender, receiver, and the message.
type Sent = (String, String, Value);

enum Wire {
    Hello,
    Msg(ChannelMsg),
}

struct World<'s> {
    session: &'s Value,
    types: &'s HashMap<String, Type>,
    wire: WireVersion,
    nodes: BTreeMap<String, Node>,
    /// By number; an end's channel has twice that number, and one more for the second end.
    links: BTreeMap<usize, Link>,
    connected: usize,
    under_way: VecDeque<(usize, usize, Wire)>,
    sent: Vec<Sent>,
    losses: Vec<(String, String, u64)>,
    now_ms: u64,
    random: u64,
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn doc_id(step: &Value) -> DocId {
    DocId::new(text(step, "doc")).unwrap()
}

fn json_of(value: &Value) -> Json {
    Json::parse(&value.to_string()).unwrap()
}

fn edit(op: &Value) -> Edit {
    let names: Vec<_> = list(&op[1]).iter().map(|it| it.as_str().unwrap()).collect();
    let path = names.join(".");
    let number = |at: usize| op[at].as_u64().unwrap() as usize;
    match op[0].as_str().unwrap() {
        "set" => Edit::set(&path, json_of(&op[2])),
        "push" => Edit::push(&path, json_of(&op[2])),
        "put" => Edit::put(&path, op[2].as_str().unwrap(), json_of(&op[3])),
        "remove" => Edit::remove(&path, op[2].as_str().unwrap()),
        "delete" => Edit::delete(&path, number(2), number(3)),
        "insert" => Edit::insert(&path, number(2), json_of(&op[3])),
        other => panic!("no such edit: {other}"),
    }
}

impl<'s> World<'s> {
    fn new(session: &'s Value, types: &'s HashMap<String, Type>) -> Self {
        let wire = match session["release"].as_u64() {
            Some(1) => WireVersion::V2,
            _ => WireVersion::V3,
        };
        let mut world = Self {
            session,
            types,
            wire,
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            connected: 0,
            under_way: VecDeque::new(),
            sent: Vec::new(),
            losses: Vec::new(),
            now_ms: 1_750_000_000_000,
            random: 0,
        };
        for name in session["peers"].as_object().unwrap().keys() {
            world.start(name);
        }
        world
    }

    fn identity(&self, name: &str) -> Identity {
        let id = self.session["peers"][name]["peerId"].as_str();
        Identity::service(id.unwrap_or(name)).unwrap()
    }

    fn start(&mut self, name: &str) {
        let peer = &self.session["peers"][name];
        let mut builder = Exchange::builder(self.identity(name));
        for known in list(&peer["schemas"]) {
            let known = &self.types[known.as_str().unwrap()];
            builder = builder.schema(known.substrate, known.schema.clone());
        }
        let denied = |gate: &str| {
            let denied = list(&peer[gate]).to_vec();
            move |doc: &DocId, peer: &Identity| {
                let pair = json!([doc.as_str(), peer.peer_id.as_str()]);
                !denied.contains(&pair)
            }
        };
        let mut policy = Policy::new()
            .can_share(denied("denyShare"))
            .can_accept(denied("denyAccept"))
            .can_reset(denied("denyReset"));
        let resolve = match peer["resolve"].as_str() {
            Some("defer") => Some(Resolve::Defer),
            Some("reject") => Some(Resolve::Reject),
            Some("replicate") => Some(Resolve::Replicate),
            _ => None,
        };
        if let Some(resolve) = resolve {
            policy = policy.resolve(move |_, _| Some(resolve.clone()));
        }
        let builder = builder.policy(policy);
        let machines = WIRES.map(|wire| builder.machine(wire));
        let history = HISTORIES
            .iter()
            .find(|it| it.0 == text(self.session, "name"));
        let json: Arc<dyn DocKind> = match history {
            Some((_, bytes)) => Arc::new(History(*bytes)),
            None => Arc::new(JsonKind),
        };
        let table = Table::new(
            vec![json, Arc::new(EphemeralKind)],
            Vec::new(),
            DocLimits::default(),
            usize::MAX,
        );
        let table = Arc::new(table);
        for known in list(&peer["schemas"]) {
            let known = &self.types[known.as_str().unwrap()];
            table.register(known.substrate, known.schema.clone());
        }
        let engine = Engine::new(machines, table.clone());
        self.nodes.insert(name.to_owned(), Node { table, engine });
    }

    /// Lets an exchange do something, and puts what it sends on its way.
    fn at(&mut self, name: &str, work: impl FnOnce(&mut Node)) {
        let node = self.nodes.get_mut(name).unwrap();
        work(node);
        node.engine.quiet();
        let out = std::iter::from_fn(|| node.engine.out.next()).collect::<Vec<_>>();
        for (ChannelKey(key), msg) in out {
            let (link, end) = ((key / 2) as usize, (key % 2) as usize);
            let to = &self.links[&link].ends[1 - end];
            self.sent.push((name.to_owned(), to.clone(), as_json(&msg)));
            self.send(link, 1 - end, Wire::Msg(msg));
        }
    }

    /// Sends to an end of a link, unless it is to be lost.
    fn send(&mut self, link: usize, to: usize, wire: Wire) {
        let ends = &self.links[&link].ends;
        let (from, name) = (&ends[1 - to], &ends[to]);
        let mut losses = self.losses.iter_mut();
        match losses.find(|(a, b, count)| a == from && b == name && *count > 0) {
            Some((_, _, count)) => *count -= 1,
            None => self.under_way.push_back((link, to, wire)),
        }
    }

    fn connect(&mut self, from: &str, to: &str) {
        let ends = [from.to_owned(), to.to_owned()];
        let link = self.connected;
        self.connected += 1;
        self.links.insert(
            link,
            Link {
                ends,
                up: [false; 2],
            },
        );
        self.send(link, 1, Wire::Hello);
    }

    fn cut(&mut self, link: usize) {
        let Some(cut) = self.links.remove(&link) else {
            return;
        };
        self.under_way.retain(|(other, ..)| *other != link);
        for (end, name) in cut.ends.iter().enumerate() {
            if cut.up[end] {
                let (wire, key) = (self.wire, ChannelKey((2 * link + end) as u64));
                self.at(name, |node| node.engine.down(key, wire));
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            let Some((link, end, wire)) = self.under_way.pop_front() else {
                return;
            };
            let Some(at) = self.links.get_mut(&link) else {
                continue;
            };
            let (name, other) = (at.ends[end].clone(), at.ends[1 - end].clone());
            let was_up = at.up[end];
            at.up[end] |= matches!(wire, Wire::Hello);
            let (version, key) = (self.wire, ChannelKey((2 * link + end) as u64));
            let peer = self.identity(&other);
            match wire {
                Wire::Hello if was_up => {}
                Wire::Hello => {
                    self.send(link, 1 - end, Wire::Hello);
                    self.at(&name, |node| node.engine.up(key, peer, version));
                }
                Wire::Msg(msg) => self.at(&name, |node| {
                    node.engine.received(key, &peer.peer_id, version, msg);
                }),
            }
        }
    }

    fn between(&self, a: &str, b: &str) -> Option<(usize, usize)> {
        let mut links = self.links.iter();
        links.find_map(|(number, link)| {
            let end = link.ends.iter().position(|end| end == b)?;
            (link.ends[1 - end] == a).then_some((*number, end))
        })
    }

    fn step(&mut self, step: &Value) {
        self.now_ms += 100;
        let peer = step["peer"].as_str().unwrap_or_default().to_owned();
        match text(step, "do") {
            "open" => {
                let known = self.types[text(step, "type")].clone();
                self.at(&peer, |node| {
                    let opened = node
                        .table
                        .open(&doc_id(step), known.substrate, &known.schema);
                    let (cell, is_new) = opened.unwrap();
                    if is_new {
                        node.engine.opened(&cell);
                    }
                });
            }
            "register-schema" => {
                let known = self.types[text(step, "type")].clone();
                self.at(&peer, |node| {
                    node.table.register(known.substrate, known.schema.clone());
                    node.engine.registered(known.substrate, &known.schema);
                });
            }
            "edit" => {
                self.random += 1;
                let moment = Moment {
                    now_ms: self.now_ms,
                    random: self.random,
                };
                let edits: Vec<_> = list(&step["ops"]).iter().map(edit).collect();
                self.at(&peer, |node| {
                    let cell = node.table.get(&doc_id(step)).unwrap();
                    if cell.edit(&edits, moment).unwrap().tell_engine {
                        node.engine.edited(&cell);
                    }
                });
            }
            "destroy" => self.at(&peer, |node| {
                let cell = node.table.get(&doc_id(step)).unwrap();
                node.table.remove(&cell);
                node.engine.destroyed(&cell);
            }),
            kind @ ("suspend" | "resume") => self.at(&peer, |node| {
                node.engine.suspended(&doc_id(step), kind == "suspend");
            }),
            "connect" => self.connect(text(step, "from"), text(step, "to")),
            "disconnect" => {
                let (link, _) = self.between(text(step, "a"), text(step, "b")).unwrap();
                self.cut(link);
            }
            "lose" => {
                let count = step["count"].as_u64().unwrap();
                self.losses.push((peer, text(step, "to").to_owned(), count));
            }
            "inject" => {
                let (from, to) = (text(step, "from"), text(step, "to"));
                let (link, end) = self.between(from, to).unwrap();
                let (wire, key) = (self.wire, ChannelKey((2 * link + end) as u64));
                let sender = self.identity(from).peer_id;
                let msg = offer_of(&step["msg"]);
                self.at(to, |node| node.engine.received(key, &sender, wire, msg));
            }
            "crash" => {
                let of = |link: &Link| link.ends.contains(&peer);
                let cut: Vec<_> = self.links.iter().filter(|(_, link)| of(link)).collect();
                let cut: Vec<_> = cut.into_iter().map(|(number, _)| *number).collect();
                cut.into_iter().for_each(|link| self.cut(link));
                self.nodes.remove(&peer);
            }
            "start" => self.start(&peer),
            "run" => self.run(),
            // `HISTORIES` says what it leaves.
            "compact" => {}
            other => panic!("no such step: {other}"),
        }
    }

    /// The first value that is not as the session's at its end.
    fn different_value(&self) -> Option<String> {
        for (name, docs) in self.session["final"].as_object().unwrap() {
            for (doc, theirs) in docs.as_object().unwrap() {
                let id = DocId::new(doc.as_str()).unwrap();
                let ours = self.nodes[name].table.get(&id);
                let ours = ours.map(|cell| cell.value().to_string());
                let ours: Option<Value> = ours.map(|text| serde_json::from_str(&text).unwrap());
                if ours.as_ref() != Some(theirs) {
                    return Some(format!("{name} ends with {ours:?} in {doc}, not {theirs}"));
                }
            }
        }
        None
    }
}

/// A message as the vectors have it.
fn as_json(msg: &ChannelMsg) -> Value {
    let mut value = match msg {
        ChannelMsg::Present(docs) => {
            let entry = |entry: &kyneta_uds_core::DocEntry| {
                let mode = match entry.mode {
                    SyncMode::Collaborative => 0,
                    SyncMode::Authoritative => 1,
                    _ => 2,
                };
                let replica = &entry.replica;
                json!({
                    "doc": entry.doc.as_str(), "mode": mode, "hash": entry.schema.as_str(),
                    "replica": [replica.name.as_str(), replica.major as u64, replica.minor as u64],
                })
            };
            json!({"docs": docs.iter().map(entry).collect::<Vec<_>>()})
        }
        ChannelMsg::Interest(interest) => json!({
            "doc": interest.doc.as_str(),
            "version": interest.version.as_ref().map(|version| version.as_str()),
            "reciprocate": interest.reciprocate,
        }),
        ChannelMsg::Offer(offer) => json!({
            "doc": offer.doc.as_str(),
            "kind": match offer.kind { PayloadKind::Since => "since", _ => "entirety" },
            "encoding": match offer.encoding { Encoding::Json => "json", _ => "binary" },
            "data": String::from_utf8_lossy(offer.data.as_slice()),
            "version": offer.version.as_str(),
            "lineage": offer.lineage.as_ref().map(|lineage| lineage.as_str()),
            "reciprocate": offer.reciprocate,
        }),
        ChannelMsg::Dismiss(doc) | ChannelMsg::Vacant(doc) => json!({"doc": doc.as_str()}),
        _ => json!({}),
    };
    let fields = value.as_object_mut().unwrap();
    fields.retain(|_, value| !value.is_null());
    fields.insert("type".to_owned(), json!(msg.kind()));
    value
}

fn offer_of(msg: &Value) -> ChannelMsg {
    let version = Version::new(text(msg, "version")).unwrap();
    let data = ByteString::from(msg["data"].as_str().unwrap_or_default());
    let mut offer = Offer::json(doc_id(msg), version, data);
    if msg["encoding"] == "binary" {
        offer.encoding = Encoding::Binary;
        offer.data = Data::Bytes(Default::default());
    }
    if msg["kind"] == "since" {
        offer.kind = PayloadKind::Since;
    }
    offer.reciprocate = msg["reciprocate"].as_bool();
    offer.lineage = msg["lineage"]
        .as_str()
        .map(|text| Lineage::new(text).unwrap());
    offer.into()
}

/// Lineages are drawn: one of ours stands for one of theirs.
#[derive(Default)]
struct Lineages(HashMap<String, String>);

impl Lineages {
    fn are_equal(&mut self, ours: &str, theirs: &str) -> bool {
        let known = self
            .0
            .entry(ours.to_owned())
            .or_insert_with(|| theirs.to_owned());
        known == theirs
    }

    fn are_equal_versions(&mut self, ours: &str, theirs: &str) -> bool {
        match (ours.split_once(':'), theirs.split_once(':')) {
            (Some((ours, n)), Some((theirs, m))) => n == m && self.are_equal(ours, theirs),
            _ => ours == theirs,
        }
    }

    /// Whether two messages say the same.
    fn are_equal_messages(&mut self, ours: &Value, theirs: &Value, is_ephemeral: bool) -> bool {
        let (mut a, mut b) = (ours.clone(), theirs.clone());
        let mut take = |name: &str| {
            let taken = [&mut a, &mut b].map(|it| it.as_object_mut().unwrap().remove(name));
            taken.map(|it| it.and_then(|it| it.as_str().map(str::to_owned)))
        };
        let (versions, lineages) = (take("version"), take("lineage"));
        let are_equal =
            |pair: [Option<String>; 2], equal: &mut dyn FnMut(&str, &str) -> bool| match &pair {
                [Some(a), Some(b)] => equal(a, b),
                [None, None] => true,
                _ => false,
            };
        a == b
            && are_equal(versions, &mut |a, b| {
                is_ephemeral || self.are_equal_versions(a, b)
            })
            && are_equal(lineages, &mut |a, b| self.are_equal(a, b))
    }
}

/// How a session of ours differs from one of the reference.
#[derive(Default)]
struct Difference {
    /// The first message that does, with the step.
    message: Option<String>,
    /// The first value at the end.
    value: Option<String>,
}

/// Replays a session to its end.
fn difference(session: &Value, types: &HashMap<String, Type>) -> Difference {
    let mut world = World::new(session, types);
    let mut first = None;
    let mut lineages = Lineages::default();
    let mut ephemeral = Vec::new();
    for (number, step) in list(&session["steps"]).iter().enumerate() {
        world.sent.clear();
        world.step(step);
        let mut expected: Vec<Sent> = Vec::new();
        for sent in list(&step["sent"]) {
            let (end, msg) = (|at: usize| sent[at].as_str().unwrap().to_owned(), &sent[2]);
            for entry in list(&msg["docs"]).iter().filter(|entry| entry["mode"] == 2) {
                ephemeral.push(text(entry, "doc").to_owned());
            }
            // The handshake is not the exchange's.
            if !["establish", "depart"].contains(&text(msg, "type")) {
                expected.push((end(0), end(1), msg.clone()));
            }
        }
        let is_ephemeral = |msg: &Value| {
            msg["doc"]
                .as_str()
                .is_some_and(|doc| ephemeral.iter().any(|it| it == doc))
        };
        // An edit of several fields is pushed once.
        expected.dedup_by(|a, b| a == b && a.2["type"] == "offer" && is_ephemeral(&a.2));
        for at in 0..expected.len().max(world.sent.len()) {
            let (ours, theirs) = (world.sent.get(at), expected.get(at));
            let is_equal = match (ours, theirs) {
                (Some(a), Some(b)) => {
                    a.0 == b.0
                        && a.1 == b.1
                        && lineages.are_equal_messages(&a.2, &b.2, is_ephemeral(&b.2))
                }
                _ => false,
            };
            if !is_equal && first.is_none() {
                let show = |sent: Option<&Sent>| {
                    sent.map(|(from, to, msg)| format!("{from} to {to}: {msg}"))
                };
                first = Some(format!(
                    "step {number} ({}), message {at}:\n    ours   {:?}\n    theirs {:?}",
                    text(step, "do"),
                    show(ours),
                    show(theirs)
                ));
            }
        }
    }
    Difference {
        message: first,
        value: world.different_value(),
    }
}

fn types(all: &Value) -> HashMap<String, Type> {
    let known = all.as_object().unwrap().iter().filter_map(|(name, known)| {
        let substrate = match text(known, "bind") {
            "json" => Substrate::Plain,
            "ephemeral" => Substrate::Ephemeral,
            _ => return None,
        };
        let schema = Schema::parse(&known["decl"].to_string()).unwrap();
        Some((name.clone(), Type { substrate, schema }))
    });
    known.collect()
}

/// All of its documents are plain JSON or ephemeral.
fn is_plain(session: &Value, types: &HashMap<String, Type>) -> bool {
    let is_known = |name: &Value| types.contains_key(name.as_str().unwrap());
    let steps = list(&session["steps"]);
    let mut sent = steps.iter().flat_map(|step| list(&step["sent"]));
    let mut peers = session["peers"].as_object().unwrap().values();
    steps
        .iter()
        .filter_map(|step| step.get("type"))
        .all(is_known)
        && peers.all(|peer| list(&peer["schemas"]).iter().all(is_known))
        && sent.all(|sent| {
            list(&sent[2]["docs"])
                .iter()
                .all(|entry| entry["replica"][0] == "plain")
        })
}

#[tokio::test(start_paused = true)]
async fn sessions_of_the_reference_have_the_same_messages_and_values() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/exchange-sessions.json");
    // Some strings are half of a surrogate pair, which Rust's cannot be.
    let vectors = Json::parse(&fs::read_to_string(path).unwrap()).unwrap();
    let vectors: Value = serde_json::from_str(&vectors.to_string()).unwrap();
    let all = list(&vectors);
    let mut equal = 0;
    let mut different = Vec::new();
    for session in &all[2..] {
        let types = types(&all[1][session["release"].to_string()]);
        if !is_plain(session, &types) {
            continue;
        }
        let (name, release) = (text(session, "name"), session["release"].as_u64().unwrap());
        let known = DIFFERENT.iter().find(|it| (it.0, it.1) == (name, release));
        let it = difference(session, &types);
        let ends_equal = known.is_none() || EQUAL_AT_THE_END.contains(&(name, release));
        let value = it.value;
        assert_eq!(
            ends_equal,
            value.is_none(),
            "{name}, release {release}: {value:?}"
        );
        match (it.message, known) {
            (None, None) => equal += 1,
            (Some(_), Some(known)) => different.push(known),
            (Some(difference), None) => panic!("{name}, release {release}: {difference}"),
            (None, Some((.., why))) => panic!("{name}, release {release}, is equal, though {why}"),
        }
    }
    assert_eq!(
        (equal, different.len()),
        (114 - DIFFERENT.len(), DIFFERENT.len())
    );
}
