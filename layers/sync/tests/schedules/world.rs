//! Peers, how they are connected, and what happens to them.
//!
//! In: random numbers of a seed. Out: one schedule, and the checks after it. A failure says the seed, which runs
//! alone with `KYNETA_SEED` and prints each step.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use kyneta_uds_core::{ChannelMsg, DocId, WireVersion};
use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Switch, SwitchConfig};
use kyneta_uds_sync::ChannelKey;

use crate::{
    content::Content,
    node::{Kind, Node},
    random::Random,
};

/// Which documents there are, a letter for the mode of each, and how peers are connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) modes: &'static str,
    pub(crate) through_a_hub: bool,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Node(usize),
    Hub,
}

/// What is on its way to each end.
#[derive(Debug)]
struct Connection {
    ends: [End; 2],
    queues: [VecDeque<ChannelMsg>; 2],
}

pub(crate) struct World {
    random: Random,
    plan: Plan,
    nodes: Vec<Node>,
    /// Which pairs are connected when nothing is cut.
    pairs: Vec<[End; 2]>,
    connections: BTreeMap<u64, Connection>,
    next: u64,
    switch: Switch,
    hubs: u32,
    docs: Vec<DocId>,
    /// The one peer that may edit a serialized document.
    writers: HashMap<DocId, usize>,
    suspended: BTreeSet<(usize, DocId)>,
    incarnations: u32,
    now: u32,
    pub(crate) kills: u32,
    pub(crate) lost: u32,
    prints: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + random.below(4);
        let shape = random.below(4);
        let mut pairs = Vec::new();
        for b in 0..count {
            if plan.through_a_hub {
                pairs.push([End::Node(b), End::Hub]);
                continue;
            }
            for a in 0..b {
                let is_there = match shape {
                    0 => a + 1 == b,                               // a line
                    1 => a == 0,                                   // a star
                    2 => a + 1 == b || (a == 0 && b + 1 == count), // a ring
                    _ => true,
                };
                if is_there {
                    pairs.push([End::Node(a), End::Node(b)]);
                }
            }
        }
        let docs = plan.modes.chars().enumerate();
        let docs = docs.map(|(at, mode)| DocId::new(format!("{mode}{at}")).unwrap());
        let mut world = Self {
            plan,
            nodes: Vec::new(),
            pairs,
            connections: BTreeMap::new(),
            next: 0,
            switch: Switch::new(SwitchConfig::default()),
            hubs: 0,
            docs: docs.collect(),
            writers: HashMap::new(),
            suspended: BTreeSet::new(),
            incarnations: 0,
            now: 0,
            kills: 0,
            lost: 0,
            prints,
            random,
        };
        for _ in 0..count {
            let node = world.fresh();
            world.nodes.push(node);
        }
        world
    }

    fn fresh(&mut self) -> Node {
        self.incarnations += 1;
        let kind = match self.random.below(10) {
            0 => Kind::Replicates,
            1 => Kind::Defers,
            _ => Kind::Opens,
        };
        Node::new(self.incarnations, kind)
    }

    pub(crate) fn run(mut self) -> Result<Self, String> {
        for _ in 0..20 + self.random.below(160) {
            self.step()?;
        }
        // Each connection is made again, all schemas are known, all is shared, and nothing else happens.
        for key in self.connections.keys().copied().collect::<Vec<_>>() {
            self.cut(key);
        }
        for (node, doc) in std::mem::take(&mut self.suspended) {
            self.nodes[node].act(|machine, out| machine.resume(&doc, out));
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].learn();
            // So that no two peers with a document are apart.
            for doc in self.docs.clone() {
                self.nodes[node].open(doc.as_str());
            }
        }
        for pair in 0..self.pairs.len() {
            self.connect(pair);
        }
        self.quiet()?;
        self.docs.iter().try_for_each(|doc| self.check(doc))?;
        Ok(self)
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += 1;
        let node = self.random.below(self.nodes.len());
        let doc = self.docs[self.random.below(self.docs.len())].clone();
        let is_writer = self.writers.get(&doc) == Some(&node);
        match self.random.below(100) {
            0..10 => {
                let pair = self.random.below(self.pairs.len());
                self.connect(pair);
            }
            10..14 => {
                let at = self.random.below(self.connections.len());
                if let Some(key) = self.connections.keys().nth(at).copied() {
                    self.cut(key);
                }
            }
            14..16 => self.restart(node),
            16..18 if self.plan.through_a_hub => self.kill_the_hub(),
            16..18 => self.lose_a_push(),
            18..26 => {
                self.print(|| format!("{node} opens {doc}"));
                self.nodes[node].open(doc.as_str());
            }
            // A writer that comes back empty starts another history.
            26..28 if !is_writer => {
                self.print(|| format!("{node} destroys {doc}"));
                self.nodes[node].destroy(&doc);
                self.suspended.remove(&(node, doc));
            }
            28..30 if self.nodes[node].docs.contains_key(&doc) => {
                self.print(|| format!("{node} suspends {doc}"));
                self.nodes[node].act(|machine, out| machine.suspend(&doc, out));
                self.suspended.insert((node, doc));
            }
            30..34 => {
                if self.suspended.remove(&(node, doc.clone())) {
                    self.print(|| format!("{node} resumes {doc}"));
                    self.nodes[node].act(|machine, out| machine.resume(&doc, out));
                }
            }
            34..55 => self.edit(node, &doc),
            55..56 => self.hand_over(&doc)?,
            _ => {
                for _ in 0..1 + self.random.below(4) {
                    self.pass_any();
                }
            }
        }
        Ok(())
    }

    fn edit(&mut self, node: usize, doc: &DocId) {
        let is_serialized = doc.as_str().starts_with('s');
        if !self.nodes[node].docs.contains_key(doc)
            || is_serialized && *self.writers.entry(doc.clone()).or_insert(node) != node
        {
            return;
        }
        let now = self.now;
        let edit = self.nodes[node].edit(doc, now);
        self.print(|| format!("{node} edits {doc}: {edit:?}"));
        self.collect();
    }

    /// Another peer writes a serialized document from now on, once all are equal.
    fn hand_over(&mut self, doc: &DocId) -> Result<(), String> {
        let next = self.random.below(self.nodes.len());
        let is_suspended = self.suspended.iter().any(|(_, of)| of == doc);
        if !doc.as_str().starts_with('s') || is_suspended || !self.writers.contains_key(doc) {
            return Ok(());
        }
        for key in self.connections.keys().copied().collect::<Vec<_>>() {
            self.cut(key);
        }
        for node in &mut self.nodes {
            node.open(doc.as_str());
        }
        for pair in 0..self.pairs.len() {
            self.connect(pair);
        }
        self.quiet()?;
        self.check(doc)?;
        self.print(|| format!("{next} writes {doc} from now on"));
        self.writers.insert(doc.clone(), next);
        Ok(())
    }

    /// Connects a pair that is not.
    fn connect(&mut self, pair: usize) {
        let ends = self.pairs[pair];
        if self.connections.values().any(|of| of.ends == ends) {
            return;
        }
        self.print(|| format!("connected: {ends:?}"));
        self.next += 1;
        let key = self.next;
        let queues = [VecDeque::new(), VecDeque::new()];
        self.connections.insert(key, Connection { ends, queues });
        for (at, end) in ends.into_iter().enumerate() {
            let other = match ends[1 - at] {
                End::Node(node) => format!("n{node}"),
                End::Hub => format!("hub{}", self.hubs % 2),
            };
            match end {
                End::Node(node) => self.nodes[node].connect(ChannelKey(key), &other),
                End::Hub => {
                    let facts = MemberFacts::local(WireVersion::V3);
                    let mut effects = Vec::new();
                    self.switch.established(MemberKey(key), facts, &mut effects);
                    self.carry_out(effects);
                }
            }
        }
        self.collect();
    }

    /// A connection ends: what is on its way is lost.
    fn cut(&mut self, key: u64) {
        self.collect();
        let Some(connection) = self.connections.remove(&key) else {
            return;
        };
        self.print(|| format!("cut: {:?}", connection.ends));
        for end in connection.ends {
            match end {
                End::Node(node) => self.nodes[node].lose(ChannelKey(key)),
                End::Hub => {
                    let mut effects = Vec::new();
                    self.switch.left(MemberKey(key), &mut effects);
                    self.carry_out(effects);
                }
            }
        }
        self.collect();
    }

    /// The process is killed and starts again without its documents.
    fn restart(&mut self, node: usize) {
        if self.writers.values().any(|writer| *writer == node) {
            return;
        }
        self.print(|| format!("{node} is killed"));
        self.kills += 1;
        let its = |(_, of): &(&u64, &Connection)| of.ends.contains(&End::Node(node));
        for key in self
            .connections
            .iter()
            .filter(its)
            .map(|(key, _)| *key)
            .collect::<Vec<_>>()
        {
            self.cut(key);
        }
        self.suspended.retain(|(of, _)| *of != node);
        self.nodes[node] = self.fresh();
    }

    /// Another process is the hub, without memory.
    fn kill_the_hub(&mut self) {
        self.print(|| "the hub is killed".to_owned());
        self.kills += 1;
        self.hubs += u32::from(self.random.percent(50));
        for key in self.connections.keys().copied().collect::<Vec<_>>() {
            self.cut(key);
        }
        self.switch = Switch::new(SwitchConfig::default());
    }

    /// A push is lost on a connection that goes on.
    fn lose_a_push(&mut self) {
        let queues = self.connections.values_mut().flat_map(|of| &mut of.queues);
        for queue in queues {
            let is_push = |msg: &ChannelMsg| matches!(msg, ChannelMsg::Offer(offer) if offer.reciprocate.is_none());
            if let Some(at) = queue.iter().position(is_push) {
                queue.remove(at);
                self.lost += 1;
                return;
            }
        }
    }

    /// What peers have sent goes onto its way.
    fn collect(&mut self) {
        for (at, node) in self.nodes.iter_mut().enumerate() {
            for (channel, msg) in node.sent.drain(..) {
                let connection = self.connections.get_mut(&channel.0);
                let connection = connection.expect("an effect to a channel that is not there");
                let to = usize::from(connection.ends[0] == End::Node(at));
                connection.queues[to].push_back(msg);
            }
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Send { to, msg, .. } = effect
                && let Some(connection) = self.connections.get_mut(&to.0)
            {
                connection.queues[0].push_back(msg);
            }
        }
    }

    /// Passes a message of a random connection; false when that has none.
    fn pass_any(&mut self) -> bool {
        if self.connections.is_empty() {
            return false;
        }
        let at = self.random.below(self.connections.len());
        let first = usize::from(self.random.percent(50));
        let Some(key) = self.connections.keys().nth(at).copied() else {
            return false;
        };
        self.pass(key, first) || self.pass(key, 1 - first)
    }

    fn pass(&mut self, key: u64, to: usize) -> bool {
        let Some(connection) = self.connections.get_mut(&key) else {
            return false;
        };
        let end = connection.ends[to];
        let Some(msg) = connection.queues[to].pop_front() else {
            return false;
        };
        self.print(|| format!("  {end:?} <- {msg:?}"));
        match end {
            End::Node(node) => self.nodes[node].receive(ChannelKey(key), msg),
            End::Hub => {
                let mut effects = Vec::new();
                self.switch.received(MemberKey(key), msg, &mut effects);
                self.carry_out(effects);
            }
        }
        self.collect();
        true
    }

    /// Messages pass until there is none.
    fn quiet(&mut self) -> Result<(), String> {
        self.collect();
        let limit = 6_000 * self.nodes.len();
        for _ in 0..limit {
            let is_waiting = |of: &Connection| of.queues.iter().any(|queue| !queue.is_empty());
            if self.connections.values().any(is_waiting) {
                self.pass_any();
            } else if self.switch.is_unsettled() {
                let mut effects = Vec::new();
                self.switch.reconcile(&mut effects);
                self.carry_out(effects);
            } else {
                return Ok(());
            }
        }
        Err(format!("{limit} steps, and it is not quiet"))
    }

    /// All replicas of a document are equal, and none has an edit twice.
    fn check(&self, doc: &DocId) -> Result<(), String> {
        let replicas = self.nodes.iter().enumerate();
        let replicas = replicas.filter_map(|(at, node)| Some((at, node.docs.get(doc)?.settled())));
        let replicas: Vec<(usize, Content)> = replicas.collect();
        let Some((first, content)) = replicas.first() else {
            return Ok(());
        };
        if let Some((other, differs)) = replicas.iter().find(|(_, other)| other != content) {
            return Err(format!(
                "{doc}: {first} has {content:?}, {other} {differs:?}"
            ));
        }
        if let Content::Serialized { log, .. } = content {
            let once: BTreeSet<_> = log.iter().collect();
            if once.len() != log.len() {
                return Err(format!("{doc}: doubled: {log:?}"));
            }
        }
        Ok(())
    }

    fn print(&self, event: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>4} {}", self.now, event());
        }
    }
}
