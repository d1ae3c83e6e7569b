//! The replica of a Yjs document.
//!
//! In: edits, and offers of peers. Out: its value, its version, payloads. The client id is handed in.

use std::panic::resume_unwind;

use kyneta_uds_core::{Bytes, Data, Encoding, Lineage, Offer, PayloadKind, WireVersion};
use kyneta_uds_exchange::{
    Edit, EditError, ImportError, Imported, Json, Object, Payload, Replica, Take, library::Library,
};
use kyneta_uds_schema::{
    DocVersion, Identities, Kind, Schema, Struct, Substrate, SubstrateError, VersionOrder,
};
use yrs::{
    ArrayPrelim, ClientID, Doc, Map as _, MapPrelim, MapRef, OffsetKind, Options, ReadTxn as _,
    StateVector, TextPrelim, Transact as _, TransactionMut, Update, WriteTxn as _,
    updates::decoder::Decode as _,
};

use crate::{
    claims, deep,
    place::{Layout, ROOT, is_plain},
    version::{Seen, vector},
};

/// What the reference says the lineage of a whole document is. It means nothing.
const LINEAGE: &str = "kyneta.genesis";

/// The fewest bytes of a container.
const MIN_CONTAINER: usize = 4;

/// How much a Yjs document may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct YjsLimits {
    /// The most bytes of the document, as it is sent whole. 64 MiB by default.
    pub max_bytes: usize,
}

impl Default for YjsLimits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
        }
    }
}

/// A Yjs document, with a schema or without.
///
/// When the library fails on a document, which a hostile payload may bring about, the document is in quarantine: it
/// keeps its last version, every edit and every offer is an error, and nothing is sent of it.
#[derive(Debug)]
pub struct YjsReplica {
    doc: Doc,
    root: MapRef,
    schema: Option<(Schema, Identities)>,
    seen: Seen,
    limits: YjsLimits,
    library: Library,
    /// How many containers have come in offers, each time they came. Edits add a few to each other alone.
    containers: usize,
}

impl YjsReplica {
    /// A new document of a schema. The containers of its fields are created as all peers of the schema create them, so
    /// that those of one merge with those of another.
    ///
    /// `client` names the operations of this replica; 0, which names the containers, becomes 1. No two replicas may ever
    /// use the same, so a process takes a random one each time: one derived from its name is only safe with a store.
    ///
    /// # Errors
    /// [`SubstrateError`] when a Yjs document cannot have this schema.
    pub fn open(schema: Schema, client: u32) -> Result<Self, SubstrateError> {
        Substrate::Yjs.check(&schema)?;
        let mut replica = Self::new(u64::from(client.max(1)));
        if let Kind::Struct(structure) = schema.kind() {
            let identities = schema.identities();
            let containers = new_doc(0);
            let root = containers.get_or_insert_map(ROOT);
            let mut txn = containers.transact_mut();
            create(&mut txn, &root, structure, &identities, "");
            let all = txn.encode_diff_v1(&StateVector::default());
            drop(txn);
            // What was just encoded is decoded.
            if let Ok(update) = Update::decode_v1(&all) {
                drop(replica.doc.transact_mut().apply_update(update));
            }
        }
        replica.look();
        replica.schema = Some((schema.clone(), schema.identities()));
        Ok(replica)
    }

    /// A new document without a schema, which holds what peers send and forwards it.
    pub fn headless() -> Self {
        Self::new(1)
    }

    fn new(client: u64) -> Self {
        let doc = new_doc(client);
        let root = doc.get_or_insert_map(ROOT);
        let mut replica = Self {
            doc,
            root,
            schema: None,
            seen: Seen::default(),
            limits: YjsLimits::default(),
            library: Library::new("yrs", Substrate::Yjs),
            containers: 0,
        };
        replica.look();
        replica
    }

