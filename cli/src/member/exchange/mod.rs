//! `exchange` takes part in documents; `doc` shows them to a person.

mod args;
mod commands;
mod doc;
mod edit;
mod input;
mod kinds;
mod listed;
mod report;
mod run;
mod witness;

pub(crate) use args::ExchangeArgs;
pub(crate) use doc::{DocArgs, doc};
pub(crate) use run::exchange;
