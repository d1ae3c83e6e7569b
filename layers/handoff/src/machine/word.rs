//! What the two processes say to each other, and its bytes.
//!
//! In: a word, or the bytes of one message. Out: bytes, or a word. Touches nothing.

use kyneta_uds_core::{Saved, SavedError};

use super::Formats;

/// One message of the control channel. Descriptors go with it, beside its bytes.
///
/// ```
/// use kyneta_uds_handoff::Word;
/// assert_eq!(Word::decode(&Word::Have(7).encode())?, Word::Have(7));
/// # Ok::<(), kyneta_uds_core::SavedError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Word {
    /// The successor's first: what it understands, and how many descriptors it can still open.
    Hello {
        /// The formats that it understands.
        formats: Formats,
        /// How many descriptors it can still open.
        free: u32,
    },
    /// The predecessor hands over, in this format.
    Welcome {
        /// The format of everything that follows.
        format: u32,
        /// How many connections there are now; 0 where the predecessor does not say.
        connections: u32,
    },
    /// With the descriptors that are shared while the predecessor serves on: the listener's, the lock's.
    Shared {
        /// How many.
        descriptors: u32,
    },
    /// With the descriptors of sealed files: bytes of connections, which the predecessor still writes.
    Ahead {
        /// How many, at most [`BATCH`](crate::BATCH).
        descriptors: u32,
    },
    /// With the descriptors of connections, which the predecessor does not read or write any more.
    Batch {
        /// How many.
        descriptors: u32,
    },
    /// The successor holds as many descriptors.
    Have(u32),
    /// With the descriptor of the sealed file that holds the state.
    State {
        /// The size of the file, in bytes.
        size: u64,
        /// The connections in it.
        connections: u32,
    },
    /// The commit: the successor serves.
    Taken,
    /// The predecessor serves on, and the successor must not.
    Revoked,
    /// The side that says it cannot go on. The predecessor serves on.
    Refused(Refusal),
}

/// Why a handoff does not take place. The predecessor serves on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no format that both understand.
    #[error(
        "the other process hands over in formats {} to {}, this one in {} to {}",
        theirs.oldest, theirs.newest, ours.oldest, ours.newest
    )]
    Format {
        /// Those of the side that says it.
        ours: Formats,
        /// Those of the side that hears it.
        theirs: Formats,
    },
    /// The successor has too few descriptors.
    #[error(
        "{needed} descriptors are handed over and the successor can open {free}: raise its RLIMIT_NOFILE"
    )]
    Descriptors {
        /// How many it needs.
        needed: u32,
        /// How many it can open.
        free: u32,
    },
    /// Only the user of the predecessor may take over.
    #[error("uid {theirs} may not take over from uid {ours}")]
    User {
        /// The uid of the successor.
        theirs: u32,
        /// The uid of the predecessor.
        ours: u32,
    },
    /// A reason of one of the processes.
    #[error("{0}")]
    Other(String),
    /// A word that does not belong where it was said.
    #[error("the other process said `{0}` where that has no meaning")]
    Unexpected(&'static str),
    /// The other process took too long.
    #[error("the other process took longer than {0} ms")]
    Late(u64),
    /// The predecessor has given up, and serves on.
    #[error("the predecessor has given up, and serves on")]
    Revoked,
    /// The other process has closed the channel.
    #[error("the other process has closed the control channel")]
    Closed,
}

/// The longest sentence of a refusal, in bytes.
const MAX_SENTENCE: usize = 1024;

impl Word {
    /// Its name, as in the sentences of a refusal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Welcome { .. } => "welcome",
            Self::Shared { .. } => "shared",
            Self::Ahead { .. } => "ahead",
            Self::Batch { .. } => "batch",
            Self::Have(_) => "have",
            Self::State { .. } => "state",
            Self::Taken => "taken",
            Self::Revoked => "revoked",
            Self::Refused(_) => "refused",
        }
    }

    /// How many descriptors go with it.
    pub const fn descriptors(&self) -> u32 {
        match self {
            Self::Shared { descriptors }
            | Self::Ahead { descriptors }
            | Self::Batch { descriptors } => *descriptors,
            Self::State { .. } => 1,
            _ => 0,
        }
    }

    /// The bytes of its message.
    pub fn encode(&self) -> Vec<u8> {
        let word = Saved::new(1, 1).with("word", self.name());
        let word = match self {
            Self::Hello { formats, free } => word
                .with("oldest", formats.oldest)
                .with("newest", formats.newest)
                .with("free", *free),
            Self::Welcome {
                format,
                connections,
            } => word
                .with("format", *format)
                .with("connections", *connections),
            Self::Shared { descriptors }
            | Self::Ahead { descriptors }
            | Self::Batch { descriptors }
            | Self::Have(descriptors) => word.with("descriptors", *descriptors),
            Self::State { size, connections } => {
                word.with("size", *size).with("connections", *connections)
            }
            Self::Refused(refusal) => {
                let mut sentence = refusal.to_string();
                let mut ends = (0..=MAX_SENTENCE.min(sentence.len())).rev();
                let end = ends.find(|end| sentence.is_char_boundary(*end));
                sentence.truncate(end.unwrap_or(0));
                word.with("why", sentence)
            }
            Self::Taken | Self::Revoked => word,
        };
        word.encode()
    }

    /// From the bytes of a message. Fields that it does not know are skipped.
    ///
    /// # Errors
    /// [`SavedError`], with the byte or the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        let word = Saved::decode(bytes)?;
        word.check("a word of the handoff", 1..=1)?;
        Ok(match word.text("word")? {
            "hello" => Self::Hello {
                formats: Formats {
                    oldest: word.number32("oldest")?,
                    newest: word.number32("newest")?,
                },
                free: word.number32("free")?,
            },
            "welcome" => Self::Welcome {
                format: word.number32("format")?,
                connections: match word.get("connections") {
                    Some(_) => word.number32("connections")?,
                    None => 0,
                },
            },
            "shared" => Self::Shared {
                descriptors: word.number32("descriptors")?,
            },
            "ahead" => Self::Ahead {
                descriptors: word.number32("descriptors")?,
            },
            "batch" => Self::Batch {
                descriptors: word.number32("descriptors")?,
            },
            "have" => Self::Have(word.number32("descriptors")?),
            "state" => Self::State {
                size: word.number("size")?,
                connections: word.number32("connections")?,
            },
            "taken" => Self::Taken,
            "revoked" => Self::Revoked,
            "refused" => Self::Refused(Refusal::Other(word.text("why")?.to_owned())),
            _ => {
                return Err(SavedError::Value {
                    name: "word",
                    why: "no word of this version",
                });
            }
        })
    }
}
