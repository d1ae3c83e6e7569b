//! The fields of events that all members of a path have: errors, waits, links.

use std::time::Duration;

use kyneta_uds::Waiting;
#[cfg(feature = "links")]
use kyneta_uds::machines::LinkChange;
use serde::Serialize;

use crate::failure::Chain;

/// An error that does not end the process.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorFields<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<&'a str>,
}

/// There is no connection, or no role, and why.
#[derive(Debug, Serialize)]
pub(crate) struct WaitingFields {
    pub(crate) why: String,
    pub(crate) for_ms: u64,
}

impl From<&Waiting> for WaitingFields {
    fn from(waiting: &Waiting) -> Self {
        Self {
            why: Chain(waiting.why().get_ref()).to_string(),
            for_ms: millis(waiting.elapsed()),
        }
    }
}

/// A link to another machine came up, or there is none.
#[cfg(feature = "links")]
#[derive(Debug, Serialize)]
pub(crate) struct LinkFields<'a> {
    pub(crate) machine: &'a str,
    pub(crate) change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

#[cfg(feature = "links")]
impl<'a> LinkFields<'a> {
    pub(crate) fn new(machine: &'a str, change: &LinkChange) -> Self {
        let (change, reason) = match change {
            LinkChange::Up => ("up", None),
            LinkChange::Down(reason) => ("down", Some(reason.to_string())),
            LinkChange::Replaced => ("replaced", None),
            LinkChange::Refused { refusal, here } => {
                let by = if *here { "here" } else { "there" };
                ("refused", Some(format!("refused {by}: {refusal}")))
            }
            LinkChange::Absent(reason) => ("absent", Some(reason.to_string())),
            other => ("absent", Some(format!("{other:?}"))),
        };
        Self {
            machine,
            change,
            reason,
        }
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
