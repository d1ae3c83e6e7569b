//! Three exchanges without sockets, threads and clocks: random edits, partitions, and crashes with a store.
//!
//! Each node is an engine with its table, and a journal whose writer is run step by step. `KYNETA_SEED=n` runs one
//! schedule and prints it; `KYNETA_STEPS=n` sets how many steps all schedules have together.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use kyneta_uds_core::{ChannelMsg, DocId, Identity, WireVersion};
use kyneta_uds_exchange::{DocLimits, Edit, EphemeralKind, Json, JsonKind, Moment};
use kyneta_uds_schema::{Schema, Substrate};
use kyneta_uds_store::{MemoryStore, StoreLimits};
use kyneta_uds_sync::ChannelKey;

use super::{
    cell::{DocCell, WIRES},
    engine::Engine,
    exchange::Exchange,
    journal::{self, Journal, writer::Writer},
    table::Table,
};

const NODES: usize = 3;
/// Steps of one schedule.
const STEPS: u64 = 500;
/// Steps of all schedules in CI.
const SHORT: u64 = 10_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn schema() -> Schema {
    Schema::structure([
        ("items", Schema::list(Schema::string())),
        ("seen", Schema::string()),
    ])
    .unwrap()
}

/// One serialized document for each node, which it alone edits, and one that all edit.
fn documents() -> Vec<(DocId, Substrate)> {
    let own = (0..NODES).map(|node| (format!("of-{node}"), Substrate::Plain));
    let all = own.chain([("presence".to_owned(), Substrate::Ephemeral)]);
    let all = all.map(|(name, substrate)| (DocId::new(name).unwrap(), substrate));
    all.collect()
}

struct Node {
    number: usize,
    table: Arc<Table>,
    engine: Engine,
    writer: Writer,
    store: MemoryStore,
}

impl Node {
    /// A process that starts with what is in a store.
    fn new(number: usize, mut store: MemoryStore) -> Self {
        let builder = Exchange::builder(identity(number)).schema(Substrate::Plain, schema());
        let machines = WIRES.map(|wire| builder.machine(wire));
        let loaded = journal::load(&mut store).unwrap();
        let table = Table::new(
            vec![Arc::new(JsonKind), Arc::new(EphemeralKind)],
            Vec::new(),
            DocLimits::default(),
            usize::MAX,
        );
        let limits = StoreLimits::default();
        let (journal, writer) = Journal::new(
            Box::new(store.clone()),
            &loaded,
            limits,
            table.reports.clone(),
        );
        let table = Arc::new(table.stored(Ok(loaded), Some(journal)));
        let mut node = Self {
            number,
            engine: Engine::new(machines, table.clone()),
            table,
            writer,
            store,
        };
        for (doc, substrate) in documents() {
            let (cell, _) = node.table.open(&doc, substrate, &schema()).unwrap();
            node.engine.opened(&cell);
        }
        node
    }

    fn cell(&self, doc: &DocId) -> Arc<DocCell> {
        self.table.get(doc).unwrap()
    }

    fn edit(&mut self, doc: &DocId, edit: Edit, moment: Moment) {
        let cell = self.cell(doc);
        let edited = cell.edit(&[edit], moment).unwrap();
        if edited.tell_journal {
            self.table.changed(&cell);
        }
        if edited.tell_engine {
            self.engine.edited(&cell);
        }
    }
}

fn identity(node: usize) -> Identity {
    Identity::service(format!("node-{node}")).unwrap()
}

/// What is under way from one node to another.
#[derive(Default)]
struct Link {
    queue: VecDeque<ChannelMsg>,
}

struct World {
    random: Random,
    nodes: Vec<Node>,
    /// By the nodes that it goes from and to, and its channel at each.
    links: BTreeMap<(usize, usize), Link>,
    /// Items that were edited in, of each node's document.
    edits: usize,
    /// Those that were reported as stored.
    stored: Vec<BTreeSet<String>>,
    /// Those that are not, of the process that runs.
    unstored: Vec<Vec<(u64, String)>>,
    now: u64,
    trace: Vec<String>,
}

