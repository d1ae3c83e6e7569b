//! Measures how the cost of a message grows with sizes, peers, documents and queues.
//!
//! `cargo run --release --manifest-path benches/scaling/Cargo.toml`
//!
//! In: how often to measure. Out: `benches/RESULTS.md` and `benches/plots/*.svg`. Touches sockets in a directory of its
//! own, and runs `git` and `uname`.

mod bare;
mod curves;
mod machine;
mod ours;
mod page;
mod place;
mod plot;
mod section;
mod sweep;
mod tally;
mod verdict;

use std::path::Path;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Builder;

use crate::{machine::Machine, page::Page, sweep::Effort};

/// Errors are reported, not handled.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Measure how costs grow, and write benches/RESULTS.md with its plots.
#[derive(Debug, Parser)]
struct Args {
    /// How often to measure each point; the result is the median
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Measure once, with a twentieth of the messages, as a test: the figures are inaccurate
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
}

fn main() -> Result<(), Error> {
    let args = Args::parse();
    let effort = if args.quick {
        Effort::quick()
    } else {
        Effort::thorough(args.rounds)
    };
    raise_descriptors()?;
    // The measured code runs on other threads; this one only waits.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let page = Page {
        machine: Machine::ask(),
        effort,
        sections: runtime.block_on(curves::all(effort))?,
    };
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    page.write(&benches)
}

/// Both ends of a thousand peers are in this process.
fn raise_descriptors() -> Result<(), Error> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