    /// Sets how much it may hold. Belongs right after its creation.
    pub fn limits(mut self, limits: YjsLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What the document holds, read anew each time. Empty without a schema, and in quarantine.
    pub fn value(&self) -> Object {
        let Some(layout) = self.layout() else {
            return Object::new();
        };
        let read = || layout.read(&self.doc.transact(), &layout.root());
        match self.library.call("its value", read) {
            Ok(Some(Json::Object(object))) => object,
            _ => Object::new(),
        }
    }

    /// Why the document is not used any more, if so.
    pub fn quarantine(&self) -> Option<&str> {
        self.library.quarantine()
    }

    /// At least the bytes of the document with its history.
    pub const fn bytes(&self) -> usize {
        self.library.bytes()
    }

    /// The bytes of the document with its history, counted anew.
    pub fn measure(&mut self) -> usize {
        self.library.measure(|| size(&self.doc))
    }

    /// Makes edits as one batch. `false` when there is nothing to do.
    ///
    /// # Errors
    /// [`EditError`]. Then none of the edits is made.
    pub fn edit(&mut self, edits: &[Edit]) -> Result<bool, EditError> {
        self.library.check()?;
        if self.schema.is_none() {
            return Err(EditError::NoSchema);
        }
        if edits.is_empty() {
            return Ok(false);
        }
        let grows: usize = edits.iter().map(Edit::bytes).sum();
        self.room(grows)
            .map_err(|(bytes, limit)| EditError::TooLarge { bytes, limit })?;
        let Some(layout) = self.layout() else {
            return Err(EditError::NoSchema);
        };
        let make = || deep::call(self.depth(), || make(&self.doc, layout, edits));
        let made = self.library.call("an edit", make)?;
        self.look();
        made?;
        self.library.grew(grows);
        Ok(true)
    }

    /// Whether so many bytes more are within the limit; else how many there would be, and the limit. The document is
    /// only measured near the limit.
    fn room(&mut self, more: usize) -> Result<(), (usize, usize)> {
        let limit = self.limits.max_bytes;
        let room = self.library.room(more, limit, || size(&self.doc));
        room.map_err(|bytes| (bytes, limit))
    }

    fn layout(&self) -> Option<Layout<'_>> {
        let (schema, identities) = self.schema.as_ref()?;
        self.library.check().ok()?;
        Some(Layout {
            schema,
            identities,
            root: &self.root,
        })
    }

    /// How many containers may be in each other at most: as many as have come, and as fit into the document.
    const fn depth(&self) -> usize {
        let fit = self.limits.max_bytes / MIN_CONTAINER;
        if self.containers < fit {
            self.containers
        } else {
            fit
        }
    }

