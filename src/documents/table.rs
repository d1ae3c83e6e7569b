//! The documents of an exchange by their ids, and what they can be made of.
//!
//! In: ids, kinds, schemas. Out: documents, each made once. Touches the table's lock; replicas are made without it.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use kyneta_uds_core::{DocId, SchemaHash, WireVersion, ignore_poison};
use kyneta_uds_exchange::{DocKind, DocLimits, Moment, Take};
use kyneta_uds_schema::{Schema, Substrate, SubstrateError};

use super::{cell::DocCell, event::Reports};

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
    pub(super) reports: Reports,
}

impl Table {
    pub(super) fn new(
        kinds: Vec<Arc<dyn DocKind>>,
        schemas: Vec<(Substrate, Schema)>,
        limits: DocLimits,
    ) -> Self {
        Self {
            docs: Mutex::default(),
            kinds,
            schemas: Mutex::new(schemas),
            limits,
            reports: Reports::default(),
        }
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

    /// The schema of this hash.
    pub(super) fn schema(
        &self,
        substrate: Substrate,
        hash: &SchemaHash,
        wire: WireVersion,
    ) -> Option<Schema> {
        let schemas = ignore_poison(self.schemas.lock()).clone();
        let has_it = |(of, schema): &(Substrate, Schema)| {
            *of == substrate && schema.hash(wire).as_ref() == Some(hash)
        };
        let found = schemas.into_iter().find(has_it);
        found.map(|(_, schema)| schema)
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
        let kind = self.kind(substrate).ok_or_else(|| OpenError::NoKind {
            doc: doc.clone(),
            kind: substrate.name(),
        })?;
        let replica = kind.open(schema, self.limits, random());
        let mut replica = replica.map_err(|source| OpenError::Schema {
            doc: doc.clone(),
            source,
        })?;
        if let Some(entirety) = found.as_ref().and_then(|kept| kept.entirety()) {
            let how = match substrate {
                Substrate::Plain => Take::Replace,
                _ => Take::Merge,
            };
            if let Err(error) = replica.import(&entirety, WireVersion::V3, how) {
                tracing::warn!(%error, ?doc, "what was kept of a document does not fit its schema");
            }
        }
        let cell = Arc::new(DocCell::new(doc.clone(), Some(schema.clone()), replica));
        let mut docs = self.docs();
        if let Some(now) = docs.get(doc)
            && now.schema.is_some()
        {
            let now = now.clone();
            drop(docs);
            return opened(&now, substrate, schema).map(|cell| (cell, false));
        }
        docs.insert(doc.clone(), cell.clone());
        drop(docs);
        if let Some(kept) = found {
            kept.end();
        }
        Ok((cell, true))
    }

    /// The document as it is here, else one without a schema.
    pub(super) fn replicate(&self, doc: &DocId, substrate: Substrate) -> Option<Arc<DocCell>> {
        let replica = self.kind(substrate)?.headless(self.limits, random());
        let new = Arc::new(DocCell::new(doc.clone(), None, replica));
        let mut docs = self.docs();
        let cell = docs.entry(doc.clone()).or_insert(new).clone();
        drop(docs);
        (cell.substrate == substrate).then_some(cell)
    }

    /// Takes a document out.
    pub(super) fn remove(&self, cell: &Arc<DocCell>) {
        let mut docs = self.docs();
        let held = docs.get(&cell.id);
        if held.is_some_and(|held| Arc::ptr_eq(held, cell)) {
            docs.remove(&cell.id);
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

/// The time, and a random number.
pub(super) fn moment() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    });
    Moment {
        now_ms,
        random: random(),
    }
}

/// A random number: the keys of a hash map come from the system, and are others each time.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
