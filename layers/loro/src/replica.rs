//! The replica of a Loro document.
//!
//! In: edits, and offers of peers. Out: its value, its version, payloads. The Loro peer id is handed in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kyneta_uds_core::{Bytes, Data, Encoding, Lineage, Offer, PayloadKind, WireVersion};
use kyneta_uds_exchange::{
    Edit, EditError, ImportError, Imported, Json, Object, Payload, Replica, Take,
    library::{Library, Quarantined},
    values::edit_object,
};
use kyneta_uds_schema::{
    DocVersion, Expand, Identities, Kind, LoroVersion, Schema, Substrate, SubstrateError,
    VersionOrder,
};
use loro::{ExpandType, ExportMode, LoroDoc, StyleConfig, StyleConfigMap, VersionVector};

use crate::{claims, deep, place::Layout};

/// The largest Loro peer id that JavaScript reads as a number.
const MAX_PEER: u64 = (1 << 53) - 1;

/// What the reference says the lineage of a whole document is. It means nothing.
const LINEAGE: &str = "kyneta.genesis";

/// How much a Loro document may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoroLimits {
    /// The most bytes of the document with its history, as it is sent whole. 64 MiB by default.
    /// What is sent whole is packed: unpacked it may have four times as many, or 1 MiB.
    pub max_bytes: usize,
}

impl Default for LoroLimits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
        }
    }
}

/// A Loro document, with a schema or without.
///
/// When the library fails on a document, which a hostile payload may bring about, the document is in quarantine: it
/// keeps its last version, every edit and every offer is an error, and nothing is sent of it.
#[derive(Debug)]
pub struct LoroReplica {
    doc: LoroDoc,
    schema: Option<(Schema, Identities)>,
    version: LoroVersion,
    limits: LoroLimits,
    library: Library,
    /// How many containers have come in offers, each time they came. Edits add a few to each other alone.
    containers: usize,
}

impl LoroReplica {
    /// A new document of a schema. Opening it writes nothing; what is not there reads as the zero of its kind.
    ///
    /// `peer` names the operations of this replica, up to 2^53 - 1; larger ones are cut. No two replicas may ever
    /// use the same, so a process takes a random one each time: one derived from its name is only safe with a store.
    ///
    /// # Errors
    /// [`SubstrateError`] when a Loro document cannot have this schema.
    pub fn open(schema: Schema, peer: u64) -> Result<Self, SubstrateError> {
        Substrate::Loro.check(&schema)?;
        let mut replica = Self::headless();
        // Refused is the largest number alone.
        drop(replica.doc.set_peer_id(peer & MAX_PEER));
        replica.doc.config_text_style(styles(&schema));
        replica.schema = Some((schema.clone(), schema.identities()));
        Ok(replica)
    }

    /// A new document without a schema, which holds what peers send and forwards it.
    pub fn headless() -> Self {
        Self {
            doc: LoroDoc::new(),
            schema: None,
            version: LoroVersion::default(),
            limits: LoroLimits::default(),
            library: Library::new("Loro", Substrate::Loro),
            containers: 0,
        }
    }

    /// Sets how much it may hold. Belongs right after its creation.
    pub fn limits(mut self, limits: LoroLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What the document holds, read anew each time. Empty without a schema, and in quarantine.
    pub fn value(&self) -> Object {
        let Some(layout) = self.layout() else {
            return Object::new();
        };
        let read = || layout.read(&layout.root());
        match self.call("its value", read) {
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
        let (doc, containers) = (&self.doc, self.containers);
        self.library
            .measure(|| deep::call(containers, || size(doc)))
    }

    /// Makes edits as one batch. `false` when there is nothing to do.
    ///
    /// # Errors
    /// [`EditError`]. Then the value is as it was. Where the library refuses one of several edits in the middle,
    /// those before it are taken back by operations of their own, so the version may be a later one.
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
        let made = self.call("an edit", || make(layout, edits))?;
        self.look();
        made?;
        self.library.grew(grows);
        Ok(true)
    }

    /// Whether so many bytes more are within the limit; else how many there would be, and the limit. The document is
    /// only measured near the limit.
    fn room(&mut self, more: usize) -> Result<(), (usize, usize)> {
        let limit = self.limits.max_bytes;
        let (doc, containers) = (&self.doc, self.containers);
        let measure = || deep::call(containers, || size(doc));
        let room = self.library.room(more, limit, measure);
        room.map_err(|bytes| (bytes, limit))
    }

    /// Calls the library on the document, with a stack for all that is nested in it.
    fn call<T>(&self, on: &str, call: impl FnOnce() -> T) -> Result<T, Quarantined> {
        self.library.call(on, || deep::call(self.containers, call))
    }

    fn layout(&self) -> Option<Layout<'_>> {
        let (schema, identities) = self.schema.as_ref()?;
        self.library.check().ok()?;
        Some(Layout {
            doc: &self.doc,
            schema,
            identities,
        })
    }

    /// Takes the version from the library.
    fn look(&mut self) {
        if let Ok(vector) = self.call("its version", || self.doc.oplog_vv()) {
            let counters = vector.iter().map(|(peer, counter)| (*peer, *counter));
            self.version = counters.collect();
        }
    }
}

