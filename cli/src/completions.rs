//! The command among others: completions, the manual page, logs.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{args::Cli, failure::Failure, logs::Logs, stdout};

/// Logs to stderr: what RUST_LOG asks for, else warnings and what `-v` adds.
pub(crate) fn log_to_stderr(verbose: u8) -> Result<Logs, Failure> {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy();
    // What this warns of is an event on stdout already.
    let filter = match "kyneta_uds::peer=error".parse() {
        Ok(quiet) if verbose == 0 && std::env::var_os("RUST_LOG").is_none() => {
            filter.add_directive(quiet)
        }
        _ => filter,
    };
    let logs = Logs::start()?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(logs.clone())
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    Ok(logs)
}

/// Prints a shell's completions.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kyneta-uds", &mut text);
    // In bash's, clap_complete (4.6.11) writes the hyphen of our name in two ways, and so would complete
    // nothing after a command.
    let text = String::from_utf8_lossy(&text).replace("kyneta__subcmd__uds", "kyneta__uds");
    stdout::line(text.as_bytes().trim_ascii_end())
}

/// Prints the manual page, which names the pages of the commands.
pub(crate) fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::Man::new(command).render(&mut page)?;
    stdout::line(page.trim_ascii_end())
}

/// Writes all of them, `kyneta-uds.1`, `kyneta-uds-peer.1` and so on.
pub(crate) fn write_man(dir: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), dir)
        .map_err(|error| Failure::work(format!("cannot write to {}: {error}", dir.display())))
}
