//! The manual pages: the first on stdout, or all in a directory.

use std::path::Path;

use clap::CommandFactory;

use crate::{args::Cli, failure::Failure, stdout};

/// Prints the page of `kyneta-uds`, which names the pages of its commands.
pub(crate) fn print() -> Result<(), Failure> {
    let mut page = Vec::new();
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::Man::new(command).render(&mut page)?;
    stdout::print_line(page.trim_ascii_end())
}

/// Writes all of them, `kyneta-uds.1`, `kyneta-uds-peer.1` and so on.
pub(crate) fn write_all(dir: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), dir)
        .map_err(|error| Failure::work(format!("cannot write to {}: {error}", dir.display())))
}
