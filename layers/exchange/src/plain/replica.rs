//! The replica of a plain JSON document.
//!
//! In: edits, and offers of peers. Out: its value, its version, payloads. A random lineage is handed in.

use kyneta_uds_core::{ByteString, Data, Encoding, Lineage, Offer, PayloadKind, WireVersion};
use kyneta_uds_schema::{
    DocVersion, Kind, PlainVersion, Schema, Substrate, SubstrateError, VersionOrder,
};

use super::{
    apply::{MAX_FILL, apply},
    change::{Batch, Change, Op, Segment, batches, entirety_object, push_batch},
    edit::{Edit, EditError, Editor},
    log::Log,
    zero::zero_object,
};
use crate::{
    json::{Object, write::push_object},
    replica::{ImportError, Imported, Payload, Replica, Take, json_text},
};

/// The lineage of a document that began with a peer of release 1.8, which has none: the same one for all that take
/// it from there.
const OF_RELEASE_1: &str = "release-1.8";

/// How much a plain JSON document may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlainLimits {
    /// The longest JSON of the document, bytes. 16 MiB by default.
    pub max_bytes: usize,
    /// How much of its history is kept, bytes. 1 MiB by default. A peer that lacks more is sent the whole document.
    pub max_log_bytes: usize,
}

impl Default for PlainLimits {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
            max_log_bytes: 1 << 20,
        }
    }
}

/// A plain JSON document, with a schema or without.
#[derive(Debug)]
pub struct PlainReplica {
    schema: Option<Schema>,
    value: Object,
    version: PlainVersion,
    log: Log,
    limits: PlainLimits,
    /// At least the bytes of the value's JSON.
    bytes: usize,
}

impl PlainReplica {
    /// A new document of a schema, which holds the zeros of its fields.
    ///
    /// # Errors
    /// [`SubstrateError`] when a plain JSON document cannot have this schema.
    pub fn open(schema: Schema) -> Result<Self, SubstrateError> {
        Substrate::Plain.check(&schema)?;
        let value = match schema.kind() {
            Kind::Struct(structure) => zero_object(structure),
            _ => Object::new(),
        };
        let mut replica = Self::headless();
        replica.schema = Some(schema);
        replica.value = value;
        replica.bytes = replica.json().len();
        Ok(replica)
    }

    /// A new document without a schema, which holds what peers send and forwards it.
    pub fn headless() -> Self {
        let limits = PlainLimits::default();
        Self {
            schema: None,
            value: Object::new(),
            version: PlainVersion::genesis(),
            log: Log::new(limits.max_log_bytes),
            limits,
            bytes: 2,
        }
    }

    /// Sets how much it may hold. Belongs right after its creation.
    pub fn limits(mut self, limits: PlainLimits) -> Self {
        self.log = Log::new(limits.max_log_bytes);
        self.limits = limits;
        self
    }

    /// What the document holds.
    pub const fn value(&self) -> &Object {
        &self.value
    }

    /// At least the bytes of its JSON, and those of the history that is kept.
    pub const fn bytes(&self) -> usize {
        self.bytes.saturating_add(self.log.bytes())
    }

    /// The bytes of its JSON, counted anew, and those of the history that is kept.
    pub fn measure(&mut self) -> usize {
        self.bytes = self.json().len();
        self.bytes()
    }

    /// Makes edits as one batch; `fresh` gives a random lineage when it is the first of a document. `false` when
    /// there is nothing to do.
    ///
    /// # Errors
    /// [`EditError`]. Then none of the edits is made.
    pub fn edit(
        &mut self,
        edits: &[Edit],
        fresh: impl FnOnce() -> Lineage,
    ) -> Result<bool, EditError> {
        let Some(schema) = &self.schema else {
            return Err(EditError::NoSchema);
        };
        if edits.is_empty() {
            return Ok(false);
        }
        let limit = self.limits.max_bytes;
        // Near the limit the document is copied, to be measured.
        let grows: usize = edits.iter().map(Edit::bytes).sum();
        let near = self.bytes.saturating_add(grows) > limit;
        let before = near.then(|| self.value.clone());
        let batch = Editor::make(schema, &mut self.value, edits)?;
        let mut text = String::new();
        push_batch(&batch, &mut text);
        self.bytes = self.bytes.saturating_add(grows);
        if let Some(before) = before {
            let bytes = self.json().len();
            if bytes > limit {
                self.value = before;
                self.bytes -= grows;
                return Err(EditError::TooLarge { bytes, limit });
            }
            self.bytes = bytes;
        }
        if !self.version.is_of_a_lineage() {
            self.version = self.version.of_lineage(fresh());
        }
        self.count(text);
        Ok(true)
    }

