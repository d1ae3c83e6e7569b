//! How the documents of a line are named, and what their schemas are.
//!
//! In: a topic, peers, the schema of messages. Out: ids, schemas, edits. Touches nothing.

use std::fmt;

use kyneta_uds_core::{DocId, PeerId, TextTooLong};
use kyneta_uds_schema::{Schema, SchemaError};

use crate::{
    json::{Json, Object},
    plain::Edit,
};

/// What lines between the same peers are told apart by: not empty, and without `:`.
///
/// ```
/// use kyneta_uds_core::PeerId;
/// use kyneta_uds_exchange::line::LineTopic;
///
/// let jobs = LineTopic::new("jobs")?;
/// let (ann, bob) = (PeerId::new("ann")?, PeerId::new("bob")?);
/// let outbox = jobs.doc(&ann, &bob)?; // what ann writes and bob reads
/// assert_eq!(outbox.as_str(), "line:jobs:ann→bob");
/// assert_eq!(jobs.sender(&outbox, &bob), Some(ann));
/// assert!(LineTopic::new("a:b").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LineTopic(String);

/// A text that is no topic of a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no topic of a line: it must not be empty, and must not contain a colon")]
pub struct LineTopicError(String);

impl LineTopic {
    /// The topic of this name.
    ///
    /// # Errors
    /// [`LineTopicError`].
    pub fn new(name: impl Into<String>) -> Result<Self, LineTopicError> {
        let name = name.into();
        match name.is_empty() || name.contains(':') {
            true => Err(LineTopicError(name)),
            false => Ok(Self(name)),
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The document with the messages from one peer to another.
    ///
    /// # Errors
    /// [`TextTooLong`] when topic and ids together are longer than the id of a document may be.
    pub fn doc(&self, from: &PeerId, to: &PeerId) -> Result<DocId, TextTooLong> {
        DocId::new(format!("line:{}:{}→{}", self.0, from.as_str(), to.as_str()))
    }

    /// The peer whose messages to `to` a document has; `None` when it has none of this topic.
    pub fn sender(&self, doc: &DocId, to: &PeerId) -> Option<PeerId> {
        let rest = doc.as_str().strip_prefix("line:")?;
        let rest = rest.strip_prefix(self.as_str())?.strip_prefix(':')?;
        let from = rest.strip_suffix(to.as_str())?.strip_suffix('→')?;
        PeerId::new(from).ok()
    }
}

impl fmt::Display for LineTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The form of a line's documents, which the releases of the TypeScript package write differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LineForm {
    /// Release 1.8: an acknowledgement is a number. When a sender without a store restarts, its first messages have
    /// numbers that count as processed.
    Release1,
    /// Release 2.x: an acknowledgement says of which history of the other document it is, so a restart loses nothing.
    #[default]
    Release2,
}

/// What a peer has processed: up to which number, in which history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) seq: u64,
    /// Empty in release 1.8.
    pub(super) lineage: String,
}

impl LineForm {
    /// The schema of a document with messages of this schema.
    ///
    /// # Errors
    /// [`SchemaError`].
    ///
    /// ```
    /// use kyneta_uds_core::WireVersion;
    /// use kyneta_uds_exchange::line::LineForm;
    /// use kyneta_uds_schema::Schema;
    ///
    /// let schema = LineForm::Release2.schema(Schema::structure([("text", Schema::string())])?)?;
    /// let hash = schema.hash(WireVersion::V3).unwrap();
    /// assert_eq!(hash.as_str(), "028d6dd19d1f52af2218368a4f5f01926c");
    /// # Ok::<(), kyneta_uds_schema::SchemaError>(())
    /// ```
    pub fn schema(self, message: Schema) -> Result<Schema, SchemaError> {
        let message = Schema::structure([("seq", Schema::number()), ("payload", message)])?;
        let messages = Schema::list(message);
        let (number, text) = (Schema::number, Schema::string);
        match self {
            Self::Release1 => Schema::structure([
                ("messages", messages),
                ("ack", number()),
                ("nextSeq", number()),
            ]),
            Self::Release2 => Schema::structure([
                ("messages", messages),
                ("ackSeq", number()),
                ("ackLineage", text()),
                ("nextSeq", number()),
            ]),
        }
    }

    /// What a document says that its writer has processed.
    pub(super) fn acknowledged(self, doc: &Json) -> Acknowledged {
        let (seq, lineage) = match self {
            Self::Release1 => ("ack", None),
            Self::Release2 => ("ackSeq", doc.get("ackLineage")),
        };
        Acknowledged {
            seq: doc.get(seq).and_then(number).unwrap_or(0),
            lineage: match lineage {
                Some(Json::String(lineage)) => lineage.clone(),
                _ => String::new(),
            },
        }
    }

    pub(super) fn acknowledge(self, acknowledged: &Acknowledged) -> Vec<Edit> {
        let seq = acknowledged.seq as f64;
        match self {
            Self::Release1 => vec![Edit::set("ack", seq)],
            Self::Release2 => vec![
                Edit::set("ackSeq", seq),
                Edit::set("ackLineage", acknowledged.lineage.as_str()),
            ],
        }
    }

    pub(super) fn send(self, seq: u64, payload: Json) -> Vec<Edit> {
        let message = Object::from_iter([
            ("seq".to_owned(), Json::Number(seq as f64)),
            ("payload".to_owned(), payload),
        ]);
        let next = seq.saturating_add(1) as f64;
        vec![
            Edit::push("messages", Json::Object(message)),
            Edit::set("nextSeq", next),
        ]
    }
}

/// The largest number that JavaScript counts exactly.
const MAX_SEQ: f64 = 9_007_199_254_740_991.0;

/// A number that counts something: an integer, 0 or more.
pub(super) fn number(value: &Json) -> Option<u64> {
    match value {
        Json::Number(number) if (0.0..=MAX_SEQ).contains(number) && number.fract() == 0.0 => {
            Some(*number as u64)
        }
        _ => None,
    }
}
