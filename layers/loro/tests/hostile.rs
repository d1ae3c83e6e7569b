//! Offers that claim more than they hold, or are nested deeper than a stack: each would end the process, if the library
//! read it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use fastrand::Rng;
use kyneta_uds_core::{Bytes, DocId, Offer, PayloadKind, Version, WireVersion};
use kyneta_uds_exchange::{ImportError, Imported, Json, Replica, Take};
use kyneta_uds_loro::LoroReplica;
use kyneta_uds_schema::Schema;
use loro::{
    ExpandType, ExportMode, LoroDoc, LoroList, LoroMap, LoroText, LoroValue, StyleConfig,
    StyleConfigMap,
};
use xxhash_rust::xxh32::xxh32;

const WIRE: WireVersion = WireVersion::V3;
/// Magic, checksum, mode.
const HEADER: usize = 22;
const LORO: u32 = u32::from_le_bytes(*b"LORO");

fn import(replica: &mut LoroReplica, bytes: &[u8]) -> Result<Imported, ImportError> {
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("AA==").unwrap());
    let mut offer = Offer::binary(doc, version, Bytes::copy_from_slice(bytes));
    offer.kind = PayloadKind::Since;
    replica.import(&offer, WIRE, Take::Merge)
}

fn doc() -> LoroDoc {
    let doc = LoroDoc::new();
    doc.set_peer_id(1).unwrap();
    doc
}

fn updates(doc: &LoroDoc) -> Vec<u8> {
    doc.commit();
    doc.export(ExportMode::all_updates()).unwrap()
}

/// A number in groups of seven bits.
fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if *byte < 0x80 {
            return number;
        }
    }
}

/// The one block of an update.
struct Block {
    /// Where counters and clocks begin, how long they are; how many changes.
    numbers: Vec<u64>,
    /// Header, times, containers, keys, positions, operations, deletions, values.
    parts: Vec<Vec<u8>>,
}

impl Block {
    fn of(doc: &LoroDoc) -> Self {
        let update = updates(doc);
        let mut rest = &update[HEADER..];
        assert_eq!(read_number(&mut rest), rest.len() as u64);
        let numbers = (0..5).map(|_| read_number(&mut rest)).collect();
        let mut part = || {
            let len = read_number(&mut rest) as usize;
            let (part, after) = rest.split_at(len);
            rest = after;
            part.to_vec()
        };
        let parts = (0..8).map(|_| part()).collect();
        let block = Self { numbers, parts };
        assert_eq!(block.update(), update);
        block
    }

    fn update(&self) -> Vec<u8> {
        let mut block = Vec::new();
        for it in &self.numbers {
            number(&mut block, *it);
        }
        for part in &self.parts {
            number(&mut block, part.len() as u64);
            block.extend(part);
        }
        let mut body = Vec::new();
        number(&mut body, block.len() as u64);
        whole(4, &[body, block].concat())
    }
}

/// An offer of a mode.
fn whole(mode: u8, body: &[u8]) -> Vec<u8> {
    let checked = [&[0, mode], body].concat();
    let checksum = xxh32(&checked, LORO).to_le_bytes();
    [&b"loro"[..], &[0; 12], &checksum, &checked].concat()
}

/// A column of a table: a run of this many rows.
fn run(rows: u64) -> Vec<u8> {
    let mut run = Vec::new();
    number(&mut run, rows << 1);
    run.push(0);
    run
}

/// A table of columns, as the one field of a struct.
fn table(columns: &[Vec<u8>]) -> Vec<u8> {
    let mut table = vec![1, columns.len() as u8];
    for column in columns {
        number(&mut table, column.len() as u64);
        table.extend(column);
    }
    table
}

fn nested(depth: usize) -> LoroValue {
    (0..depth).fold(LoroValue::Null, |value, _| LoroValue::from(vec![value]))
}

/// A document with one value in a list.
fn one_value(value: LoroValue) -> LoroDoc {
    let doc = doc();
    doc.get_list("l").insert(0, value).unwrap();
    doc
}