fn channel(from: usize, to: usize) -> ChannelKey {
    ChannelKey((from * NODES + to) as u64)
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            nodes: (0..NODES)
                .map(|number| Node::new(number, MemoryStore::new()))
                .collect(),
            links: BTreeMap::new(),
            edits: 0,
            stored: vec![BTreeSet::new(); NODES],
            unstored: vec![Vec::new(); NODES],
            now: 0,
            trace: Vec::new(),
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        if a == b || self.links.contains_key(&(a, b)) {
            return;
        }
        self.trace.push(format!("{a} and {b} connect"));
        for (from, to) in [(a, b), (b, a)] {
            self.links.insert((from, to), Link::default());
        }
        for (at, other) in [(a, b), (b, a)] {
            self.nodes[at]
                .engine
                .up(channel(at, other), identity(other), WireVersion::V3);
            self.collect(at);
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a, b)).is_none() {
            return;
        }
        self.trace.push(format!("{a} and {b} are cut"));
        self.links.remove(&(b, a));
        for (at, other) in [(a, b), (b, a)] {
            self.nodes[at]
                .engine
                .down(channel(at, other), WireVersion::V3);
            self.collect(at);
        }
    }

    /// Puts what a node sends on its way.
    fn collect(&mut self, node: usize) {
        self.nodes[node].engine.quiet();
        while let Some((to, msg)) = self.nodes[node].engine.out.next() {
            let to = to.0 as usize % NODES;
            if let Some(link) = self.links.get_mut(&(node, to)) {
                link.queue.push_back(msg);
            }
        }
    }

    /// The first message of a random link arrives. False when there is none.
    fn deliver(&mut self) -> bool {
        let busy: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| !link.queue.is_empty())
            .collect();
        if busy.is_empty() {
            return false;
        }
        let (from, to) = *busy[self.random.below(busy.len())].0;
        let msg = self
            .links
            .get_mut(&(from, to))
            .and_then(|link| link.queue.pop_front());
        let msg = msg.unwrap();
        self.trace.push(format!("{from} to {to}: {msg:?}"));
        self.nodes[to].engine.received(
            channel(to, from),
            &identity(from).peer_id,
            WireVersion::V3,
            msg,
        );
        self.collect(to);
        true
    }

    fn edit(&mut self, node: usize) {
        self.now += 1;
        self.edits += 1;
        let moment = Moment {
            now_ms: self.now,
            random: self.random.next(),
        };
        let item = format!("item-{}", self.edits);
        self.trace.push(format!("{node} edits in {item}"));
        let (doc, edit) = match self.random.below(3) {
            0 => (NODES, Edit::set("seen", item)),
            _ => {
                let changes = self.changes(node) + 1;
                self.unstored[node].push((changes, item.clone()));
                (node, Edit::push("items", item))
            }
        };
        let (doc, _) = &documents()[doc];
        self.nodes[node].edit(doc, edit, moment);
        self.collect(node);
    }

    /// How many changes the document of a node has had in its process.
    fn changes(&self, node: usize) -> u64 {
        self.nodes[node].cell(&documents()[node].0).storing().0
    }

    /// The store of a node is free for a moment.
    fn store(&mut self, node: usize) {
        self.trace.push(format!("{node} stores"));
        self.nodes[node].writer.step();
        let cell = self.nodes[node].cell(&documents()[node].0);
        let stored = &mut self.stored[node];
        self.unstored[node].retain(|(changes, item)| {
            let is_stored = cell.is_settled(*changes);
            if is_stored {
                stored.insert(item.clone());
            }
            !is_stored
        });
        self.collect(node);
    }

    /// The process is killed, and another one starts with what is stored.
    fn crash(&mut self, node: usize) {
        self.trace.push(format!("{node} crashes"));
        for other in 0..NODES {
            self.cut(node, other);
        }
        self.unstored[node].clear();
        let store = self.nodes[node].store.snapshot();
        self.nodes[node] = Node::new(node, store);
    }

    fn step(&mut self) {
        let node = self.random.below(NODES);
        let other = self.random.below(NODES);
        match self.random.below(100) {
            0..8 => self.connect(node, other),
            8..11 => self.cut(node, other),
            11..13 => self.crash(node),
            13..35 => self.edit(node),
            35..50 => self.store(node),
            _ => {
                for _ in 0..4 {
                    self.deliver();
                }
            }
        }
    }

    /// All are connected, all is stored, and nothing happens any more.
    fn settle(&mut self) -> Result<(), String> {
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            self.cut(a, b);
            self.connect(a, b);
        }
        for _ in 0..100_000 {
            if !self.deliver() {
                for node in 0..NODES {
                    self.store(node);
                }
                if !self.deliver() {
                    return self.check();
                }
            }
        }
        Err("the messages do not end".to_owned())
    }

    fn check(&self) -> Result<(), String> {
        for (at, (doc, substrate)) in documents().iter().enumerate() {
            let held = |node: &Node| {
                let cell = node.cell(doc);
                (cell.version(WireVersion::V3).to_string(), cell.value())
            };
            let first = held(&self.nodes[0]);
            for node in &self.nodes {
                if held(node) != first {
                    return Err(format!(
                        "{doc} is {first:?} at 0, and {:?} at {}",
                        held(node),
                        node.number
                    ));
                }
            }
            if *substrate != Substrate::Plain {
                continue;
            }
            let Some(Json::Array(items)) = first.1.get("items") else {
                return Err(format!("{doc} has no items"));
            };
            let lost = self.stored[at]
                .iter()
                .find(|item| !items.contains(&Json::from(item.as_str())));
            if let Some(lost) = lost {
                return Err(format!("{lost} was stored, and is not in {doc} any more"));
            }
        }
        Ok(())
    }

    fn run(seed: u64) -> Self {
        let mut world = Self::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        if let Err(what) = world.settle() {
            let end = world.trace.len().saturating_sub(60);
            for line in &world.trace[end..] {
                eprintln!("{line}");
            }
            panic!("{what}; KYNETA_SEED={seed} replays it");
        }
        world
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(start_paused = true)]
async fn replicas_become_equal_and_nothing_is_lost_that_was_stored_whatever_happens() {
    if let Some(seed) = number("KYNETA_SEED") {
        for line in World::run(seed).trace {
            println!("{line}");
        }
        return;
    }
    let steps = number("KYNETA_STEPS").unwrap_or(SHORT);
    let mut stored = 0;
    for seed in 0..steps / STEPS {
        let world = World::run(seed);
        stored += world.stored.iter().map(BTreeSet::len).sum::<usize>();
    }
    // Else nothing was shown.
    assert!(stored as u64 > steps / 20, "{stored} edits were stored");
}

