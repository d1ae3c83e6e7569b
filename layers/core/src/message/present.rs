//! `present`: the documents that a peer has.
//!
//! The transport compares and shows these values, and does not interpret them. Pure.

use bytestring::ByteString;

use crate::text::{DocId, ReplicaName, SchemaHash, TextTooLong};

/// One document of a `present`.
#[derive(Debug, Clone, PartialEq)]
pub struct DocEntry {
    /// Which document.
    pub doc: DocId,
    /// The software that replicates it.
    pub replica: ReplicaType,
    /// How it is kept in sync.
    pub mode: SyncMode,
    /// Its schema.
    pub schema: SchemaHash,
    /// Schemas that the sender can read. Written only if there is more than
    /// one. Absent and empty are kept apart.
    pub supported: Option<Vec<SchemaHash>>,
}

impl DocEntry {
    /// A collaborative document.
    pub fn new(doc: DocId, replica: ReplicaType, schema: SchemaHash) -> Self {
        Self {
            doc,
            replica,
            mode: SyncMode::Collaborative,
            schema,
            supported: None,
        }
    }

    /// The schemas that the sender can read. A list says all of them, also an empty one.
    ///
    /// ```
    /// use kyneta_uds_core::{DocEntry, DocId, ReplicaType, SchemaHash};
    ///
    /// let loro = ReplicaType::new("loro", 1.0, 0.0)?;
    /// let mut entry = DocEntry::new(DocId::new("d")?, loro, SchemaHash::new("02ab")?);
    /// assert_eq!(entry.readable(), [SchemaHash::new("02ab")?]);
    /// entry.supported = Some(Vec::new());
    /// assert_eq!(entry.readable(), []);
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    pub fn readable(&self) -> &[SchemaHash] {
        match &self.supported {
            Some(all) => all,
            None => std::slice::from_ref(&self.schema),
        }
    }
}

/// The software that replicates a document: a name and two numbers. The transport does not interpret them.
///
/// ```
/// let loro = kyneta_uds_core::ReplicaType::new("loro", 1.0, 0.0)?;
/// assert_eq!(loro.major, 1.0);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaType {
    /// For example "loro".
    pub name: ReplicaName,
    /// A JavaScript number: any f64 (wire section 5).
    pub major: f64,
    /// A JavaScript number: any f64.
    pub minor: f64,
}

impl ReplicaType {
    /// Checks the name's length.
    ///
    /// # Errors
    /// [`TextTooLong`] when the name has more than [`ReplicaName::MAX`] bytes.
    pub fn new(
        name: impl AsRef<str> + Into<ByteString>,
        major: f64,
        minor: f64,
    ) -> Result<Self, TextTooLong> {
        Ok(Self {
            name: ReplicaName::new(name)?,
            major,
            minor,
        })
    }
}

/// How a document is kept in sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncMode {
    /// Concurrent writers, deltas, persistent.
    Collaborative,
    /// One writer at a time, deltas, persistent.
    Authoritative,
    /// Concurrent writers, snapshots only, transient.
    Ephemeral,
}
