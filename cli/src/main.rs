//! `kyneta-uds`: look at a bus, join it from a shell, replay its bytes, measure it.
//!
//! In: the command line, stdin. Out: data on stdout, logs on stderr. Exit 0 when done, 1 when it
//! failed at work, 2 for wrong usage.

mod args;
mod bench;
mod completions;
mod demo;
mod failure;
mod json;
mod line_reader;
mod logs;
mod member;
mod signals;
mod status;
mod stdout;
mod style;
mod wire;

use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;

use crate::{
    args::{BenchHalf, Cli, Command, Wire},
    bench::{Plan, Seat, Side, Task},
    failure::Failure,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let logs = match completions::log_to_stderr(cli.verbose) {
        Ok(logs) => logs,
        Err(failure) => return failure.report(),
    };
    let done = run(cli.command);
    logs.finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Peer(args) => block_on_many(member::peer(args)),
        Command::Listen(args) => block_on_many(member::listen(args)),
        Command::Connect(args) => block_on(member::connect(args)),
        Command::Status(args) => block_on(status::status(args)),
        Command::Demo => block_on(demo::demo()),
        Command::Wire {
            command:
                Wire::Decode {
                    raw: true,
                    wire,
                    max_frame,
                },
        } => wire::decode_raw(wire.mode(), max_frame),
        Command::Wire {
            command:
                Wire::Decode {
                    raw: false,
                    wire,
                    max_frame,
                },
        } => wire::decode(wire.mode(), max_frame),
        Command::Wire {
            command: Wire::Encode { wire, max_frame },
        } => wire::encode(wire.version(), max_frame),
        Command::Bench(args) => block_on(bench(args)),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man { dir: None } => completions::man(),
        Command::Man { dir: Some(dir) } => completions::write_man(&dir),
    }
}

async fn bench(args: args::Bench) -> Result<(), Failure> {
    let seat = |seat: args::SeatArgs| Seat {
        side: if seat.floor { Side::Floor } else { Side::Ours },
        core: seat.core,
        spin: seat.spin,
    };
    match args.half {
        Some(BenchHalf::Server { path, seat: args }) => bench::server(&path, seat(args)).await,
        Some(BenchHalf::Client {
            path,
            work,
            size,
            count,
            seat: args,
        }) => {
            let task = Task {
                work,
                size: size as usize,
                count,
            };
            bench::client(&path, task, seat(args)).await
        }
        None => {
            let plan = Plan {
                works: args.work,
                sizes: args.size.into_iter().map(|size| size as usize).collect(),
                count: args.count,
                rounds: args.rounds,
                pin: args.pin,
                spin: args.spin,
                json: args.json,
            };
            bench::drive(plan).await
        }
    }
}

/// As [`block_on`], with as many connections as may be: each takes a descriptor, and shells allow
/// 1,024 where the system allows many more.
fn block_on_many(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    // Without, it is as many as before.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
    block_on(work)
}

/// One thread is enough for everything here, and the fastest for one connection.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}
