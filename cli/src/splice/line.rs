//! The events of a splice, as lines of stdout.

use serde::Serialize;

use crate::{
    event_writer::EventText,
    style::{Escaped, Style},
};

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Line<'a> {
    /// Connections are taken: of the machines at `machine`, for `path`; or at `path`, for `machine`.
    Listening { path: String, machine: String },
    /// A connection was opened, closed or refused.
    Splice {
        machine: &'a str,
        change: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

impl<'a> Line<'a> {
    pub(super) fn splice(machine: &'a str, change: &'static str, reason: Option<String>) -> Self {
        Self::Splice {
            machine,
            change,
            reason,
        }
    }
}

impl EventText for Line<'_> {
    fn text(&self, _: Style) -> String {
        match self {
            Self::Listening { path, machine } => format!("{machine} {}", Escaped(path)),
            Self::Splice {
                machine,
                change,
                reason,
            } => match reason {
                Some(reason) => format!("{machine} {change}: {}", Escaped(reason)),
                None => format!("{machine} {change}"),
            },
        }
    }
}
