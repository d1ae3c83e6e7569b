//! Why a hub does not admit a member: on the wire, and as an error.
//!
//! In: a machine's reason. Out: a code for programs and a sentence for people, the same on both sides. Pure.

use kyneta_uds_bus::Refusal;

use super::wire::Refused;

/// A bus does not admit this member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
#[non_exhaustive]
pub struct NotAdmittedToBus {
    /// A name for programs. Of the process: `not-allowed`, `too-many-connections`, `too-many-a-second`, `failed`, `silent`,
    /// `not-a-bus`, `other-protocol`. Of what it greets with: `version`, `protocol`, `id`, `id-of-another-user`,
    /// `beyond-window`. Of the hub: `replaced`, `full`, `other-machine`.
    pub code: String,
    /// A sentence of the listener's.
    pub why: String,
}

impl From<Refused> for NotAdmittedToBus {
    fn from(refused: Refused) -> Self {
        Self {
            code: refused.code,
            why: refused.why,
        }
    }
}

pub(crate) fn refused(code: &str, why: impl Into<String>) -> Refused {
    Refused {
        code: code.to_owned(),
        why: why.into(),
    }
}

pub(crate) fn of_hub(why: Refusal) -> Refused {
    let code = match why {
        Refusal::Replaced => "replaced",
        Refusal::Full => "full",
        Refusal::OtherMachine => "other-machine",
        _ => "refused",
    };
    refused(code, why.to_string())
}
