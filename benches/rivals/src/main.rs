//! Compares kyneta-uds with other libraries for messages over a Unix socket.
//!
//! In: what to measure. Out: a Markdown table, or JSON lines. Touches sockets in a directory of its own, and runs
//! itself as the server and the client.

mod contenders;
mod driver;
mod link;
mod offer;
mod pin;
mod report;
mod table;
mod works;

use std::{error::Error, io, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use crate::{
    contenders::Entry,
    driver::Plan,
    report::Report,
    works::{Task, Work},
};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Measures kyneta-uds and its rivals and prints a Markdown table
#[derive(Parser)]
struct Args {
    /// How often to measure each; the table has the medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these works
    #[arg(long, value_delimiter = ',')]
    work: Vec<Work>,
    /// Only these contenders, and the floor
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = contenders::find)]
    only: Vec<Entry>,
    /// A line of JSON for each figure instead of the table
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    half: Option<Half>,
}

/// The processes that it runs itself as.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
enum Half {
    /// The server, which answers
    #[command(hide = true)]
    Serve(Seat),
    /// The client, which measures
    #[command(hide = true)]
    Run(Seat),
}

#[derive(clap::Args)]
struct Seat {
    #[arg(value_parser = contenders::find)]
    contender: Entry,
    path: PathBuf,
    work: Work,
    size: usize,
    count: u64,
}

impl Seat {
    fn task(&self) -> Task {
        let Self {
            work, size, count, ..
        } = *self;
        Task { work, size, count }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // One thread each: the cost of a message is compared, not the use of cores.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = match args.half {
        Some(half) => return runtime.block_on(take(half)),
        None => runtime.block_on(driver::drive(Plan {
            works: args.work,
            only: args.only,
            rounds: args.rounds,
            json: args.json,
        })),
    };
    outcome.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &BoxError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Runs the server or the client, which reports to the driver on stdout.
async fn take(half: Half) -> ExitCode {
    let outcome = match half {
        Half::Serve(seat) => serve(seat).await.map(|()| None),
        Half::Run(seat) => run(seat).await.map(Some),
    };
    match outcome {
        Ok(None) => {}
        Ok(Some(report)) => report.tell(),
        Err(error) => {
            Report::Failed(error.to_string()).tell();
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn serve(seat: Seat) -> Result<(), BoxError> {
    settle(seat.task().work)?;
    (seat.contender.serve)(&seat.path, seat.task(), || Report::Ready.tell()).await
}

async fn run(seat: Seat) -> Result<Report, BoxError> {
    settle(seat.task().work)?;
    let took = (seat.contender.run)(&seat.path, seat.task()).await?;
    Ok(Report::Took(took))
}

/// A round trip runs with both processes on one core.
fn settle(work: Work) -> io::Result<()> {
    match work {
        Work::Rtt => pin::to_one_core(),
        _ => Ok(()),
    }
}