    /// Drops the history. A peer that lacks something is then sent the whole document.
    pub fn compact(&mut self) {
        self.log.clear();
    }

    /// Bytes of history that are kept.
    pub const fn log_bytes(&self) -> usize {
        self.log.bytes()
    }

    fn count(&mut self, batch: String) {
        self.version = self.version.next();
        self.log.push(batch);
    }

    fn json(&self) -> String {
        let mut out = String::new();
        push_object(&self.value, &mut out);
        out
    }

    /// Batches that release 1.8 counts and 2.x does not: the zeros of a document that was opened with fields.
    fn zeros(&self, wire: WireVersion) -> u64 {
        match (&self.schema, wire) {
            (Some(schema), WireVersion::V2) => match schema.kind() {
                Kind::Struct(structure) => u64::from(structure.fields().len() > 0),
                _ => 0,
            },
            _ => 0,
        }
    }

    fn version_for(&self, wire: WireVersion) -> PlainVersion {
        match wire {
            WireVersion::V3 => self.version.clone(),
            WireVersion::V2 => PlainVersion::new(None, self.version.count() + self.zeros(wire)),
        }
    }

    /// The batch that made the zeros.
    fn zero_batch(&self) -> Batch {
        let fields = match self.schema.as_ref().map(Schema::kind) {
            Some(Kind::Struct(structure)) => zero_object(structure),
            _ => Object::new(),
        };
        let op = |(name, value)| Op {
            path: vec![Segment::Field(name)],
            change: Change::Replace(Some(value)),
        };
        fields.into_iter().map(op).collect()
    }

    /// The batches after a count that a peer of this wire version has; `None` when they are not kept.
    fn since(&self, count: u64, wire: WireVersion) -> Option<String> {
        let zeros = self.zeros(wire);
        let lacks = self
            .version
            .count()
            .checked_sub(count.saturating_sub(zeros))?;
        if lacks > self.log.len() {
            return None;
        }
        let mut out = "[".to_owned();
        if count < zeros {
            push_batch(&self.zero_batch(), &mut out);
            if lacks > 0 {
                out.push(',');
            }
        }
        self.log.push_last(lacks, &mut out);
        out.push(']');
        Some(out)
    }

    /// Takes all of another replica, which is at `version`.
    fn take_entirety(
        &mut self,
        text: &str,
        version: PlainVersion,
        how: Take,
    ) -> Result<Imported, ImportError> {
        let (object, refused) = entirety_object(text)?;
        let limit = self.limits.max_bytes;
        let mut value = match (how, &self.schema) {
            (Take::Replace, None) => Object::new(),
            _ => self.value.clone(),
        };
        value.extend(object);
        let mut json = String::new();
        push_object(&value, &mut json);
        let bytes = json.len();
        if bytes > limit {
            return Err(ImportError::TooLarge { bytes, limit });
        }
        self.value = value;
        self.bytes = bytes;
        // What the batches were is not known, so peers that lack some are sent all.
        self.version = version;
        self.log.clear();
        Ok(Imported::All { refused })
    }

