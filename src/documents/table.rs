//! The documents of an exchange by their ids, and what they can be made of.
//!
//! In: ids, kinds, schemas. Out: documents, each made once. Touches the table's lock; replicas are made without it.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use kyneta_uds_core::{DocEntry, DocId, SchemaHash, WireVersion, ignore_poison};
use kyneta_uds_exchange::{DocKind, DocLimits, DocReplica, Moment};
use kyneta_uds_schema::{Schema, Substrate, SubstrateError};
use kyneta_uds_store::{Head, Stored};

use super::{
    cell::{DocCell, WIRES, restore},
    event::{ExchangeEvent, Reports},
    journal::{Journal, Loaded},
    room::{DocumentsFull, Of, Room},
};

/// Why a document cannot be opened. Other documents are not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Documents of this kind were not registered.
    #[error(
        "{doc} cannot be opened: documents of the kind {kind} are not registered \
         (Builder::kind registers a kind)"
    )]
    NoKind {
        /// Which document.
        doc: DocId,
        /// Its kind.
        kind: &'static str,
    },
    /// This kind of document cannot have the schema.
    #[error("{doc} cannot be opened")]
    Schema {
        /// Which document.
        doc: DocId,
        /// What it cannot have.
        source: SubstrateError,
    },
    /// It is open with another schema or as another kind of document.
    #[error("{doc} is open as a {kind} document already{}", if *.other_schema { ", with another schema" } else { "" })]
    Open {
        /// Which document.
        doc: DocId,
        /// The kind that it has.
        kind: &'static str,
        /// The kind is the same, and the schema is another one.
        other_schema: bool,
    },
    /// The store has it as another kind of document, or with a schema that this one is no later version of.
    #[error(
        "{doc} cannot be opened: the store has it as {stored} with the schema {stored_schema}, and it was to be opened as \
         {kind} with the schema {schema}: give the kind and the schema that it has, or a later version of it, or another \
         store"
    )]
    OtherStored {
        /// Which document.
        doc: DocId,
        /// The kind in the store.
        stored: &'static str,
        /// The hash in the store, or a dash.
        stored_schema: String,
        /// The kind that was asked for.
        kind: &'static str,
        /// The hash that was asked for, or a dash.
        schema: String,
    },
    /// It is kept for others, and was presented with a schema that this one is no version of.
    #[error(
        "{doc} cannot be opened: it is kept as peers have presented it, with the schema {kept}, and it was to be opened \
         with the schema {schema}: give the schema that it has, or a version of it, or destroy what is kept"
    )]
    OtherKept {
        /// Which document.
        doc: DocId,
        /// The hash that it was presented with.
        kept: SchemaHash,
        /// The hash that was asked for, or a dash.
        schema: String,
    },
    /// What is stored of it, or the store, or what is kept of it without its schema, cannot be read. It stays, and is not
    /// begun anew.
    #[error("{doc} cannot be opened: {why}")]
    Unreadable {
        /// Which document.
        doc: DocId,
        /// Why, as a sentence.
        why: String,
    },
    /// The exchange has ended.
    #[error("{doc} cannot be opened: the exchange has ended")]
    Ended {
        /// Which document.
        doc: DocId,
    },
}

/// The documents, kinds and schemas of an exchange.
pub(super) struct Table {
    docs: Mutex<HashMap<DocId, Arc<DocCell>>>,
    kinds: Vec<Arc<dyn DocKind>>,
    schemas: Mutex<Vec<(Substrate, Schema)>>,
    limits: DocLimits,
    room: Arc<Room>,
    /// What the store has of documents that are not here yet; else why it cannot be read.
    loaded: Mutex<Result<Loaded, String>>,
    pub(super) journal: Option<Journal>,
    pub(super) reports: Arc<Reports>,
}

impl Table {
    pub(super) fn new(
        kinds: Vec<Arc<dyn DocKind>>,
        schemas: Vec<(Substrate, Schema)>,
        limits: DocLimits,
        max_bytes_in_all: usize,
    ) -> Self {
        Self {
            room: Arc::new(Room::new(max_bytes_in_all)),
            docs: Mutex::default(),
            kinds,
            schemas: Mutex::new(schemas),
            limits,
            loaded: Mutex::new(Ok(Loaded::new())),
            journal: None,
            reports: Arc::default(),
        }
    }

