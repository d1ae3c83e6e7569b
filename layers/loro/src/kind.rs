//! Loro documents as a kind of document that an exchange can hold.
//!
//! In: a schema, limits, a random number; edits, as JSON. Out: a replica; whether an edit has changed it. Touches nothing.

use kyneta_uds_exchange::{DocKind, DocLimits, DocReplica, Edit, EditError, Json, Moment};
use kyneta_uds_schema::{Schema, Substrate, SubstrateError};

use crate::replica::{LoroLimits, LoroReplica};

/// Loro documents. Each takes the random number that it is given as its Loro peer id.
///
/// ```
/// use kyneta_uds_exchange::{DocKind, DocLimits, Edit, Moment};
/// use kyneta_uds_loro::LoroKind;
/// use kyneta_uds_schema::Schema;
///
/// let schema = Schema::structure([("notes", Schema::text())])?;
/// let mut replica = LoroKind.open(&schema, DocLimits::default(), 1)?;
/// replica.edit(&[Edit::insert("notes", 0, "hello")], Moment { now_ms: 0, random: 2 })?;
/// assert_eq!(replica.value().to_string(), r#"{"notes":"hello"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoroKind;

impl DocKind for LoroKind {
    fn substrate(&self) -> Substrate {
        Substrate::Loro
    }

    fn open(
        &self,
        schema: &Schema,
        limits: DocLimits,
        random: u64,
    ) -> Result<Box<dyn DocReplica>, SubstrateError> {
        let replica = LoroReplica::open(schema.clone(), random)?;
        Ok(Box::new(replica.limits(loro(limits))))
    }

    fn headless(&self, limits: DocLimits, _: u64) -> Box<dyn DocReplica> {
        Box::new(LoroReplica::headless().limits(loro(limits)))
    }

    fn has_number(&self) -> bool {
        true
    }
}

const fn loro(limits: DocLimits) -> LoroLimits {
    LoroLimits {
        max_bytes: limits.max_bytes,
    }
}

impl DocReplica for LoroReplica {
    fn value(&self) -> Json {
        Json::Object(self.value())
    }

    fn edit(&mut self, edits: &[Edit], _: Moment) -> Result<bool, EditError> {
        self.edit(edits)
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn measure(&mut self) -> usize {
        self.measure()
    }
}
