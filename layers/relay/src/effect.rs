//! What comes out of a router: messages to members, and what it has to report.
//!
//! In: what a router has decided. Out: values, in the order in which a hub has to carry them out. Touches nothing.

use std::fmt;

use kyneta_uds_core::{ChannelMsg, DocId};

use crate::member::MemberKey;

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Effect<M = ChannelMsg> {
    /// Send a message.
    Send {
        /// To which member.
        to: MemberKey,
        /// What.
        msg: M,
    },
    /// Close the connection of a member, after what was sent to it.
    Close {
        /// Which member.
        member: MemberKey,
    },
    /// Report that a message, or a part of it, had no effect.
    Report {
        /// Why.
        diagnostic: Diagnostic,
        /// Whose message.
        member: MemberKey,
        /// About which document, if about one.
        doc: Option<DocId>,
    },
}

impl<M> Effect<M> {
    /// A message to a member.
    pub const fn send(to: MemberKey, msg: M) -> Self {
        Self::Send { to, msg }
    }
}

/// Why a message, or a part of it, had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Diagnostic {
    /// The sender is no member.
    NotEstablished,
    /// Another member presents the document with another replica type: the two are kept apart.
    MismatchReplicaType,
    /// Another member presents the document with another sync mode: the two are kept apart.
    MismatchSyncMode,
    /// Another member presents the document with another schema: the two are kept apart.
    MismatchSchemaHash,
    /// The member has presented the document otherwise before: it counts as new.
    ChangedEntry,
    /// The member presents more documents than it may.
    MemberDocsLimit,
    /// There are as many documents as there may be.
    DocsLimit,
    /// An offer of a document that the member has not presented.
    OfferWithoutPresent,
    /// An answer that was not asked for; the version it starts from is not known.
    AnswerWithoutAsk,
    /// The [`Gate`](crate::Gate) does not let the member see the document that it speaks of.
    NotPermitted,
    /// The [`Gate`](crate::Gate) does not let the member write the document that it offers.
    WriteNotPermitted,
    /// Members stay at different versions although all were asked: their histories differ, or one does not
    /// answer.
    StaysUnequal,
    /// A `dismiss` of a document that the member has nothing to do with.
    DismissUnknown,
    /// What a router of your own reports: its name in events and logs.
    Other(&'static str),
}

impl Diagnostic {
    /// Its name in events and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotEstablished => "not-established",
            Self::MismatchReplicaType => "mismatch-replica-type",
            Self::MismatchSyncMode => "mismatch-sync-mode",
            Self::MismatchSchemaHash => "mismatch-schema-hash",
            Self::ChangedEntry => "changed-entry",
            Self::MemberDocsLimit => "member-docs-limit",
            Self::DocsLimit => "docs-limit",
            Self::OfferWithoutPresent => "offer-without-present",
            Self::AnswerWithoutAsk => "answer-without-ask",
            Self::NotPermitted => "not-permitted",
            Self::WriteNotPermitted => "write-not-permitted",
            Self::StaysUnequal => "stays-unequal",
            Self::DismissUnknown => "dismiss-unknown",
            Self::Other(code) => code,
        }
    }

    /// True where the hub refuses what only a member that takes part in its documents sends. An offer or a `dismiss` of a
    /// document that was not presented is none: peers without documents send such messages to the handler alone.
    ///
    /// ```
    /// use kyneta_uds_relay::Diagnostic;
    /// assert!(Diagnostic::WriteNotPermitted.is_refusal());
    /// assert!(!Diagnostic::OfferWithoutPresent.is_refusal());
    /// ```
    pub const fn is_refusal(self) -> bool {
        match self {
            Self::MismatchReplicaType
            | Self::MismatchSyncMode
            | Self::MismatchSchemaHash
            | Self::ChangedEntry
            | Self::MemberDocsLimit
            | Self::DocsLimit
            | Self::AnswerWithoutAsk
            | Self::NotPermitted
            | Self::WriteNotPermitted => true,
            Self::NotEstablished
            | Self::OfferWithoutPresent
            | Self::StaysUnequal
            | Self::DismissUnknown
            | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
