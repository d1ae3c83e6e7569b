//! The kinds of documents that a program can hold: how a replica of each is made.
//!
//! In: a schema, or none. Out: a replica that can be read and edited. Time and randomness are handed in.

use std::fmt;

use kyneta_uds_core::Lineage;
use kyneta_uds_schema::{Schema, Substrate, SubstrateError};

use crate::{
    ephemeral::EphemeralReplica,
    json::Json,
    plain::{Edit, EditError, PlainLimits, PlainReplica},
    replica::Replica,
};

/// A replica that can be read, and edited if it has a schema.
pub trait DocReplica: Replica {
    /// What the document holds.
    fn value(&self) -> Json;

    /// Makes edits as one batch. `false` when there was nothing to do.
    ///
    /// # Errors
    /// [`EditError`]. Then none of the edits is made.
    fn edit(&mut self, edits: &[Edit], moment: Moment) -> Result<bool, EditError>;

    /// What it holds, in bytes, as its kind counts them: at least so many, counted up with each change.
    fn bytes(&self) -> usize;

    /// Counts the bytes anew, which takes a look at all of it.
    fn measure(&mut self) -> usize;

    /// How many of the bytes are of a history that it can do without. 0 by default.
    fn history_bytes(&self) -> usize {
        0
    }

    /// Gives up that history. A peer that lacks some of it is then sent the whole document. Nothing by default.
    fn forget_history(&mut self) {}
}

/// What an edit needs from outside: when it is made, and a random number.
///
/// ```
/// use kyneta_uds_exchange::Moment;
///
/// let moment = Moment { now_ms: 1_750_000_000_000, random: 0x11 };
/// assert_eq!(moment.lineage().unwrap().as_str(), "0000000000000011");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// A random number, another one each time.
    pub random: u64,
}

impl Moment {
    /// A lineage for a document that is edited for the first time. Always there: 16 digits are not too long.
    pub fn lineage(self) -> Option<Lineage> {
        Lineage::new(format!("{:016x}", self.random)).ok()
    }
}

/// How much a replica may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DocLimits {
    /// The most bytes of a document, as its kind counts them. 16 MiB by default; an ephemeral one has at most 1 MiB.
    pub max_bytes: usize,
}

impl Default for DocLimits {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
        }
    }
}

/// Makes replicas of one kind of document. A CRDT library's is in a crate of its own.
///
/// ```
/// use kyneta_uds_exchange::{DocKind, DocLimits, Edit, JsonKind, Moment};
/// use kyneta_uds_schema::Schema;
///
/// let schema = Schema::structure([("mode", Schema::string())])?;
/// let mut replica = JsonKind.open(&schema, DocLimits::default(), 1)?;
/// replica.edit(&[Edit::set("mode", "auto")], Moment { now_ms: 0, random: 2 })?;
/// assert_eq!(replica.value().to_string(), r#"{"mode":"auto"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait DocKind: fmt::Debug + Send + Sync + 'static {
    /// Which kind.
    fn substrate(&self) -> Substrate;

    /// A new document of a schema, which holds the zeros of its fields. `random` is a random number, for a replica
    /// that needs a number of its own.
    ///
    /// # Errors
    /// [`SubstrateError`] when this kind of document cannot have the schema.
    fn open(
        &self,
        schema: &Schema,
        limits: DocLimits,
        random: u64,
    ) -> Result<Box<dyn DocReplica>, SubstrateError>;

    /// A new document without a schema, which holds what peers send and forwards it.
    fn headless(&self, limits: DocLimits, random: u64) -> Box<dyn DocReplica>;

    /// Whether a replica with a schema writes under the number that it was given, so that a store keeps the number for
    /// the next process. `false` by default.
    fn has_number(&self) -> bool {
        false
    }
}

/// Plain JSON documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonKind;

/// Ephemeral documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EphemeralKind;

/// The longest JSON of an ephemeral document, which is sent whole each time, bytes.
const MAX_EPHEMERAL: usize = 1 << 20;

impl DocKind for JsonKind {
    fn substrate(&self) -> Substrate {
        Substrate::Plain
    }

    fn open(
        &self,
        schema: &Schema,
        limits: DocLimits,
        _: u64,
    ) -> Result<Box<dyn DocReplica>, SubstrateError> {
        let replica = PlainReplica::open(schema.clone())?;
        Ok(Box::new(replica.limits(plain(limits))))
    }

    fn headless(&self, limits: DocLimits, _: u64) -> Box<dyn DocReplica> {
        Box::new(PlainReplica::headless().limits(plain(limits)))
    }
}

fn plain(limits: DocLimits) -> PlainLimits {
    PlainLimits {
        max_bytes: limits.max_bytes,
        ..PlainLimits::default()
    }
}

impl DocKind for EphemeralKind {
    fn substrate(&self) -> Substrate {
        Substrate::Ephemeral
    }

    fn open(
        &self,
        schema: &Schema,
        limits: DocLimits,
        _: u64,
    ) -> Result<Box<dyn DocReplica>, SubstrateError> {
        let max = limits.max_bytes.min(MAX_EPHEMERAL);
        let replica = EphemeralReplica::open(schema.clone())?;
        Ok(Box::new(replica.max_bytes(max)))
    }

    fn headless(&self, limits: DocLimits, _: u64) -> Box<dyn DocReplica> {
        let max = limits.max_bytes.min(MAX_EPHEMERAL);
        Box::new(EphemeralReplica::headless().max_bytes(max))
    }
}

impl DocReplica for PlainReplica {
    fn value(&self) -> Json {
        Json::Object(self.value().clone())
    }

    fn edit(&mut self, edits: &[Edit], moment: Moment) -> Result<bool, EditError> {
        match moment.lineage() {
            Some(lineage) => self.edit(edits, || lineage),
            None => Ok(false),
        }
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn measure(&mut self) -> usize {
        self.measure()
    }

    fn history_bytes(&self) -> usize {
        self.log_bytes()
    }

    fn forget_history(&mut self) {
        self.compact();
    }
}

impl DocReplica for EphemeralReplica {
    fn value(&self) -> Json {
        Json::Object(self.value().clone())
    }

    fn edit(&mut self, edits: &[Edit], moment: Moment) -> Result<bool, EditError> {
        self.edit(edits, moment.now_ms)
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn measure(&mut self) -> usize {
        self.bytes()
    }
}
