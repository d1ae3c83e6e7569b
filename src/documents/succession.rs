//! A document that is kept without its schema is opened with it, while peers change it: nothing of them is lost.
//!
//! Tests without sockets and clocks.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Identity, Interest, Offer, WireVersion};
use kyneta_uds_exchange::{
    DocKind, DocLimits, DocReplica, Edit, EditError, ImportError, Imported, Json, JsonKind, Moment,
    Payload, Replica, Take,
};
use kyneta_uds_schema::{DocVersion, Migration, Schema, Substrate, SubstrateError};
use kyneta_uds_sync::ChannelKey;

use super::{
    cell::{DocCell, WIRES},
    engine::Engine,
    exchange::Exchange,
    table::{OpenError, Table},
};

/// The channel to the peer.
const KEY: ChannelKey = ChannelKey(1);

fn doc() -> DocId {
    DocId::new("log").unwrap()
}

fn schema() -> Schema {
    Schema::structure([("items", Schema::list(Schema::string()))]).unwrap()
}

/// The document as another peer has it, who edits it.
struct Author {
    replica: Box<dyn DocReplica>,
    sent: Option<DocVersion>,
}

impl Author {
    fn new() -> Self {
        let replica = JsonKind.open(&schema(), DocLimits::default(), 0);
        Self {
            replica: replica.unwrap(),
            sent: None,
        }
    }

    /// An offer of one item more: all, or the change.
    fn push(&mut self, item: &str) -> Offer {
        let moment = Moment {
            now_ms: 0,
            random: 1,
        };
        self.replica
            .edit(&[Edit::push("items", item)], moment)
            .unwrap();
        let payload = self.replica.export(self.sent.as_ref(), WireVersion::V3);
        self.sent = Some(self.replica.version(WireVersion::V3));
        payload.unwrap().offer(doc()).unwrap()
    }
}

fn import(kept: &DocCell, offer: &Offer, how: Take) {
    let import = kept.import(offer, WireVersion::V3, how, [false; 2]);
    assert!(import.is_ok_and(|import| import.has_changed));
}

fn items(cell: &DocCell) -> String {
    cell.value().get("items").unwrap().to_string()
}

/// Of its replicas with a schema, the first one is late: what it takes is old when it is taken.
#[derive(Default)]
struct SlowKind(Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

struct SlowReplica {
    replica: Box<dyn DocReplica>,
    meanwhile: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
}

impl fmt::Debug for SlowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowKind").finish_non_exhaustive()
    }
}

impl DocKind for SlowKind {
    fn substrate(&self) -> Substrate {
        Substrate::Plain
    }

    fn open(
        &self,
        schema: &Schema,
        limits: DocLimits,
        random: u64,
    ) -> Result<Box<dyn DocReplica>, SubstrateError> {
        Ok(Box::new(SlowReplica {
            replica: JsonKind.open(schema, limits, random)?,
            meanwhile: self.0.clone(),
        }))
    }

    fn headless(&self, limits: DocLimits, random: u64) -> Box<dyn DocReplica> {
        JsonKind.headless(limits, random)
    }
}

impl Replica for SlowReplica {
    fn substrate(&self) -> Substrate {
        self.replica.substrate()
    }

    fn version(&self, wire: WireVersion) -> DocVersion {
        self.replica.version(wire)
    }

    fn export(&self, since: Option<&DocVersion>, wire: WireVersion) -> Option<Payload> {
        self.replica.export(since, wire)
    }

    fn import(
        &mut self,
        offer: &Offer,
        wire: WireVersion,
        how: Take,
    ) -> Result<Imported, ImportError> {
        let imported = self.replica.import(offer, wire, how);
        if let Some(meanwhile) = self.meanwhile.get() {
            meanwhile();
        }
        imported
    }
}

impl DocReplica for SlowReplica {
    fn value(&self) -> Json {
        self.replica.value()
    }

    fn edit(&mut self, edits: &[Edit], moment: Moment) -> Result<bool, EditError> {
        self.replica.edit(edits, moment)
    }

    fn bytes(&self) -> usize {
        self.replica.bytes()
    }

    fn measure(&mut self) -> usize {
        self.replica.measure()
    }
}

