//! `exchange`: takes part in documents.

mod args;
mod edit;
mod input;
mod report;
mod run;

pub(crate) use args::ExchangeArgs;
pub(crate) use run::exchange;