    /// With what was in a store, and the way back to it.
    pub(super) fn stored(
        mut self,
        loaded: Result<Loaded, String>,
        journal: Option<Journal>,
    ) -> Self {
        if let Err(why) = &loaded {
            let (doc, why) = (None, why.clone());
            self.reports.send(ExchangeEvent::Unreadable { doc, why });
        }
        self.loaded = Mutex::new(loaded);
        self.journal = journal;
        self
    }

    /// Opens what is stored and was kept for others, or has a schema that is known.
    pub(super) fn open_stored(&self) -> Vec<Arc<DocCell>> {
        let loaded = ignore_poison(self.loaded.lock())
            .clone()
            .unwrap_or_default();
        let opened = loaded.iter().filter_map(|(doc, stored)| {
            let head = &stored.head;
            if !head.is_opened {
                return self.replicate(doc, head.substrate, None);
            }
            let known = WIRES.iter().zip(&head.schema);
            let schema =
                known.filter_map(|(wire, hash)| self.schema(head.substrate, hash.as_ref()?, *wire));
            let (cell, _) = self.open(doc, head.substrate, &schema.last()?).ok()?;
            Some(cell)
        });
        opened.collect()
    }

    /// A document has changed that did not wait for the journal.
    pub(super) fn changed(&self, cell: &Arc<DocCell>) {
        if let Some(journal) = &self.journal
            && !cell.is_transient()
        {
            journal.changed(cell.clone());
        }
    }

    /// The documents whose numbers the next process may go on with.
    pub(super) fn numbered(&self) -> Vec<Arc<DocCell>> {
        let mut all = self.all();
        all.retain(|cell| {
            cell.schema.is_some()
                && self
                    .kind(cell.substrate)
                    .is_some_and(|kind| kind.has_number())
        });
        all
    }

    /// What is stored of a document that is not here yet.
    fn loaded(&self, doc: &DocId) -> Result<Option<Arc<Stored>>, String> {
        let loaded = ignore_poison(self.loaded.lock());
        loaded
            .as_ref()
            .map(|all| all.get(doc).cloned())
            .map_err(String::clone)
    }

    /// What is destroyed and may be in the store still.
    pub(super) fn undeleted(&self) -> Vec<DocId> {
        let journal = self.journal.as_ref();
        journal.map(Journal::undeleted).unwrap_or_default()
    }

    pub(super) fn unreadable_store(&self) -> Option<String> {
        ignore_poison(self.loaded.lock()).as_ref().err().cloned()
    }

    /// It has not been opened since it was read.
    fn is_loaded(&self, doc: &DocId) -> bool {
        let loaded = ignore_poison(self.loaded.lock());
        loaded.as_ref().is_ok_and(|all| all.contains_key(doc))
    }

    /// It is here from now on. Said under the lock of the documents, so that no look finds it in neither place.
    fn is_here(&self, doc: &DocId) {
        if let Ok(loaded) = &mut *ignore_poison(self.loaded.lock()) {
            loaded.remove(doc);
        }
    }

    fn unreadable(&self, doc: &DocId, why: String) -> OpenError {
        self.reports.send(ExchangeEvent::Unreadable {
            doc: Some(doc.clone()),
            why: why.clone(),
        });
        let doc = doc.clone();
        OpenError::Unreadable { doc, why }
    }

