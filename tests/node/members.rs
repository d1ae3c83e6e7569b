//! Documents that JavaScript members share through a Rust listener: all replicas are equal at the end, every
//! edit is in them, and none twice.
//!
//! The members are `member.mjs` in processes of their own, and the listener holds no document.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::Path,
    time::{Duration, Instant},
};

use kyneta_uds::{SchemaHash, SwitchConfig, WireVersion};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    hub::{Hub, Kind},
    member::{Entry, Member},
    peer::{runtimes, soon},
    support::Bus,
};

/// A document of each kind, under the name of its type: loro, yjs, json, ephemeral.
const DOCS: [&str; 4] = ["notes", "pad", "config", "presence"];

/// The two releases hash a schema differently.
const EQUAL: [[&str; 2]; 2] = [
    [
        "013fbde8421f24f0836b3396166bd76adc",
        "02cd0629243854b7d6f39abbc4ace6f345",
    ],
    [
        "01b5e44664d490edb0ccd0a3ec6be2de35",
        "0232055199f5afec2bb87407a3586e8ceb",
    ],
];

const QUIET: Duration = Duration::from_millis(100);

fn config() -> SwitchConfig {
    EQUAL.iter().fold(SwitchConfig::default(), |config, class| {
        config.equal_schemas(class.map(|hash| SchemaHash::new(hash).unwrap()))
    })
}

/// The replicas of a document that belong together: of json and ephemeral documents, versions differ between
/// the releases, so each has its own.
fn variant(doc: &'static str, wire: WireVersion) -> (&'static str, Option<WireVersion>) {
    let is_common = ["notes", "pad"].contains(&doc);
    (doc, (!is_common).then_some(wire))
}

