//! Compares the bus of kyneta-uds with other ways to publish and to ask on one machine.
//!
//! In: what to measure. Out: a Markdown table, or JSON lines. Touches sockets in a directory of its own, and runs
//! itself as the hub, the receivers and the publisher.

mod contenders;
mod driver;
#[path = "../../pin.rs"]
mod pin;
mod process;
mod table;
mod tally;
mod works;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use crate::{
    contenders::Contender,
    driver::Plan,
    process::Report,
    works::{Task, Work},
};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Measures publishing and asking through a hub and prints a Markdown table
#[derive(Parser)]
struct Args {
    /// How often to measure each; the table has the medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these works
    #[arg(long, value_delimiter = ',')]
    work: Vec<Work>,
    /// Only messages of these sizes, bytes
    #[arg(long, value_delimiter = ',')]
    size: Vec<usize>,
    /// Only these contenders, and the floor
    #[arg(long, value_delimiter = ',')]
    only: Vec<Contender>,
    /// A line of JSON for each run instead of the table
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The processes that it runs itself as.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
enum Part {
    /// Passes on what the others send
    #[command(hide = true)]
    Hub(Seat),
    /// Counts what is published, or answers
    #[command(hide = true)]
    Receiver(Seat),
    /// Publishes, or asks
    #[command(hide = true)]
    Sender(Seat),
}

#[derive(clap::Args)]
struct Seat {
    contender: Contender,
    path: PathBuf,
    /// Tells this process from the other receivers
    number: usize,
    work: Work,
    size: usize,
    count: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // One thread each: the cost of a message is compared, not the use of cores.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = match args.part {
        Some(part) => runtime.block_on(take(part)),
        None => driver::drive(&Plan {
            works: args.work,
            sizes: args.size,
            only: args.only,
            rounds: args.rounds,
            json: args.json,
        }),
    };
    outcome.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &BoxError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Is one of the processes, until the driver ends it.
async fn take(part: Part) -> Result<(), BoxError> {
    let (Part::Hub(seat) | Part::Receiver(seat) | Part::Sender(seat)) = &part;
    let task = Task {
        work: seat.work,
        size: seat.size,
        count: seat.count,
    };
    if task.work.window() == Some(1) {
        pin::to_one_core()?;
    }
    let (of, path) = (seat.contender, &*seat.path);
    match (&part, task.work.window()) {
        (Part::Hub(_), _) => of.hub(path, task).await?,
        (Part::Receiver(seat), None) => of.receive(path, seat.number, task).await?,
        (Part::Receiver(_), Some(_)) => of.answer(path, task).await?,
        (Part::Sender(_), None) => of.publish(path, task).await?,
        (Part::Sender(_), Some(window)) => {
            let latencies = of.ask(path, task, window).await?;
            Report::Asked(latencies.summary()).tell();
        }
    }
    std::future::pending().await
}
