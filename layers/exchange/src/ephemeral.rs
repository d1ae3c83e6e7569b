//! Ephemeral documents: presence and the like, of which the newest replaces all others.
//!
//! In: edits with the time, and offers of peers. Out: its value, its version, all of it as a payload.

use kyneta_uds_core::{ByteString, Data, Encoding, Offer, PayloadKind, WireVersion};
use kyneta_uds_schema::{
    DocVersion, Kind, Schema, Substrate, SubstrateError, TimestampVersion, VersionOrder,
};

use crate::{
    json::{Object, write::push_object},
    plain::{Edit, EditError, Editor, entirety_object, zero_object},
    replica::{ImportError, Imported, Payload, Replica, Take, json_text},
};

/// The longest JSON of a document, bytes, unless another limit is set.
const MAX_BYTES: usize = 1 << 20;

/// An ephemeral document, with a schema or without.
///
/// Unlike the reference, it keeps the version of what it took, so that a message that comes back in a circle of
/// peers is not newer than what is here, and ends.
///
/// ```
/// use kyneta_uds_core::WireVersion;
/// use kyneta_uds_exchange::{Edit, EphemeralReplica, Replica};
/// use kyneta_uds_schema::Schema;
///
/// let mut presence = EphemeralReplica::open(Schema::structure([("name", Schema::string())])?)?;
/// presence.edit(&[Edit::set("name", "ann")], 1_750_000_000_000)?;
/// assert_eq!(presence.version(WireVersion::V3).to_string(), "1750000000000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EphemeralReplica {
    schema: Option<Schema>,
    value: Object,
    version: TimestampVersion,
    max_bytes: usize,
    /// Of its JSON.
    bytes: usize,
}

impl EphemeralReplica {
    /// A new document of a schema, which holds the zeros of its fields.
    ///
    /// # Errors
    /// [`SubstrateError`] when an ephemeral document cannot have this schema.
    pub fn open(schema: Schema) -> Result<Self, SubstrateError> {
        Substrate::Ephemeral.check(&schema)?;
        let mut replica = Self::headless();
        if let Kind::Struct(structure) = schema.kind() {
            replica.value = zero_object(structure);
            replica.bytes = json(&replica.value).len();
        }
        replica.schema = Some(schema);
        Ok(replica)
    }

    /// A new document without a schema, which holds what peers send and forwards it.
    pub fn headless() -> Self {
        Self {
            schema: None,
            value: Object::new(),
            version: TimestampVersion::new(0),
            max_bytes: MAX_BYTES,
            bytes: 2,
        }
    }

    /// The longest JSON of the document, bytes. 1 MiB by default.
    pub const fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// What the document holds.
    pub const fn value(&self) -> &Object {
        &self.value
    }

    /// The bytes of its JSON.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes edits at a time, milliseconds since 1970. The version is that time, or one millisecond after the one
    /// before if that is later. `false` when there is nothing to do.
    ///
    /// # Errors
    /// [`EditError`]. Then none of the edits is made.
    pub fn edit(&mut self, edits: &[Edit], now_ms: u64) -> Result<bool, EditError> {
        let Some(schema) = &self.schema else {
            return Err(EditError::NoSchema);
        };
        if edits.is_empty() {
            return Ok(false);
        }
        let mut value = self.value.clone();
        Editor::make(schema, &mut value, edits)?;
        let (bytes, limit) = (json(&value).len(), self.max_bytes);
        if bytes > limit {
            return Err(EditError::TooLarge { bytes, limit });
        }
        (self.value, self.bytes) = (value, bytes);
        self.version = TimestampVersion::new(now_ms.max(self.version.ms().saturating_add(1)));
        Ok(true)
    }
}

fn json(value: &Object) -> String {
    let mut out = String::new();
    push_object(value, &mut out);
    out
}

impl Replica for EphemeralReplica {
    fn substrate(&self) -> Substrate {
        Substrate::Ephemeral
    }

    fn version(&self, _: WireVersion) -> DocVersion {
        DocVersion::Ephemeral(self.version)
    }

    /// Always all of it.
    fn export(&self, _: Option<&DocVersion>, wire: WireVersion) -> Option<Payload> {
        Some(Payload {
            kind: PayloadKind::Entirety,
            encoding: Encoding::Json,
            data: Data::Text(ByteString::from(json(&self.value))),
            version: self.version(wire),
            lineage: None,
        })
    }

    /// What is not newer than what is here changes nothing.
    fn import(
        &mut self,
        offer: &Offer,
        wire: WireVersion,
        how: Take,
    ) -> Result<Imported, ImportError> {
        let text = json_text(offer, Substrate::Ephemeral)?;
        if offer.kind != PayloadKind::Entirety {
            return Err(ImportError::NotEntirety);
        }
        let theirs = DocVersion::parse(Substrate::Ephemeral, wire, &offer.version)?;
        let (object, refused) = entirety_object(text)?;
        let DocVersion::Ephemeral(version) = theirs else {
            return Ok(Imported::All { refused });
        };
        if version.compare(&self.version) != VersionOrder::Ahead {
            return Ok(Imported::All { refused });
        }
        let mut value = match (how, &self.schema) {
            (Take::Replace, None) => Object::new(),
            _ => self.value.clone(),
        };
        value.extend(object);
        let (bytes, limit) = (json(&value).len(), self.max_bytes);
        if bytes > limit {
            return Err(ImportError::TooLarge { bytes, limit });
        }
        (self.value, self.bytes) = (value, bytes);
        self.version = version;
        Ok(Imported::All { refused })
    }
}