    fn take_batches(&mut self, batches: &[Batch], refused: usize) -> Result<Imported, ImportError> {
        let limit = self.limits.max_bytes;
        let mut texts = Vec::new();
        let (mut refused, mut grows) = (refused, 0usize);
        for batch in batches {
            let mut text = String::new();
            push_batch(batch, &mut text);
            // A string may become a list of its characters, and a list may be filled with null.
            let steps: usize = batch.iter().map(|op| op.path.len()).sum();
            let growth = text.len().saturating_mul(5);
            grows = grows
                .saturating_add(growth)
                .saturating_add(steps * MAX_FILL * 5);
            texts.push(text);
        }
        if self.bytes.saturating_add(grows) > limit {
            self.bytes = self.json().len();
        }
        // Near the limit a copy is changed, and measured.
        let near = self.bytes.saturating_add(grows) > limit;
        let before = near.then(|| self.value.clone());
        for (batch, text) in batches.iter().zip(&mut texts) {
            let mut left_out = Vec::new();
            for (at, op) in batch.iter().enumerate() {
                if !apply(&mut self.value, op) {
                    left_out.push(at);
                }
            }
            if !left_out.is_empty() {
                refused += left_out.len();
                let mut left_out = left_out.into_iter().peekable();
                let kept = batch.iter().enumerate().map(|(at, op)| {
                    let is_left_out = left_out.next_if_eq(&at).is_some();
                    if is_left_out { Op::NOTHING } else { op.clone() }
                });
                text.clear();
                push_batch(&kept.collect(), text);
            }
        }
        self.bytes = self.bytes.saturating_add(grows);
        if let Some(before) = before {
            let bytes = self.json().len();
            if bytes > limit {
                self.value = before;
                self.bytes = self.json().len();
                return Err(ImportError::TooLarge { bytes, limit });
            }
            self.bytes = bytes;
        }
        for text in texts {
            self.count(text);
        }
        Ok(Imported::All { refused })
    }
}

impl Replica for PlainReplica {
    fn substrate(&self) -> Substrate {
        Substrate::Plain
    }

    fn version(&self, wire: WireVersion) -> DocVersion {
        DocVersion::Plain(self.version_for(wire))
    }

    fn export(&self, since: Option<&DocVersion>, wire: WireVersion) -> Option<Payload> {
        let own = self.version_for(wire);
        let newer = match since {
            Some(DocVersion::Plain(since))
                if matches!(
                    own.compare(since),
                    VersionOrder::Equal | VersionOrder::Behind
                ) =>
            {
                return None;
            }
            Some(DocVersion::Plain(since)) if since.lineage() == own.lineage() => {
                self.since(since.count(), wire)
            }
            // A document that was not edited yet lacks all batches.
            Some(DocVersion::Plain(since)) if !since.is_of_a_lineage() => self.since(0, wire),
            _ => None,
        };
        let (kind, text) = match newer {
            Some(text) => (PayloadKind::Since, text),
            None => (PayloadKind::Entirety, self.json()),
        };
        Some(Payload {
            kind,
            encoding: Encoding::Json,
            data: Data::Text(ByteString::from(text)),
            lineage: own.lineage().cloned(),
            version: DocVersion::Plain(own),
        })
    }

    /// What is older than the offer's version is not checked: the machine that hands it in has compared them. A
    /// peer may send batches that are here already; they are not made again.
    fn import(
        &mut self,
        offer: &Offer,
        wire: WireVersion,
        how: Take,
    ) -> Result<Imported, ImportError> {
        let text = json_text(offer, Substrate::Plain)?;
        let DocVersion::Plain(theirs) = DocVersion::parse(Substrate::Plain, wire, &offer.version)?
        else {
            return Ok(Imported::Gap);
        };
        let zeros = self.zeros(wire);
        // In our own count, and in a lineage.
        let lineage = match theirs.lineage() {
            Some(lineage) => Some(lineage.clone()),
            None if self.version.is_of_a_lineage() => self.version.lineage().cloned(),
            // Never too long.
            None => Lineage::new(OF_RELEASE_1).ok(),
        };
        let version = PlainVersion::new(lineage, theirs.count().saturating_sub(zeros));
        if offer.kind == PayloadKind::Entirety {
            return self.take_entirety(text, version, how);
        }
        let (batches, refused) = batches(text)?;
        let own_lineage = self.version.lineage() == version.lineage();
        if self.version.is_of_a_lineage() && !own_lineage {
            return Ok(Imported::Gap);
        }
        let base = theirs.count().saturating_sub(batches.len() as u64);
        let own = self.version_for(wire).count();
        if base > own {
            return Ok(Imported::Gap);
        }
        let known = usize::try_from(own - base).unwrap_or(usize::MAX);
        let new = batches.get(known..).unwrap_or_default();
        let imported = self.take_batches(new, refused)?;
        if let (false, Some(lineage)) = (new.is_empty() || own_lineage, version.lineage()) {
            self.version = self.version.of_lineage(lineage.clone());
        }
        Ok(imported)
    }
}
