//! Runs the two processes of each measurement, round by round, ours and the bare socket in turn, and takes
//! the medians.
//!
//! In: options. Out: a row or a JSON line for each measurement. May touch: processes of this program, a directory for their
//! sockets.

use std::{io, path::Path, process::Stdio};

use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use super::{
    args::{BenchArgs, HalfArgs},
    figures::Figures,
    table::{HEAD, Row},
    work::{Task, Work},
};
use crate::{failure::Failure, stdout};

/// The measurements to make.
fn tasks(args: &BenchArgs) -> Vec<Task> {
    let works = if args.work.is_empty() {
        &Work::ALL[..]
    } else {
        &args.work
    };
    let task = |work, size| Task {
        count: args.count.unwrap_or(Task::sized(work, size).count),
        ..Task::sized(work, size)
    };
    works
        .iter()
        .flat_map(|work| {
            let sizes = if args.size.is_empty() {
                work.sizes().to_vec()
            } else {
                args.size.iter().map(|size| *size as usize).collect()
            };
            sizes.into_iter().map(move |size| task(*work, size))
        })
        .collect()
}

/// Of server and client. The bare socket does not spin.
fn halves(args: &BenchArgs, floor: bool) -> (HalfArgs, HalfArgs) {
    let (server, client) = args.pin.cores();
    let spin = args.spin.filter(|_| !floor);
    let half = |core| HalfArgs { floor, core, spin };
    (half(server), half(client))
}

/// A line of `bench --json`.
#[derive(Serialize)]
struct Compared<'a> {
    ratio: f64,
    rounds: usize,
    #[serde(flatten)]
    ours: &'a Figures,
    floor: &'a Figures,
}

/// Measures and prints as it goes.
pub(super) async fn drive(args: BenchArgs) -> Result<(), Failure> {
    let dir = tempfile::Builder::new()
        .prefix("kyneta-uds-bench-")
        .tempdir()?;
    if !args.json {
        stdout::print_line(HEAD.as_bytes())?;
    }
    for (number, task) in tasks(&args).into_iter().enumerate() {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for round in 0..args.rounds {
            let path = |name: &str| dir.path().join(format!("{name}-{number}-{round}"));
            ours.push(measure(&path("ours"), task, halves(&args, false)).await?);
            floor.push(measure(&path("floor"), task, halves(&args, true)).await?);
        }
        let (Some(ours), Some(floor)) = (median(ours), median(floor)) else {
            continue;
        };
        let row = Row { task, ours, floor };
        if args.json {
            let (ratio, rounds) = (row.ratio(), args.rounds);
            let line = Compared {
                ratio,
                rounds,
                ours: &row.ours,
                floor: &row.floor,
            };
            stdout::print_line(&serde_json::to_vec(&line)?)?;
        } else {
            stdout::print_line(row.line().as_bytes())?;
        }
    }
    Ok(())
}

/// The median run by speed, with the latencies of that run.
fn median(mut runs: Vec<Figures>) -> Option<Figures> {
    runs.sort_by(|a, b| a.msgs_per_s.total_cmp(&b.msgs_per_s));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle)
}

/// One run of two processes over a socket of their own.
async fn measure(
    path: &Path,
    task: Task,
    (server, client): (HalfArgs, HalfArgs),
) -> Result<Figures, Failure> {
    let mut server = half("server", path, &[], server)?.spawn()?;
    let ready = first_line(&mut server).await?;
    if ready.trim() != "ready" {
        return Err(Failure::work(
            "the server of the bench did not start; see its error above",
        ));
    }
    let what = [
        task.work.name(),
        &task.size.to_string(),
        &task.count.to_string(),
    ];
    let mut client = half("client", path, &what, client)?.spawn()?;
    let line = first_line(&mut client).await?;
    client.wait().await?;
    // Its work is done, even if it has not yet seen that the client ended.
    server.kill().await?;
    serde_json::from_str(&line)
        .map_err(|_| Failure::work("the client of the bench gave no figures; see its error above"))
}

fn half(name: &str, path: &Path, what: &[&str], args: HalfArgs) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", name]).arg(path).args(what);
    if args.floor {
        command.arg("--floor");
    }
    if let Some(core) = args.core {
        command.args(["--core", &core.to_string()]);
    }
    if let Some(spin) = args.spin {
        command.args(["--spin", &spin.as_micros().to_string()]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// The first line that a half prints; empty when it ends without one.
async fn first_line(child: &mut Child) -> io::Result<String> {
    const LIMIT: u64 = 64 << 10;
    let mut line = String::new();
    if let Some(stdout) = &mut child.stdout {
        BufReader::new(stdout.take(LIMIT))
            .read_line(&mut line)
            .await?;
    }
    Ok(line)
}