    fn docs(&self) -> MutexGuard<'_, HashMap<DocId, Arc<DocCell>>> {
        ignore_poison(self.docs.lock())
    }

    pub(super) fn get(&self, doc: &DocId) -> Option<Arc<DocCell>> {
        self.docs().get(doc).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<DocCell>> {
        self.docs().values().cloned().collect()
    }

    fn kind(&self, substrate: Substrate) -> Option<&Arc<dyn DocKind>> {
        let mut kinds = self.kinds.iter();
        kinds.find(|kind| kind.substrate() == substrate)
    }

    /// Adds a schema, once.
    pub(super) fn register(&self, substrate: Substrate, schema: Schema) {
        let mut schemas = ignore_poison(self.schemas.lock());
        let new = (substrate, schema);
        if !schemas.contains(&new) {
            schemas.push(new);
        }
    }

    /// The schema of this hash.
    pub(super) fn schema(
        &self,
        substrate: Substrate,
        hash: &SchemaHash,
        wire: WireVersion,
    ) -> Option<Schema> {
        let schemas = ignore_poison(self.schemas.lock());
        let has_it = |(of, schema): &&(Substrate, Schema)| {
            *of == substrate && schema.hash(wire).as_ref() == Some(hash)
        };
        schemas
            .iter()
            .find(has_it)
            .map(|(_, schema)| schema.clone())
    }

    /// The document, opened, and true when it was not open before. One that was kept without a schema is replaced by one
    /// that has its content.
    pub(super) fn open(
        &self,
        doc: &DocId,
        substrate: Substrate,
        schema: &Schema,
    ) -> Result<(Arc<DocCell>, bool), OpenError> {
        let found = self.get(doc);
        if let Some(cell) = &found
            && (cell.schema.is_some() || cell.substrate != substrate)
        {
            return opened(cell, substrate, schema).map(|cell| (cell, false));
        }
        if let Some(kept) = &found {
            fits_kept(kept, schema)?;
        }
        let kind = self.kind(substrate).ok_or_else(|| OpenError::NoKind {
            doc: doc.clone(),
            kind: substrate.name(),
        })?;
        let loaded = self.loaded(doc).map_err(|why| OpenError::Unreadable {
            doc: doc.clone(),
            why,
        })?;
        let loaded = loaded.filter(|_| found.is_none());
        if let Some(stored) = &loaded {
            fits(doc, &stored.head, substrate, schema)?;
        }
        let number = loaded.as_ref().and_then(|stored| stored.head.number);
        let number = number.unwrap_or_else(random);
        let replica = kind.open(schema, self.limits, number);
        let mut replica = replica.map_err(|source| OpenError::Schema {
            doc: doc.clone(),
            source,
        })?;
        if let Some(stored) = &loaded {
            let restored = restored(&mut *replica, stored);
            restored.map_err(|why| self.unreadable(doc, why))?;
        }
        let mut cell = self.cell(doc, Some(schema.clone()), replica, number);
        if loaded.is_some() {
            cell = cell.stored([None, None]);
        }
        let cell = Arc::new(cell);
        let mut taken = None;
        loop {
            if let Some(kept) = &found {
                let now = cell.take_over(kept, taken.as_ref());
                taken = Some(now.map_err(|why| not_taken(doc, &why))?);
            }
            let mut docs = self.docs();
            let is_other = docs.get(doc).map(Arc::as_ptr) != found.as_ref().map(Arc::as_ptr);
            if is_other || (loaded.is_some() && !self.is_loaded(doc)) {
                // Opened or destroyed in the meantime, or both.
                drop(docs);
                return self.open(doc, substrate, schema);
            }
            if let (Some(kept), Some(taken)) = (&found, &taken)
                && !kept.give_way(&cell, taken)
            {
                // A peer has changed it in the meantime.
                continue;
            }
            docs.insert(doc.clone(), cell.clone());
            self.is_here(doc);
            break;
        }
        if let Some(kept) = found {
            kept.set_removed();
            kept.end();
            self.changed(&cell);
        }
        Ok((cell, true))
    }

    fn cell(
        &self,
        doc: &DocId,
        schema: Option<Schema>,
        replica: Box<dyn DocReplica>,
        number: u64,
    ) -> DocCell {
        DocCell::new(doc.clone(), schema, replica, number, self.room.clone())
    }

    /// Whether something may be added to the documents.
    pub(super) fn has_room(&self, of: Of) -> Result<(), DocumentsFull> {
        self.room.check(of, || self.all())
    }

    /// The document as it is here, else one without a schema, which a peer of a side has presented.
    pub(super) fn replicate(
        &self,
        doc: &DocId,
        substrate: Substrate,
        presented: Option<(usize, &DocEntry)>,
    ) -> Option<Arc<DocCell>> {
        let mut replica = self.kind(substrate)?.headless(self.limits, random());
        let loaded = self.loaded(doc).ok()?;
        if let Some(stored) = &loaded {
            if stored.head.substrate != substrate {
                let what = stored.head.substrate.name();
                tracing::warn!(?doc, "the store has it as a {what} document");
                return None;
            }
            if let Err(why) = restored(&mut *replica, stored) {
                self.unreadable(doc, why);
                return None;
            }
        }
        let mut new = self.cell(doc, None, replica, 0);
        if let Some(stored) = &loaded {
            new = new.stored(stored.head.schema.clone());
        }
        if let Some((side, entry)) = presented {
            new.set_presented(side, entry);
        }
        let mut docs = self.docs();
        if loaded.is_some() && !docs.contains_key(doc) && !self.is_loaded(doc) {
            // Opened and destroyed in the meantime.
            drop(docs);
            return self.replicate(doc, substrate, presented);
        }
        let cell = docs.entry(doc.clone()).or_insert(Arc::new(new)).clone();
        self.is_here(doc);
        drop(docs);
        (cell.substrate == substrate).then_some(cell)
    }

    /// Takes a document out.
    pub(super) fn remove(&self, cell: &Arc<DocCell>) {
        let mut docs = self.docs();
        let held = docs.get(&cell.id);
        if held.is_some_and(|held| Arc::ptr_eq(held, cell)) {
            docs.remove(&cell.id);
            cell.set_removed();
            if let Some(journal) = &self.journal
                && !cell.is_transient()
            {
                journal.deleted(cell.id.clone());
            }
        }
        drop(docs);
        cell.end();
    }

    pub(super) fn end(&self) {
        for cell in self.all() {
            cell.end();
        }
    }
}

