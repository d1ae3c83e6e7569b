//! Yjs documents as a kind of document that an exchange can hold.

use kyneta_uds_exchange::{DocKind, DocLimits, DocReplica, Edit, EditError, Json, Moment};
use kyneta_uds_schema::{Schema, Substrate, SubstrateError};

use crate::replica::{YjsLimits, YjsReplica};

/// Yjs documents. Each takes the random number that it is given as its client id, cut to 32 bits.
///
/// ```
/// use kyneta_uds_exchange::{DocKind, DocLimits, Edit, Moment};
/// use kyneta_uds_yjs::YjsKind;
/// use kyneta_uds_schema::Schema;
///
/// let schema = Schema::structure([("notes", Schema::text())])?;
/// let mut replica = YjsKind.open(&schema, DocLimits::default(), 1)?;
/// replica.edit(&[Edit::insert("notes", 0, "hello")], Moment { now_ms: 0, random: 2 })?;
/// assert_eq!(replica.value().to_string(), r#"{"notes":"hello"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YjsKind;

impl DocKind for YjsKind {
    fn substrate(&self) -> Substrate {
        Substrate::Yjs
    }

    fn open(
        &self,
        schema: &Schema,
        limits: DocLimits,
        random: u64,
    ) -> Result<Box<dyn DocReplica>, SubstrateError> {
        let replica = YjsReplica::open(schema.clone(), random as u32)?;
        Ok(Box::new(replica.limits(yjs(limits))))
    }

    fn headless(&self, limits: DocLimits, _: u64) -> Box<dyn DocReplica> {
        Box::new(YjsReplica::headless().limits(yjs(limits)))
    }

    fn has_number(&self) -> bool {
        true
    }
}

const fn yjs(limits: DocLimits) -> YjsLimits {
    YjsLimits {
        max_bytes: limits.max_bytes,
    }
}

impl DocReplica for YjsReplica {
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