#[tokio::test(start_paused = true)]
async fn a_seed_replays() {
    assert_eq!(World::run(7).trace, World::run(7).trace);
}

#[tokio::test(start_paused = true)]
async fn an_empty_document_is_in_sync_with_the_answer_and_a_serialized_one_after_a_while() {
    let mut world = World::new(1);
    world.connect(0, 1);
    while world.deliver() {}
    let is_synced = |world: &World, doc: usize| {
        let cell = world.nodes[0].cell(&documents()[doc].0);
        !cell.synced().borrow().is_empty()
    };
    assert!(is_synced(&world, NODES));
    assert!(!is_synced(&world, 0));
    tokio::time::advance(std::time::Duration::from_millis(200)).await;
    world.nodes[0].engine.settle();
    assert!(is_synced(&world, 0));
}

#[tokio::test(start_paused = true)]
async fn an_empty_document_is_not_in_sync_by_what_was_said_in_another_connection_or_of_another_one()
{
    for reconnects in [true, false] {
        let mut world = World::new(1);
        let doc = &documents()[0].0;
        world.connect(0, 1);
        while world.deliver() {}
        if reconnects {
            world.cut(0, 1);
            world.connect(0, 1);
        } else {
            let node = &mut world.nodes[0];
            let cell = node.cell(doc);
            node.table.remove(&cell);
            node.engine.destroyed(&cell);
            let (cell, _) = node.table.open(doc, Substrate::Plain, &schema()).unwrap();
            node.engine.opened(&cell);
        }
        tokio::time::advance(std::time::Duration::from_millis(200)).await;
        world.nodes[0].engine.settle();
        let synced = world.nodes[0].cell(doc).synced();
        assert!(synced.borrow().is_empty(), "{reconnects}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_one_offer_to_each_peer_that_has_the_document_however_many_there_are() {
    for count in [1, 10_000] {
        let mut world = World::new(1);
        let ids: Vec<_> = (0..count)
            .map(|number| DocId::new(format!("document-{number}")).unwrap())
            .collect();
        // The third node has none of them.
        for node in &mut world.nodes[..2] {
            for id in &ids {
                let (cell, _) = node.table.open(id, Substrate::Plain, &schema()).unwrap();
                node.engine.opened(&cell);
            }
        }
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            world.connect(a, b);
        }
        while world.deliver() {}
        let moment = Moment {
            now_ms: 1,
            random: 1,
        };
        world.nodes[0].edit(&ids[count / 2], Edit::push("items", "x"), moment);
        world.nodes[0].writer.step();
        world.collect(0);
        let queued = |to: usize| &world.links[&(0, to)].queue;
        let [ChannelMsg::Offer(offer)] = queued(1).iter().collect::<Vec<_>>()[..] else {
            panic!("{:?}", queued(1));
        };
        assert_eq!(offer.doc, ids[count / 2]);
        assert!(queued(2).is_empty(), "{:?}", queued(2));
        // It goes no further than to those that have it.
        let before = world.trace.len();
        while world.deliver() {}
        assert_eq!(world.trace[before..].len(), 1);
    }
}
