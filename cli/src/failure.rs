//! Why the command ends before its time, and what it exits with.

use std::{io, process::ExitCode};

use kyneta_uds::BoxError;
pub(crate) use kyneta_uds::Chain;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed at work: exit 1, with the reason on stderr.
    Work(BoxError),
    /// It was asked for something that cannot be: exit 2.
    Usage(String),
    /// Nobody reads what it prints any more: a quiet end.
    Unread,
}

impl Failure {
    /// A failure at work in words of one's own.
    pub(crate) fn work(what: impl Into<String>) -> Self {
        Self::Work(what.into().into())
    }

    /// Says on stderr what there is to say.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Work(error) => {
                eprintln!("kyneta-uds: {}", Chain(&**error));
                ExitCode::from(1)
            }
            Self::Usage(what) => {
                eprintln!("kyneta-uds: {what}\n\nFor more information, try '--help'.");
                ExitCode::from(2)
            }
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Work(error.into())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Work(error.into())
    }
}
