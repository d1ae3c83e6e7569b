//! The kinds of documents, and which schemas each can hold.
//!
//! In: a kind, a schema. Out: whether it holds it, or the path of the first field that it does not; and what is
//! announced of it. Pure.

use kyneta_uds_core::{ReplicaType, SyncMode, TextTooLong};

use crate::schema::{Kind, Schema};

/// What holds a document: a CRDT library, or plain JSON with a rule for its versions.
///
/// ```
/// use kyneta_uds_schema::{Schema, Substrate};
///
/// let schema = Schema::structure([("hits", Schema::counter())])?;
/// assert!(Substrate::Loro.check(&schema).is_ok());
/// let error = Substrate::Yjs.check(&schema).unwrap_err();
/// assert_eq!(error.to_string(), "a yjs document cannot have a counter, as hits is");
/// # Ok::<(), kyneta_uds_schema::SchemaError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Substrate {
    /// The CRDT library Loro.
    Loro,
    /// The CRDT library Yjs, or its counterpart yrs.
    Yjs,
    /// Plain JSON, one writer at a time.
    Plain,
    /// Plain JSON, of which the newest replaces all others.
    Ephemeral,
    /// Plain JSON, of which the newest value of each field replaces the others. Release 2.x alone.
    State,
}

impl Substrate {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Loro,
        Self::Yjs,
        Self::Plain,
        Self::Ephemeral,
        Self::State,
    ];

    /// The name in the command and in error texts: that of the reference's binding.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loro => "loro",
            Self::Yjs => "yjs",
            Self::Plain => "json",
            Self::Ephemeral => "ephemeral",
            Self::State => "state",
        }
    }

    /// What a peer announces as the software of the document.
    ///
    /// # Errors
    /// None in practice: the names are short.
    pub fn replica_type(self) -> Result<ReplicaType, TextTooLong> {
        let name = match self {
            Self::Loro => "loro",
            Self::Yjs => "yjs",
            Self::Plain | Self::Ephemeral => "plain",
            Self::State => "state",
        };
        ReplicaType::new(name, 1.0, 0.0)
    }

    /// What a peer announces as the way in which the document is kept in sync.
    pub const fn mode(self) -> SyncMode {
        match self {
            Self::Loro | Self::Yjs => SyncMode::Collaborative,
            Self::Plain => SyncMode::Authoritative,
            Self::Ephemeral | Self::State => SyncMode::Ephemeral,
        }
    }

    /// Whether it can hold a document of this schema.
    ///
    /// # Errors
    /// [`SubstrateError`], with the first field that it cannot hold.
    pub fn check(self, schema: &Schema) -> Result<(), SubstrateError> {
        let substrate = self.name();
        if !matches!(schema.kind(), Kind::Struct(_)) {
            let kind = schema.kind().name();
            return Err(SubstrateError::NoStruct { substrate, kind });
        }
        match self.refused(schema, "") {
            Some((path, kind)) => Err(SubstrateError::Kind {
                substrate,
                kind,
                path,
            }),
            None => Ok(()),
        }
    }

    /// The first field of a kind that it cannot hold. Only fields that are reached through structs are containers
    /// of their own; what is in lists and the like is a plain value.
    fn refused(self, schema: &Schema, path: &str) -> Option<(String, &'static str)> {
        let kind = schema.kind();
        let refused = match kind {
            Kind::Counter | Kind::Movable(_) | Kind::Set(_) | Kind::Tree(_) => self == Self::Yjs,
            Kind::Decay { .. } => self != Self::State,
            _ => false,
        };
        match kind {
            _ if refused => Some((path.to_owned(), kind.name())),
            Kind::Struct(structure) => structure.fields().find_map(|(name, field)| {
                let path = match path {
                    "" => name.to_owned(),
                    _ => format!("{path}.{name}"),
                };
                self.refused(field, &path)
            }),
            _ => None,
        }
    }
}

/// A kind of document cannot hold a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubstrateError {
    /// A document is a struct.
    #[error("a {substrate} document must be a struct, not a {kind}")]
    NoStruct {
        /// The kind of document.
        substrate: &'static str,
        /// What it is.
        kind: &'static str,
    },
    /// It cannot hold a field of this kind.
    #[error("a {substrate} document cannot have a {kind}, as {path} is")]
    Kind {
        /// The kind of document.
        substrate: &'static str,
        /// The kind of the field.
        kind: &'static str,
        /// The path of the field.
        path: String,
    },
}
