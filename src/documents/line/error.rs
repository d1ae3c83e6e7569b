//! What goes wrong with lines.
//!
//! In: what an outbox, an inbox or an exchange has met. Out: an error for each of opening, sending and receiving,
//! with the documents of the line. Touches nothing.

use kyneta_uds_core::{DocId, PeerId, TextTooLong};
use kyneta_uds_exchange::{
    line::LineTopic,
    typed::{ReadError, WriteError},
};
use kyneta_uds_schema::SchemaError;

use crate::documents::{document::DocumentError, table::OpenError};

/// Why a line cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenLineError {
    /// It is open in this process.
    #[error("the line {topic} to {peer} is open already: drop it, or use another topic")]
    Open {
        /// Its topic.
        topic: LineTopic,
        /// To which peer.
        peer: PeerId,
    },
    /// Topic and ids are too long for the id of a document.
    #[error("the line has no document")]
    TooLong(#[from] TextTooLong),
    /// A type of its messages has no schema.
    #[error("the messages of the line have no schema")]
    Schema(#[from] SchemaError),
    /// A document of the line cannot be opened.
    #[error(transparent)]
    Document(#[from] OpenError),
}

/// Why a message was not sent. It is not in the line then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The message cannot be written.
    #[error("a message of {line} cannot be sent")]
    Write {
        /// The document of the messages.
        line: DocId,
        /// Why.
        source: WriteError,
    },
    /// The document does not take it: it is too large, or the document is gone.
    #[error("a message of {line} cannot be sent")]
    Document {
        /// The document of the messages.
        line: DocId,
        /// Why.
        source: DocumentError,
    },
    /// The line was closed, or the exchange has ended.
    #[error("{line} is no line of an exchange any more")]
    Gone {
        /// The document of the messages.
        line: DocId,
    },
}

/// What came in place of a message. The line goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The message cannot be read as the type.
    #[error("message {seq} of {line} cannot be read")]
    Read {
        /// The document of the messages.
        line: DocId,
        /// Its number.
        seq: u64,
        /// Why.
        source: ReadError,
    },
    /// Messages did not come: the other peer has removed them.
    #[error("{count} messages of {line} before message {} did not come", .seq + 1)]
    Missed {
        /// The document of the messages.
        line: DocId,
        /// The number of the last one.
        seq: u64,
        /// How many.
        count: u64,
    },
    /// An entry of the document is no message: it has no number.
    #[error("an entry of {line} is no message: {entry}")]
    NoMessage {
        /// The document of the messages.
        line: DocId,
        /// The entry, as JSON, at most 200 characters of it.
        entry: String,
    },
}