/// A snapshot of a table of states alone.
fn states(key: &[u8], state: &[u8], is_packed: bool) -> Vec<u8> {
    let mut table = b"LORO\0".to_vec();
    let from = table.len() as u32;
    table.extend(state);
    table.extend(xxh32(state, LORO).to_le_bytes());
    let end = table.len() as u32;
    table.extend(1_u32.to_le_bytes());
    let mut meta = from.to_le_bytes().to_vec();
    meta.extend((key.len() as u16).to_le_bytes());
    meta.extend(key);
    meta.push(0x80 | u8::from(is_packed));
    table.extend(&meta);
    table.extend(xxh32(&meta, LORO).to_le_bytes());
    table.extend(end.to_le_bytes());
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
    whole(3, &[part(b"E"), part(&table), part(b"")].concat())
}

fn refused(bytes: &[u8], why: &str) {
    let mut replica = LoroReplica::headless();
    let error = import(&mut replica, bytes).unwrap_err();
    let whole = format!("the loro library does not take the data: {why}");
    assert_eq!(error.to_string(), whole);
    assert_eq!(replica.quarantine(), None);
}

const MORE: &str = "it claims to hold more than its bytes can";
const DEEP: &str = "a value is nested too deep";
const MANY: u64 = 1_000_000_000;

#[test]
fn a_change_that_claims_more_than_it_holds_is_refused() {
    let doc = one_value(LoroValue::from(vec![LoroValue::Null]));
    let altered = |alter: &dyn Fn(&mut Block)| {
        let mut block = Block::of(&doc);
        alter(&mut block);
        block.update()
    };
    let changes = altered(&|block| block.numbers[4] = u64::from(u32::MAX));
    refused(&changes, MORE);
    // One peer; no change follows its own; one follows very many others.
    let follows = altered(&|block| {
        let mut header = vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2];
        number(&mut header, MANY);
        block.parts[0] = header;
    });
    refused(&follows, MORE);
    let operations =
        altered(&|block| block.parts[5] = table(&[run(MANY), run(MANY), run(MANY), run(MANY)]));
    refused(&operations, MORE);
    let deletions = altered(&|block| block.parts[6] = table(&[run(MANY), run(MANY), run(MANY)]));
    refused(&deletions, MORE);
    // Each takes all of the one before, and a byte more.
    let positions = altered(&|block| {
        let mut shared = Vec::new();
        let rows = 20_000;
        number(&mut shared, (rows << 1) - 1);
        (0..rows).for_each(|row| number(&mut shared, row));
        let mut rest = Vec::new();
        number(&mut rest, rows);
        (0..rows).for_each(|_| rest.extend([1, 7]));
        block.parts[4] = table(&[shared, rest]);
    });
    refused(&positions, MORE);
}

#[test]
fn a_value_that_claims_more_than_it_holds_or_is_nested_deeper_is_refused() {
    let altered = |value: &[u8]| {
        let mut block = Block::of(&one_value(LoroValue::from(vec![LoroValue::Null])));
        block.parts[7] = value.to_vec();
        block.update()
    };
    let mut many = Vec::new();
    number(&mut many, 1 << 28);
    // A list in a list, a map in a list.
    refused(
        &altered(&[&[7, 1, 7], &many[..]].concat()),
        "it ends too early",
    );
    refused(
        &altered(&[&[7, 1, 8], &many[..]].concat()),
        "it ends too early",
    );
    // Each of them alone would fit.
    let mut half = Vec::new();
    number(&mut half, 100_000);
    let claims = [&[7], &half[..]].concat().repeat(100);
    refused(&altered(&[claims, vec![0; 200_000]].concat()), MORE);
    for depth in [130, 100_000] {
        refused(&updates(&one_value(nested(depth))), DEEP);
    }
    let doc = one_value(nested(130));
    doc.commit();
    refused(&doc.export(ExportMode::Snapshot).unwrap(), DEEP);
    let mut replica = LoroReplica::headless();
    let fits = import(&mut replica, &updates(&one_value(nested(127))));
    assert_eq!(fits, Ok(Imported::All { refused: 0 }));
}

