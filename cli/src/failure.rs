//! Why a command failed, and its exit code.
//!
//! In: an error or a sentence. Out: one line on stderr, and 0, 1 or 2. May touch: stderr.

use std::{error::Error, process::ExitCode};

use kyneta_uds::BoxError;
pub(crate) use kyneta_uds::Chain;

use crate::{advice, logs::say};

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A failure at work: exit 1, with the reason on stderr.
    Work(BoxError),
    /// Wrong usage: exit 2.
    Usage(String),
    /// The reader of stdout has closed it: exit 0, without a word.
    Unread,
}

impl Failure {
    /// A failure at work, described in a sentence.
    pub(crate) fn work(what: impl Into<String>) -> Self {
        Self::Work(what.into().into())
    }

    /// With what a person can do about it, if users keep the two processes apart. See [`advice::of`].
    pub(crate) fn advised(self, allows: bool) -> Self {
        let Self::Work(error) = self else {
            return self;
        };
        match advice::of(&*error, allows) {
            advice if advice.is_empty() => Self::Work(error),
            advice => Self::work(format!("{}{advice}", Chain(&*error))),
        }
    }

    /// Prints the reason on stderr.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Work(error) => {
                say(format_args!("kyneta-uds: {}", Chain(&**error)));
                ExitCode::from(1)
            }
            Self::Usage(what) => {
                say(format_args!(
                    "kyneta-uds: {what}\n\nFor more information, try '--help'."
                ));
                ExitCode::from(2)
            }
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Work(error.into())
    }
}
