//! `exchange` takes part in documents; `doc` shows them to a person.

mod args;
mod doc;
mod edit;
mod input;
mod kinds;
mod report;
mod run;

pub(crate) use args::ExchangeArgs;
pub(crate) use doc::{DocArgs, doc};
pub(crate) use run::exchange;