#[test]
fn a_state_that_claims_more_than_it_holds_or_is_nested_deeper_is_refused() {
    // A list in nothing, with one value, of no peer.
    let list = |value: &[u8], ids: &[u8]| [&[1, 1, 0, 1], value, &[0], ids].concat();
    let key = [0x81, 1, b'l'];
    let runs = list(&[0], &table(&[run(MANY), run(MANY), run(MANY)]));
    refused(&states(&key, &runs, false), MORE);
    let deep = list(
        &[[5, 1].repeat(100_000), vec![0]].concat(),
        &table(&[run(1), run(1), run(1)]),
    );
    refused(&states(&key, &deep, false), DEEP);
    let mut packed = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut packed, &vec![0; 300 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    refused(&states(&key, &packed, true), "it is packed too tightly");
}

/// An update with so many lists, each in the one before.
fn lists_in_each_other(lists: u64) -> Vec<u8> {
    let doc = doc();
    doc.get_list("l")
        .insert_container(0, LoroList::new())
        .unwrap();
    let mut block = Block::of(&doc);
    block.numbers = vec![0, lists, 0, lists, 1];
    let mut containers = Vec::new();
    number(&mut containers, lists);
    // The root by its key, then each by its counter.
    containers.extend([4, 1, 1, 0, 0]);
    for counter in 0..lists - 1 {
        containers.extend([4, 0, 1, 0]);
        number(&mut containers, counter << 1);
    }
    block.parts[2] = containers;
    let same = |value: u8| {
        let mut same = Vec::new();
        number(&mut same, lists << 1);
        same.push(value);
        same
    };
    // The first is in the container 0, each other one in the next.
    let mut inside = vec![2, 0];
    number(&mut inside, (lists - 1) << 1);
    inside.push(2);
    // A value, which is a list of one list.
    block.parts[5] = table(&[inside, same(0), same(11), same(1)]);
    block.parts[7] = block.parts[7].repeat(lists as usize);
    block.update()
}

#[test]
fn thirty_thousand_containers_in_each_other_are_taken_and_sent() {
    let mut replica = LoroReplica::headless();
    let all = Ok(Imported::All { refused: 0 });
    let lists = 30_000;
    assert_eq!(import(&mut replica, &lists_in_each_other(lists)), all);
    assert!(replica.measure() > lists as usize);
    let whole = replica.export(None, WIRE).unwrap();
    let mut reader = LoroReplica::headless();
    assert_eq!(import(&mut reader, whole.data.as_slice()), all);
    assert_eq!(reader.version(WIRE), replica.version(WIRE));
}

#[test]
fn containers_nested_deeper_than_a_stack_are_read_and_their_ends_are_null() {
    let schema = Schema::structure([("s", Schema::set(Schema::any()))]).unwrap();
    let doc = doc();
    let set = doc.get_map(schema.identities().get("s").unwrap());
    let mut list = set.insert_container("k", LoroList::new()).unwrap();
    for _ in 0..3_000 {
        list = list.insert_container(0, LoroList::new()).unwrap();
    }
    let mut replica = LoroReplica::open(schema, 2).unwrap();
    let all = Ok(Imported::All { refused: 0 });
    assert_eq!(import(&mut replica, &updates(&doc)), all);
    let value = Json::Object(replica.value()).to_string();
    assert_eq!(replica.quarantine(), None);
    assert_eq!(value.matches('[').count(), 130, "{value}");
    assert_eq!(value.matches("null").count(), 1, "{value}");
}

/// All kinds of containers, many operations of each, by two peers.
fn documents() -> Vec<LoroDoc> {
    let mut rng = Rng::with_seed(1);
    let mut style = StyleConfigMap::new();
    let expand = ExpandType::After;
    style.insert("bold".into(), StyleConfig { expand });
    let docs = [1, 2].map(|peer| {
        let doc = LoroDoc::new();
        doc.set_peer_id(peer).unwrap();
        doc.config_text_style(style.clone());
        doc
    });
    for round in 0..400 {
        let doc = &docs[rng.usize(..2)];
        let (list, text, tree) = (doc.get_list("l"), doc.get_text("t"), doc.get_tree("n"));
        let (movable, map) = (doc.get_movable_list("m"), doc.get_map("p"));
        let key = ["a", "b", "c"][rng.usize(..3)];
        let any = |rng: &mut Rng| match rng.u8(..6) {
            0 => LoroValue::Null,
            1 => LoroValue::from(rng.i64(..)),
            2 => LoroValue::from(rng.f64()),
            3 => LoroValue::from(vec![1_u8, 2, 200]),
            4 => LoroValue::from("text"),
            _ => nested(rng.usize(..100)),
        };
        for _ in 0..rng.usize(1..8) {
            list.insert(rng.usize(..=list.len()), any(&mut rng))
                .unwrap();
            movable
                .insert(rng.usize(..=movable.len()), any(&mut rng))
                .unwrap();
            map.insert(key, any(&mut rng)).unwrap();
            let at = rng.usize(..=text.len_unicode());
            text.insert(at, ["x", "漢字", "a longer one"][rng.usize(..3)])
                .unwrap();
            let nodes = tree.nodes();
            let parent = (!nodes.is_empty()).then(|| nodes[rng.usize(..nodes.len())]);
            if let Ok(node) =
                tree.create(parent.filter(|node| tree.is_node_deleted(node) == Ok(false)))
            {
                tree.get_meta(node)
                    .unwrap()
                    .insert("k", any(&mut rng))
                    .unwrap();
            }
        }
        match round % 8 {
            0 if list.len() > 3 => list.delete(1, 2).unwrap(),
            1 if movable.len() > 3 => movable.mov(0, 2).unwrap(),
            2 if movable.len() > 3 => movable.set(1, any(&mut rng)).unwrap(),
            3 if text.len_unicode() > 9 => {
                text.delete(3, 2).unwrap();
                text.mark(1..5, "bold", any(&mut rng)).unwrap();
            }
            4 => {
                let inner = list.insert_container(0, LoroMap::new()).unwrap();
                let inner = inner.insert_container(key, LoroList::new()).unwrap();
                inner
                    .insert_container(0, LoroText::new())
                    .unwrap()
                    .insert(0, key)
                    .unwrap();
            }
            5 => map.delete(key).unwrap(),
            6 => doc.get_counter("c").increment(rng.f64()).unwrap(),
            _ => {
                let nodes = tree.nodes();
                let _ = tree.delete(nodes[rng.usize(..nodes.len())]);
                let other = &docs[rng.usize(..2)];
                doc.import(&updates(other)).unwrap();
            }
        }
        doc.set_next_commit_message(["", "a message"][rng.usize(..2)]);
        doc.commit();
    }
    docs.into()
}

#[test]
fn documents_of_all_kinds_are_taken_whole_and_in_parts() {
    let all = Ok(Imported::All { refused: 0 });
    for doc in documents() {
        let frontiers = doc.oplog_frontiers();
        for mode in [
            ExportMode::all_updates(),
            ExportMode::Snapshot,
            ExportMode::shallow_snapshot(&frontiers),
            ExportMode::state_only(None),
        ] {
            let bytes = doc.export(mode).unwrap();
            assert_eq!(import(&mut LoroReplica::headless(), &bytes), all);
        }
    }
}

#[test]
fn what_is_alike_is_written_once_and_taken() {
    let all = Ok(Imported::All { refused: 0 });
    let doc = doc();
    let (map, list) = (doc.get_map("m"), doc.get_list("l"));
    for round in 0..20_000 {
        map.insert("k", round % 2 == 0).unwrap();
        list.insert(0, LoroValue::Null).unwrap();
        map.delete("k").unwrap();
    }
    list.delete(0, 10_000).unwrap();
    for _ in 0..100_000 {
        list.push(LoroValue::Null).unwrap();
    }
    assert_eq!(import(&mut LoroReplica::headless(), &updates(&doc)), all);
    let whole = doc.export(ExportMode::Snapshot).unwrap();
    assert_eq!(import(&mut LoroReplica::headless(), &whole), all);
}