/// What is kept cannot be taken, and stays.
fn not_taken(doc: &DocId, why: &str) -> OpenError {
    OpenError::Unreadable {
        doc: doc.clone(),
        why: format!("what is kept of it without its schema cannot be taken: {why}"),
    }
}

fn opened(
    cell: &Arc<DocCell>,
    substrate: Substrate,
    schema: &Schema,
) -> Result<Arc<DocCell>, OpenError> {
    let is_of_its_kind = cell.substrate == substrate;
    if is_of_its_kind && cell.schema.as_ref() == Some(schema) {
        return Ok(cell.clone());
    }
    Err(OpenError::Open {
        doc: cell.id.clone(),
        kind: cell.substrate.name(),
        other_schema: is_of_its_kind,
    })
}

/// Whether a schema is that of a hash, or a later version of it.
fn reads(schema: &Schema, wire: WireVersion, hash: &SchemaHash) -> bool {
    let supported = schema.supported_hashes(wire).unwrap_or_default();
    schema.hash(wire).as_ref() == Some(hash) || supported.contains(hash)
}

fn shown(hash: Option<&SchemaHash>) -> String {
    hash.map_or("-".to_owned(), ToString::to_string)
}

/// Whether what is kept can be opened with a schema, by the rule between peers: there is a schema that both sides read. Peers
/// of each wire version may have presented it.
fn fits_kept(cell: &DocCell, schema: &Schema) -> Result<(), OpenError> {
    let (kept, readable) = cell.kept();
    let known = || WIRES.into_iter().zip(&kept).rev();
    let known = || known().filter_map(|(wire, hash)| Some((wire, hash.as_ref()?)));
    let Some((wire, hash)) = known().next() else {
        return Ok(());
    };
    let is_read = |wire| readable.iter().any(|hash| reads(schema, wire, hash));
    if known().any(|(wire, hash)| reads(schema, wire, hash) || is_read(wire)) {
        return Ok(());
    }
    Err(OpenError::OtherKept {
        doc: cell.id.clone(),
        kept: hash.clone(),
        schema: shown(schema.hash(wire).as_ref()),
    })
}