fn size(doc: &LoroDoc) -> usize {
    let held = doc.export(ExportMode::Snapshot).map(|all| all.len());
    // What waits for what is missing is not in a snapshot.
    let waits = doc.export_pending_updates().ok().flatten();
    held.unwrap_or(usize::MAX)
        .saturating_add(waits.map_or(0, |waits| waits.len()))
}

/// Makes all edits, or none.
fn make(layout: Layout<'_>, edits: &[Edit]) -> Result<(), EditError> {
    if let [edit] = edits {
        let made = layout.edit(edit);
        layout.doc.commit();
        return made;
    }
    // Tried on a copy, because the library takes nothing back.
    let mut copy = match layout.read(&layout.root()) {
        Some(Json::Object(object)) => object,
        _ => Object::new(),
    };
    edit_object(layout.schema, &mut copy, edits)?;
    let before = layout.doc.oplog_frontiers();
    let made = edits.iter().try_for_each(|edit| layout.edit(edit));
    layout.doc.commit();
    if made.is_err() {
        // The next look at its version sees whether this has failed.
        drop(layout.doc.revert_to(&before));
        layout.doc.commit();
    }
    made
}

/// The marks of all rich texts in a schema, with the edges at which they grow.
fn styles(schema: &Schema) -> StyleConfigMap {
    let mut styles = StyleConfigMap::new();
    let mut left = vec![schema];
    while let Some(schema) = left.pop() {
        match schema.kind() {
            Kind::RichText(marks) => {
                for mark in marks {
                    let expand = match mark.expand {
                        Expand::Before => ExpandType::Before,
                        Expand::After => ExpandType::After,
                        Expand::Both => ExpandType::Both,
                        Expand::None => ExpandType::None,
                    };
                    styles.insert(mark.name.as_str().into(), StyleConfig { expand });
                }
            }
            Kind::Struct(structure) => left.extend(structure.fields().map(|(_, field)| field)),
            Kind::List(item)
            | Kind::Record(item)
            | Kind::Movable(item)
            | Kind::Set(item)
            | Kind::Tree(item) => left.push(item),
            _ => {}
        }
    }
    styles
}

fn vector(version: &LoroVersion) -> VersionVector {
    let counters = version.counters().filter(|(_, counter)| *counter > 0);
    counters.collect()
}

impl Replica for LoroReplica {
    fn substrate(&self) -> Substrate {
        Substrate::Loro
    }

    fn version(&self, _: WireVersion) -> DocVersion {
        DocVersion::Loro(self.version.clone())
    }

    /// A peer that lacks nothing is sent an empty update, as the reference does. `None` in quarantine alone.
    fn export(&self, since: Option<&DocVersion>, wire: WireVersion) -> Option<Payload> {
        self.library.check().ok()?;
        let since = match since {
            Some(DocVersion::Loro(since)) => match self.version.compare(since) {
                VersionOrder::Equal | VersionOrder::Behind => Some(vector(&self.version)),
                _ => Some(vector(since)),
            },
            _ => None,
        };
        let export = || {
            let newer = since.and_then(|since| self.doc.export(ExportMode::updates(&since)).ok());
            match newer {
                Some(bytes) => Some((PayloadKind::Since, bytes)),
                // What is older may have been cut off by a peer.
                None => {
                    let all = self.doc.export(ExportMode::Snapshot).ok()?;
                    Some((PayloadKind::Entirety, all))
                }
            }
        };
        let (kind, bytes) = self.call("what is sent", export).ok()??;
        let lineage = match (kind, wire) {
            (PayloadKind::Entirety, WireVersion::V3) => Lineage::new(LINEAGE).ok(),
            _ => None,
        };
        Some(Payload {
            kind,
            encoding: Encoding::Binary,
            data: Data::Bytes(Bytes::from(bytes)),
            version: self.version(wire),
            lineage,
        })
    }

    /// After [`Imported::Gap`] what could be taken is taken, and the rest waits inside for what is missing.
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

impl LoroReplica {
    fn take(&mut self, bytes: &[u8]) -> Result<Imported, ImportError> {
        self.room(bytes.len())
            .map_err(|(bytes, limit)| ImportError::TooLarge { bytes, limit })?;
        let containers = self
            .library
            .read(|| claims::check(bytes, self.limits.max_bytes))?;
        self.containers = self.containers.saturating_add(containers);
        // What makes the library fail here does no harm to the document.
        self.library
            .read(|| LoroDoc::decode_import_blob_meta(bytes, true))?;
        let taken = self.call("an offer", || self.doc.import(bytes))?;
        self.look();
        let status = taken.map_err(|error| self.library.refused(&error))?;
        self.library.grew(bytes.len());
        Ok(match status.pending {
            Some(_) => Imported::Gap,
            None => Imported::All { refused: 0 },
        })
    }
}

/// The library may fail, too, when a document on which it has failed is dropped.
impl Drop for LoroReplica {
    fn drop(&mut self) {
        let doc = std::mem::take(&mut self.doc);
        drop(catch_unwind(AssertUnwindSafe(|| drop(doc))));
    }
}
