//! Which kinds of documents there are here: replica types, and schemas of them.
//!
//! In: replica types and schemas; what a peer presents. Out: the schema for it, or that it can be passed on. Touches nothing.

use kyneta_uds_core::{DocEntry, ReplicaType, SchemaHash, SyncMode};

use crate::program::shares_schema;

/// A schema that documents are opened with when a peer presents one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Schema {
    /// The software that replicates its documents.
    pub replica: ReplicaType,
    /// How they are kept in sync.
    pub mode: SyncMode,
    /// Its hash.
    pub hash: SchemaHash,
    /// The hashes of all schemas that it can read; absent: its own alone.
    pub supported: Option<Vec<SchemaHash>>,
}

impl Schema {
    /// A schema that reads its own documents alone.
    pub const fn new(replica: ReplicaType, mode: SyncMode, hash: SchemaHash) -> Self {
        Self {
            replica,
            mode,
            hash,
            supported: None,
        }
    }

    /// With the hashes of all schemas that it can read, its own among them.
    pub fn supported(mut self, hashes: impl IntoIterator<Item = SchemaHash>) -> Self {
        self.supported = Some(hashes.into_iter().collect());
        self
    }

    /// A document of this schema, as it is presented.
    fn entry_like(&self, entry: &DocEntry) -> DocEntry {
        DocEntry {
            doc: entry.doc.clone(),
            replica: self.replica.clone(),
            mode: self.mode,
            schema: self.hash.clone(),
            supported: self.supported.clone(),
        }
    }
}

/// Replica types and schemas.
///
/// ```
/// use kyneta_uds_core::{ReplicaType, SchemaHash, SyncMode};
/// use kyneta_uds_sync::{Registry, Schema};
///
/// let plain = ReplicaType::new("plain", 1.0, 0.0)?;
/// let mut registry = Registry::default();
/// registry.replica(plain.clone(), SyncMode::Ephemeral); // such documents can be kept and passed on
/// let hash = SchemaHash::new("02ab")?;
/// registry.schema(Schema::new(plain, SyncMode::Authoritative, hash)); // such documents can be read
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Registry {
    replicas: Vec<(ReplicaType, SyncMode)>,
    schemas: Vec<Schema>,
}

impl Registry {
    /// Adds a replica type, of one mode.
    pub fn replica(&mut self, replica: ReplicaType, mode: SyncMode) {
        let is_known =
            |(known, its): &(ReplicaType, SyncMode)| is_one_type(known, &replica) && *its == mode;
        if !self.replicas.iter().any(is_known) {
            self.replicas.push((replica, mode));
        }
    }

    /// Adds a schema, and its replica type. One of the same hash and kind leaves.
    pub fn schema(&mut self, schema: Schema) {
        self.replica(schema.replica.clone(), schema.mode);
        self.schemas.retain(|known| {
            known.hash != schema.hash
                || known.mode != schema.mode
                || !is_one_type(&known.replica, &schema.replica)
        });
        self.schemas.push(schema);
    }

    /// The schema that a presented document is opened with: one that has or reads its hash; else one that reads
    /// any of the schemas that the presenting side reads.
    pub(crate) fn find(&self, entry: &DocEntry) -> Option<&Schema> {
        let of_its_kind = || {
            let kind = |schema: &&Schema| {
                schema.mode == entry.mode && is_one_type(&schema.replica, &entry.replica)
            };
            self.schemas.iter().filter(kind)
        };
        of_its_kind()
            .find(|schema| schema.hash == entry.schema)
            .or_else(|| {
                of_its_kind()
                    .find(|schema| schema.entry_like(entry).readable().contains(&entry.schema))
            })
            .or_else(|| {
                of_its_kind().find(|schema| shares_schema(&schema.entry_like(entry), entry))
            })
    }

    /// Documents of this replica type and mode can be kept.
    pub(crate) fn replicates(&self, entry: &DocEntry) -> bool {
        let mut replicas = self.replicas.iter();
        replicas.any(|(known, mode)| is_one_type(known, &entry.replica) && *mode == entry.mode)
    }

    /// The replica type is known, in whatever mode.
    pub(crate) fn knows(&self, replica: &ReplicaType) -> bool {
        let mut replicas = self.replicas.iter();
        replicas.any(|(known, _)| is_one_type(known, replica))
    }
}

fn is_one_type(a: &ReplicaType, b: &ReplicaType) -> bool {
    a.name == b.name && a.major == b.major
}

#[cfg(test)]
mod tests {
    use super::*;
    use kyneta_uds_core::DocId;

    fn hash(text: &str) -> SchemaHash {
        SchemaHash::new(text).unwrap()
    }

    fn loro(minor: f64) -> ReplicaType {
        ReplicaType::new("loro", 1.0, minor).unwrap()
    }

    fn presented(schema: &str, supported: &[&str]) -> DocEntry {
        let mut entry = DocEntry::new(DocId::new("d").unwrap(), loro(7.0), hash(schema));
        entry.supported =
            (!supported.is_empty()).then(|| supported.iter().map(|h| hash(h)).collect());
        entry
    }

    #[test]
    fn a_presented_document_finds_the_schema_of_its_kind_that_reads_it() {
        let mut registry = Registry::default();
        let schema = |own: &str| Schema::new(loro(0.0), SyncMode::Collaborative, hash(own));
        registry.schema(schema("new").supported([hash("new"), hash("old")]));
        registry.schema(schema("other"));
        for (entry, found) in [
            (presented("new", &[]), Some("new")),
            (presented("old", &[]), Some("new")),
            // The reference does not look at this list, and opens nothing.
            (presented("newer", &["newer", "other"]), Some("other")),
            (presented("newer", &[]), None),
        ] {
            let schema = registry.find(&entry).map(|schema| schema.hash.as_str());
            assert_eq!(schema, found, "{entry:?}");
        }
        let mut entry = presented("new", &[]);
        entry.mode = SyncMode::Ephemeral;
        assert_eq!(registry.find(&entry), None);
        assert!(!registry.replicates(&entry) && registry.knows(&entry.replica));
        entry.replica = ReplicaType::new("loro", 2.0, 0.0).unwrap();
        assert!(!registry.knows(&entry.replica));
    }
}