/// Whether what is stored can be opened with a schema: the same, or one that the schema is a later version of.
fn fits(doc: &DocId, head: &Head, substrate: Substrate, schema: &Schema) -> Result<(), OpenError> {
    let mut known = WIRES.into_iter().zip(&head.schema);
    let fits =
        known.any(|(wire, hash)| hash.as_ref().is_some_and(|hash| reads(schema, wire, hash)));
    if head.substrate == substrate && fits {
        return Ok(());
    }
    let hash = schema.hash(WireVersion::V3);
    Err(OpenError::OtherStored {
        doc: doc.clone(),
        stored: head.substrate.name(),
        stored_schema: shown(head.schema.iter().rev().flatten().next()),
        kind: substrate.name(),
        schema: shown(hash.as_ref()),
    })
}

/// Makes a document of what is stored.
fn restored(replica: &mut dyn DocReplica, stored: &Stored) -> Result<(), String> {
    let mut offers = stored.offers.iter();
    offers.try_for_each(|offer| restore(replica, offer))
}

/// The time, and a random number.
pub(super) fn moment() -> Moment {
    Moment {
        now_ms: now_ms(),
        random: random(),
    }
}

/// The time, milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A random number: the keys of a hash map come from the system, and are others each time.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::{fmt, sync::OnceLock};

    use kyneta_uds_core::{Offer, Version};
    use kyneta_uds_exchange::{Json, JsonKind};

    use super::*;

    /// Opens and destroys the document, as another thread does, while it is made for the first time.
    #[derive(Default)]
    struct Meddling {
        table: OnceLock<Arc<Table>>,
        has_meddled: OnceLock<()>,
    }

    impl fmt::Debug for Meddling {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Meddling").finish_non_exhaustive()
        }
    }

    impl Meddling {
        fn meddle(&self) {
            if self.has_meddled.set(()).is_ok() {
                let table = self.table.get().unwrap();
                let (cell, _) = table.open(&doc(), Substrate::Plain, &schema()).unwrap();
                assert_eq!(cell.value().get("mode"), Some(&Json::from("stored")));
                table.remove(&cell);
            }
        }
    }

    impl DocKind for Meddling {
        fn substrate(&self) -> Substrate {
            Substrate::Plain
        }

        fn open(
            &self,
            schema: &Schema,
            limits: DocLimits,
            random: u64,
        ) -> Result<Box<dyn DocReplica>, SubstrateError> {
            self.meddle();
            JsonKind.open(schema, limits, random)
        }

        fn headless(&self, limits: DocLimits, random: u64) -> Box<dyn DocReplica> {
            self.meddle();
            JsonKind.headless(limits, random)
        }
    }

    fn doc() -> DocId {
        DocId::new("config").unwrap()
    }

    fn schema() -> Schema {
        Schema::structure([("mode", Schema::string())]).unwrap()
    }

    /// With a document in its store that is destroyed while it is opened.
    fn table() -> Arc<Table> {
        let mut head = Head::new(Substrate::Plain);
        head.is_opened = true;
        head.schema = WIRES.map(|wire| schema().hash(wire));
        let at = Version::new("aa:1").unwrap();
        let offer = Offer::json(doc(), at, r#"{"mode":"stored"}"#);
        let loaded = Loaded::from([(doc(), Arc::new(Stored::new(head, offer)))]);
        let kind = Arc::new(Meddling::default());
        let kinds: Vec<Arc<dyn DocKind>> = vec![kind.clone()];
        let table = Table::new(kinds, Vec::new(), DocLimits::default(), usize::MAX);
        let table = Arc::new(table.stored(Ok(loaded), None));
        assert!(kind.table.set(table.clone()).is_ok());
        table
    }

    #[test]
    fn a_document_that_is_destroyed_while_it_is_opened_does_not_come_back_from_the_store() {
        let (cell, is_new) = table().open(&doc(), Substrate::Plain, &schema()).unwrap();
        assert!(is_new);
        assert_eq!(cell.value().get("mode"), Some(&Json::from("")));
        let kept = table().replicate(&doc(), Substrate::Plain, None).unwrap();
        assert_eq!(kept.value().to_string(), "{}");
    }
}