#[test]
fn what_a_peer_sends_while_a_kept_document_is_opened_is_in_it() {
    const OFFERS: usize = 5;
    let kind = SlowKind::default();
    let meanwhile = kind.0.clone();
    let table = Table::new(
        vec![Arc::new(kind)],
        Vec::new(),
        DocLimits::default(),
        usize::MAX,
    );
    let kept = table.replicate(&doc(), Substrate::Plain, None).unwrap();
    let mut author = Author::new();
    import(&kept, &author.push("0"), Take::Replace);
    let late: Vec<_> = (1..=OFFERS)
        .map(|at| author.push(&at.to_string()))
        .collect();
    let (late, peer) = (std::sync::Mutex::new(late.into_iter()), kept.clone());
    let come = move || {
        let next = late.lock().unwrap().next();
        if let Some(offer) = next {
            import(&peer, &offer, Take::Merge);
        }
    };
    assert!(meanwhile.set(Box::new(come)).is_ok());
    let (cell, _) = table.open(&doc(), Substrate::Plain, &schema()).unwrap();
    assert_eq!(items(&cell), r#"["0","1","2","3","4","5"]"#);
    assert_eq!(cell.version(WireVersion::V3), kept.version(WireVersion::V3));
}

#[test]
fn what_is_kept_stays_if_the_document_that_is_opened_cannot_take_it() {
    // Without its schema it has room; with it there is a field more.
    let mut limits = DocLimits::default();
    limits.max_bytes = 24;
    let table = Table::new(vec![Arc::new(JsonKind)], Vec::new(), limits, usize::MAX);
    let kept = table.replicate(&doc(), Substrate::Plain, None).unwrap();
    import(&kept, &Author::new().push("kept"), Take::Replace);
    let fields = [
        ("items", Schema::list(Schema::string())),
        ("more", Schema::string()),
    ];
    let schema = Schema::structure(fields).unwrap();
    let refused = table.open(&doc(), Substrate::Plain, &schema).unwrap_err();
    assert!(matches!(refused, OpenError::Unreadable { .. }), "{refused}");
    assert!(Arc::ptr_eq(&kept, &table.get(&doc()).unwrap()));
    assert_eq!(items(&kept), r#"["kept"]"#);
    assert!(!kept.is_gone());
}

/// A keeper, its peer, and what that presents: a document of this schema.
fn keeper(schema: &Schema) -> (Arc<Table>, Engine, Identity, DocEntry) {
    let builder = Exchange::builder(Identity::service("keeper").unwrap()).replicate();
    let machines = WIRES.map(|wire| builder.machine(wire));
    let kinds: Vec<Arc<dyn DocKind>> = vec![Arc::new(JsonKind)];
    let table = Table::new(kinds, Vec::new(), DocLimits::default(), usize::MAX);
    let table = Arc::new(table);
    let mut engine = Engine::new(machines, table.clone());
    let peer = Identity::service("author").unwrap();
    engine.up(KEY, peer.clone(), WireVersion::V3);
    let shown = table.open(&doc(), Substrate::Plain, schema).unwrap().0;
    let entry = shown.entry(WireVersion::V3).unwrap();
    table.remove(&shown);
    (table, engine, peer, entry)
}

#[test]
fn what_a_peer_sends_before_the_engine_is_told_that_a_kept_document_was_opened_is_in_it() {
    let (table, mut engine, peer, entry) = keeper(&schema());
    let mut author = Author::new();
    let received = |engine: &mut Engine, msg: ChannelMsg| {
        engine.received(KEY, &peer.peer_id, WireVersion::V3, msg);
    };
    received(&mut engine, ChannelMsg::Present(vec![entry]));
    received(&mut engine, Interest::new(doc()).into());
    received(&mut engine, author.push("kept").into());
    let (cell, is_new) = table.open(&doc(), Substrate::Plain, &schema()).unwrap();
    assert!(is_new);
    received(&mut engine, author.push("late").into());
    // The one that has sent it never comes back.
    engine.down(KEY, WireVersion::V3);
    engine.opened(&cell);
    assert_eq!(items(&cell), r#"["kept","late"]"#);
}

/// A keeper that was shown a document of this schema, and the document, kept.
fn kept_of(schema: &Schema) -> (Arc<Table>, Engine, Arc<DocCell>) {
    let (table, mut engine, peer, entry) = keeper(schema);
    let present = ChannelMsg::Present(vec![entry]);
    engine.received(KEY, &peer.peer_id, WireVersion::V3, present);
    let offer = Author::new().push("kept").into();
    engine.received(KEY, &peer.peer_id, WireVersion::V3, offer);
    let kept = table.get(&doc()).unwrap();
    (table, engine, kept)
}

#[test]
fn a_kept_document_is_not_opened_with_a_schema_that_it_was_not_presented_with() {
    let (table, _engine, kept) = kept_of(&schema());
    let other = Schema::structure([("items", Schema::counter())]).unwrap();
    let refused = table.open(&doc(), Substrate::Plain, &other).unwrap_err();
    let text = refused.to_string();
    for schema in [&schema(), &other] {
        let hash = schema.hash(WireVersion::V3).unwrap();
        assert!(text.contains(hash.as_str()), "{text}");
    }
    assert!(Arc::ptr_eq(&kept, &table.get(&doc()).unwrap()));
    assert_eq!(items(&kept), r#"["kept"]"#);
    let opened = table.open(&doc(), Substrate::Plain, &schema());
    assert_eq!(items(&opened.unwrap().0), r#"["kept"]"#);
}

#[test]
fn a_kept_document_is_opened_with_an_earlier_and_a_later_version_of_its_schema() {
    let base = || Schema::structure([("items", Schema::list(Schema::string()))]).unwrap();
    let fields = [
        ("items", Schema::list(Schema::string())),
        ("more", Schema::string()),
    ];
    let later = Schema::structure(fields).unwrap();
    let later = later.migrated([Migration::add("more")]).unwrap();
    for (presented, opened) in [(base(), later.clone()), (later, base())] {
        let (table, _engine, _) = kept_of(&presented);
        let opened = table.open(&doc(), Substrate::Plain, &opened);
        assert_eq!(items(&opened.unwrap().0), r#"["kept"]"#);
    }
}
