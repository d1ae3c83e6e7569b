//! The command among others: completions, the manual page, logs.

use clap::CommandFactory;
use clap_complete::Shell;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{args::Cli, failure::Failure, logs::Logs, out};

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
    out::line(text.trim_ascii_end())
}

/// Prints the manual page, one section for each command.
pub(crate) fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command).render(&mut page)?;
    out::line(page.trim_ascii_end())
}