    /// Takes the version from the library.
    fn look(&mut self) {
        let seen = || Seen::of(&self.doc.transact());
        if let Ok(seen) = self.library.call("its version", seen) {
            self.seen = seen;
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Imported, ImportError> {
        self.room(bytes.len())
            .map_err(|(bytes, limit)| ImportError::TooLarge { bytes, limit })?;
        let containers = self.library.read(|| claims::check(bytes))?;
        self.containers = self.containers.saturating_add(containers);
        let apply = || {
            // What makes the library fail here does no harm to the document.
            let update = self.library.read(|| Update::decode_v1(bytes))?;
            let mut txn = self.doc.transact_mut();
            if let Err(error) = txn.apply_update(update) {
                // A part of it is in the document, and the version does not say so: as if it had panicked.
                resume_unwind(Box::new(error.to_string()));
            }
            let lacks = txn.has_missing_updates();
            // What waits would grow without a bound, and is sent again when it is asked for.
            drop(txn.prune_pending());
            Ok::<_, ImportError>(lacks)
        };
        let apply = || deep::call(self.depth(), apply);
        let taken = self.library.call("an offer", apply)?;
        self.look();
        let lacks = taken?;
        self.library.grew(bytes.len());
        Ok(match lacks {
            true => Imported::Gap,
            false => Imported::All { refused: 0 },
        })
    }
}

fn new_doc(client: u64) -> Doc {
    Doc::with_options(Options {
        offset_kind: OffsetKind::Utf16,
        ..Options::with_client_id(ClientID::new(client))
    })
}

/// Creates the containers of a struct's fields, in the order of their names, each before those in it.
fn create(
    txn: &mut TransactionMut<'_>,
    map: &MapRef,
    structure: &Struct,
    identities: &Identities,
    prefix: &str,
) {
    for (name, field) in structure.fields_by_name() {
        if is_plain(field) {
            continue;
        }
        let path = match prefix {
            "" => name.to_owned(),
            prefix => format!("{prefix}.{name}"),
        };
        let key = identities.get(&path).unwrap_or(name);
        match field.kind() {
            Kind::Text | Kind::RichText(_) => {
                map.insert(txn, key, TextPrelim::new(""));
            }
            Kind::List(_) => {
                map.insert(txn, key, ArrayPrelim::default());
            }
            Kind::Record(_) => {
                map.insert(txn, key, MapPrelim::default());
            }
            Kind::Struct(inner) => {
                let map = map.insert(txn, key, MapPrelim::default());
                create(txn, &map, inner, identities, &path);
            }
            _ => {}
        }
    }
}

fn size(doc: &Doc) -> usize {
    let txn = doc.transact();
    txn.encode_diff_v1(&StateVector::default()).len()
}

/// Makes all edits, or none.
fn make(doc: &Doc, layout: Layout<'_>, edits: &[Edit]) -> Result<(), EditError> {
    if let [edit] = edits {
        return layout.edit(&mut doc.transact_mut(), edit);
    }
    // Tried on a copy, because the library takes nothing back.
    let all = doc.transact().encode_diff_v1(&StateVector::default());
    let copy = new_doc(1);
    let root = copy.get_or_insert_map(ROOT);
    if let Ok(update) = Update::decode_v1(&all) {
        drop(copy.transact_mut().apply_update(update));
    }
    let on_copy = Layout {
        root: &root,
        ..layout
    };
    let mut txn = copy.transact_mut();
    edits
        .iter()
        .try_for_each(|edit| on_copy.edit(&mut txn, edit))?;
    let mut txn = doc.transact_mut();
    edits
        .iter()
        .try_for_each(|edit| layout.edit(&mut txn, edit))
}

impl Replica for YjsReplica {
    fn substrate(&self) -> Substrate {
        Substrate::Yjs
    }

    fn version(&self, wire: WireVersion) -> DocVersion {
        DocVersion::Yjs(self.seen.version(wire))
    }

    /// A peer that lacks nothing is sent an empty update, as the reference does. `None` in quarantine alone.
    fn export(&self, since: Option<&DocVersion>, wire: WireVersion) -> Option<Payload> {
        self.library.check().ok()?;
        let own = self.seen.version(wire);
        let (kind, since) = match since {
            Some(DocVersion::Yjs(since)) => match own.compare(since) {
                VersionOrder::Equal | VersionOrder::Behind => (PayloadKind::Since, vector(&own)),
                // The library writes what no peer can read for clients that are further there than here.
                _ => (PayloadKind::Since, vector(&own.meet(since))),
            },
            _ => (PayloadKind::Entirety, StateVector::default()),
        };
        let export = || self.doc.transact().encode_diff_v1(&since);
        let bytes = self.library.call("what is sent", export).ok()?;
        let lineage = match (kind, wire) {
            (PayloadKind::Entirety, WireVersion::V3) => Lineage::new(LINEAGE).ok(),
            _ => None,
        };
        Some(Payload {
            kind,
            encoding: Encoding::Binary,
            data: Data::Bytes(Bytes::from(bytes)),
            version: DocVersion::Yjs(own),
            lineage,
        })
    }

    /// After [`Imported::Gap`] what could be taken is taken, and the rest is dropped: the peer sends it again with what
    /// is missing.
    fn import(
        &mut self,
        offer: &Offer,
        _: WireVersion,
        how: Take,
    ) -> Result<Imported, ImportError> {
        self.library.check()?;
        let bytes = self.library.bytes_of(offer)?;
        if how == Take::Replace && self.schema.is_none() {
            let mut new = Self::headless().limits(self.limits);
            let imported = new.take(bytes);
            if imported.is_ok() {
                *self = new;
            }
            return imported;
        }
        self.take(bytes)
    }
}