/// The edits that are in a replica.
fn edits(doc: &str, value: &Value) -> Vec<String> {
    let texts = |list: &Value| {
        let list = list.as_array().unwrap().iter();
        list.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    match doc {
        "notes" => {
            let text = value["text"].as_str().unwrap();
            text.split_terminator(';').map(str::to_owned).collect()
        }
        "pad" => texts(&value["items"]),
        "config" => texts(&value["hosts"]),
        _ => value["seen"].as_object().unwrap().keys().cloned().collect(),
    }
}

struct Group<'a> {
    runtime: &'a OsStr,
    path: &'a Path,
    members: Vec<(Member, WireVersion)>,
    written: BTreeMap<(&'static str, Option<WireVersion>), BTreeSet<String>>,
    writes: usize,
}

impl<'a> Group<'a> {
    fn new(runtime: &'a OsStr, path: &'a Path) -> Self {
        Self {
            runtime,
            path,
            members: Vec::new(),
            written: BTreeMap::new(),
            writes: 0,
        }
    }

    fn start(&mut self, id: &str, wire: WireVersion, entry: Entry) {
        let member = Member::start(self.runtime, self.path, wire, id, entry);
        self.members.push((member, wire));
    }

    async fn open(&mut self) {
        for (member, _) in &mut self.members {
            for doc in DOCS {
                member.open(doc, doc).await;
            }
        }
    }

    async fn write(&mut self, member: usize, doc: &'static str) {
        let (member, wire) = &mut self.members[member];
        self.writes += 1;
        let edit = format!("{}.{}", member.id, self.writes);
        let batch = match doc {
            "notes" => json!(["insert", ["text"], 0, format!("{edit};")]),
            "pad" => json!(["push", ["items"], edit]),
            "config" => json!(["push", ["hosts"], edit]),
            _ => json!(["put", ["seen"], edit, self.writes]),
        };
        member.edit(doc, batch).await;
        self.written
            .entry(variant(doc, *wire))
            .or_default()
            .insert(edit);
    }

    /// As `write`, before and after which all are equal and quiet. An ephemeral document needs that: a replica
    /// takes the time at which it imported as its version, and drops an edit that was made before.
    async fn write_in_turn(&mut self, member: usize, doc: &'static str) {
        self.quiet().await;
        self.write(member, doc).await;
        self.settle().await;
    }

    /// Until no replica has changed for a while.
    async fn quiet(&self) {
        let is_quiet = |(member, _): &(Member, _)| member.idle() > QUIET;
        while !self.members.iter().all(is_quiet) {
            sleep(QUIET / 4).await;
        }
    }

    /// What is missing or too much, if anything.
    fn differs(&self) -> Option<String> {
        for (member, wire) in &self.members {
            for doc in DOCS {
                let Some(written) = self.written.get(&variant(doc, *wire)) else {
                    continue;
                };
                let value = member.value(doc);
                let mut edits = value
                    .as_ref()
                    .map_or_else(Vec::new, |value| edits(doc, value));
                edits.sort_unstable();
                if !edits.iter().eq(written) {
                    return Some(format!("{}, {doc}: {edits:?}, not {written:?}", member.id));
                }
                for (other, other_wire) in &self.members {
                    if variant(doc, *wire) == variant(doc, *other_wire) && other.value(doc) != value
                    {
                        return Some(format!(
                            "{doc} differs: {} has {value:?}, {} has {:?}",
                            member.id,
                            other.id,
                            other.value(doc)
                        ));
                    }
                }
            }
        }
        None
    }

    /// Until all replicas of a variant are equal, and hold each edit once.
    async fn settle(&self) {
        let start = Instant::now();
        while let Some(differs) = self.differs() {
            assert!(start.elapsed() < Duration::from_secs(20), "{differs}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    async fn end(self) {
        for (member, _) in self.members {
            soon("the end", member.quit()).await;
        }
    }
}

#[tokio::test]
async fn members_of_both_releases_stay_equal_while_members_and_servers_come_and_go() {
    members_come_and_go(Kind::Server).await;
}

#[tokio::test]
async fn members_of_both_releases_stay_equal_while_members_and_peers_come_and_go() {
    members_come_and_go(Kind::Peers).await;
}

async fn members_come_and_go(kind: Kind) {
    for runtime in runtimes() {
        let bus = Bus::new();
        let mut hub = Hub::start(kind, bus.path.clone(), config()).await;
        let mut group = Group::new(&runtime, &bus.path);
        for (id, wire) in [
            ("a", WireVersion::V3),
            ("b", WireVersion::V3),
            ("c", WireVersion::V2),
            ("d", WireVersion::V2),
        ] {
            group.start(id, wire, Entry::Connect);
        }
        group.open().await;
        for round in 0..10 {
            for member in 0..4 {
                group.write(member, "notes").await;
                group.write(member, "pad").await;
            }
            group.write(0, "config").await;
            group.write(2, "config").await;
            if round % 3 == 0 {
                group.settle().await;
            }
        }
        group.settle().await;
        for member in [0, 1, 2, 3, 1, 0] {
            group.write_in_turn(member, "presence").await;
        }

        // It is told of all documents. Of those with two variants it would take the first one.
        group.start("late", WireVersion::V3, Entry::Connect);
        for doc in ["config", "presence"] {
            group.members[4].0.open(doc, doc).await;
        }
        group.settle().await;
        for doc in DOCS {
            group.write_in_turn(4, doc).await;
        }

        // One is killed, and comes back without its documents. Another one closes a document and opens it again.
        let (killed, wire) = group.members.remove(1);
        killed.kill().await;
        group.write(0, "notes").await;
        group.start("b", wire, Entry::Connect);
        for doc in ["config", "presence"] {
            group.members[4].0.open(doc, doc).await;
        }
        group.members[0].0.close("pad").await;
        group.members[0].0.open("pad", "pad").await;
        group.settle().await;

        // A server leaves the path alone for a while.
        for _ in 0..2 {
            let ended = hub.end().await;
            for member in 0..5 {
                group.write(member, "notes").await;
                group.write(member, "pad").await;
            }
            group.write(3, "config").await;
            group.write(2, "config").await;
            hub = ended.replace().await;
            group.write(1, "notes").await;
            group.settle().await;
        }
        group.end().await;
        hub.end().await;
    }
}

#[tokio::test]
async fn a_member_that_takes_over_from_a_hub_passes_documents_on() {
    for runtime in runtimes() {
        let bus = Bus::new();
        let hub = Hub::start(Kind::Server, bus.path.clone(), config()).await;
        let mut group = Group::new(&runtime, &bus.path);
        for (id, entry) in [
            ("a", Entry::Join),
            ("b", Entry::Connect),
            ("c", Entry::Connect),
        ] {
            group.start(id, WireVersion::V3, entry);
        }
        group.open().await;
        for (member, doc) in [(0, "notes"), (1, "pad"), (2, "config"), (1, "presence")] {
            group.write_in_turn(member, doc).await;
        }

        hub.end().await;
        soon("a listener", group.members[0].0.until("listening")).await;
        for (member, doc) in [(1, "notes"), (2, "pad"), (2, "config"), (1, "presence")] {
            group.write_in_turn(member, doc).await;
        }
        group.end().await;
    }
}
