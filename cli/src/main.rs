//! `kyneta-uds`: join a kyneta path from a shell, show its status, decode its bytes, measure it.
//!
//! In: the command line, stdin. Out: data on stdout, logs on stderr. Exit 0 when done, 1 after a
//! failure at work, 2 for wrong usage.

mod advice;
mod args;
mod bench;
mod bus;
mod completions;
mod demo;
mod event_fields;
mod event_writer;
mod failure;
mod json;
mod line_reader;
mod logs;
mod man;
mod member;
mod option_values;
mod signals;
#[cfg(feature = "machines")]
mod splice;
mod status;
mod stdin;
mod stdout;
mod style;
mod table;
mod wire;

use std::{fs::File, io, iter, process::ExitCode};

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::{
    args::{Cli, Command},
    failure::Failure,
    logs::Logs,
    signals::Signals,
};

fn main() -> ExitCode {
    let (runtime, signals) = match start() {
        Ok(started) => started,
        Err(failure) => return failure.report(),
    };
    let cli = Cli::parse();
    let logs = match Logs::to_stderr(cli.verbose) {
        Ok(logs) => logs,
        Err(failure) => return failure.report(),
    };
    let done = run(cli.command, &runtime, signals);
    // Room for the reason, which is not to be dropped.
    logs.finish();
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    };
    logs.finish();
    code
}

/// One thread is enough for every command, and the fastest for one connection.
fn start() -> Result<(Runtime, Option<Signals>), Failure> {
    can_open_enough()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let signals = Signals::catch_early()?;
    drop(inside);
    Ok((runtime, signals))
}

/// tokio panics where it cannot open what it needs for signals.
fn can_open_enough() -> Result<(), Failure> {
    /// What the runtime opens, and a socket.
    const NEEDED: usize = 8;
    let open = || File::open("/dev/null");
    let opened: io::Result<Vec<_>> = iter::repeat_with(open).take(NEEDED).collect();
    match opened {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::work(format!(
            "{NEEDED} more files cannot be opened: {error}; see RLIMIT_NOFILE (ulimit -n)"
        ))),
    }
}

fn run(command: Command, runtime: &Runtime, signals: Option<Signals>) -> Result<(), Failure> {
    let signals = || {
        let _inside = runtime.enter();
        signals.map_or_else(Signals::catch, Ok)
    };
    match command {
        Command::Peer(args) => {
            raise_descriptor_limit();
            runtime
                .block_on(member::peer(args, signals()?))
                .map_err(|failure| failure.advised(true))
        }
        #[cfg(feature = "machines")]
        Command::Key { file } => member::key(&file),
        #[cfg(feature = "machines")]
        Command::Expose(args) => runtime.block_on(splice::expose(args, signals()?)),
        #[cfg(feature = "machines")]
        Command::Reach(args) => runtime.block_on(splice::reach(args, signals()?)),
        Command::Listen(args) => {
            raise_descriptor_limit();
            runtime.block_on(member::listen(args, signals()?))
        }
        Command::Connect(args) => runtime
            .block_on(member::connect(args, signals()?))
            .map_err(|failure| failure.advised(false)),
        Command::Exchange(args) => {
            raise_descriptor_limit();
            runtime
                .block_on(member::exchange(args, signals()?))
                .map_err(|failure| failure.advised(true))
        }
        Command::Doc(args) => runtime
            .block_on(member::doc(args, signals()?))
            .map_err(|failure| failure.advised(false)),
        Command::Bus(args) => {
            raise_descriptor_limit();
            runtime
                .block_on(bus::bus(args, signals()?))
                .map_err(|failure| failure.advised(true))
        }
        Command::Send(args) => runtime
            .block_on(bus::send(args))
            .map_err(|failure| failure.advised(true)),
        Command::Who(args) => runtime.block_on(bus::who(args)),
        Command::Tap(args) => runtime.block_on(bus::tap(args, signals()?)),
        Command::Status(args) => runtime.block_on(status::status(args, signals()?)),
        Command::Demo => runtime.block_on(demo::demo(signals()?)),
        Command::Wire { command } => wire::wire(command),
        Command::Bench(args) => runtime.block_on(bench::bench(args)),
        Command::Completions { shell } => completions::print(shell),
        Command::Man { dir: None } => man::print(),
        Command::Man { dir: Some(dir) } => man::write_all(&dir),
    }
}

/// Each connection takes a descriptor, and shells allow 1,024 where the system allows many more.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    // On failure the limit stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
}
