//! Runs the halves, round by round, ours and the floor in turn, and takes the medians.

use std::{io, path::Path, process::Stdio, time::Duration};

use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use super::{
    Pin, Seat, Side,
    figures::Figures,
    table::{HEAD, Row},
    work::{Task, Work},
};
use crate::{failure::Failure, stdout};

/// What to measure.
#[derive(Debug)]
pub(crate) struct Plan {
    /// All of them when empty.
    pub(crate) works: Vec<Work>,
    /// Each work's own when empty, bytes.
    pub(crate) sizes: Vec<usize>,
    /// Messages a round; by work and size when absent.
    pub(crate) count: Option<u64>,
    pub(crate) rounds: usize,
    pub(crate) pin: Pin,
    /// How long our connections look for more before they sleep.
    pub(crate) spin: Option<Duration>,
    pub(crate) json: bool,
}

impl Plan {
    /// Of server and client. The bare socket has nothing to spin.
    fn seats(&self, side: Side) -> (Seat, Seat) {
        let (server, client) = self.pin.cores();
        let spin = self.spin.filter(|_| side == Side::Ours);
        let seat = |core| Seat { side, core, spin };
        (seat(server), seat(client))
    }

    fn tasks(&self) -> Vec<Task> {
        let works = if self.works.is_empty() {
            &Work::ALL[..]
        } else {
            &self.works
        };
        let task = |work, size| Task {
            count: self.count.unwrap_or(Task::sized(work, size).count),
            ..Task::sized(work, size)
        };
        works
            .iter()
            .flat_map(|work| {
                let sizes = if self.sizes.is_empty() {
                    work.sizes()
                } else {
                    &self.sizes
                };
                sizes.iter().map(move |size| task(*work, *size))
            })
            .collect()
    }
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
pub(crate) async fn drive(plan: Plan) -> Result<(), Failure> {
    let dir = tempfile::Builder::new()
        .prefix("kyneta-uds-bench-")
        .tempdir()?;
    if !plan.json {
        stdout::line(HEAD.as_bytes())?;
    }
    for (number, task) in plan.tasks().into_iter().enumerate() {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for round in 0..plan.rounds {
            let path = |name: &str| dir.path().join(format!("{name}-{number}-{round}"));
            ours.push(measure(&path("ours"), task, plan.seats(Side::Ours)).await?);
            floor.push(measure(&path("floor"), task, plan.seats(Side::Floor)).await?);
        }
        let (Some(ours), Some(floor)) = (median(ours), median(floor)) else {
            continue;
        };
        let row = Row { task, ours, floor };
        if plan.json {
            let (ratio, rounds) = (row.ratio(), plan.rounds);
            let line = Compared {
                ratio,
                rounds,
                ours: &row.ours,
                floor: &row.floor,
            };
            stdout::line(&serde_json::to_vec(&line)?)?;
        } else {
            stdout::line(row.line().as_bytes())?;
        }
    }
    Ok(())
}

/// The run in the middle, by speed; its latencies are its own.
fn median(mut runs: Vec<Figures>) -> Option<Figures> {
    runs.sort_by(|a, b| a.msgs_per_s.total_cmp(&b.msgs_per_s));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle)
}

/// One run of two processes over a socket of their own.
async fn measure(
    path: &Path,
    task: Task,
    (server_seat, client_seat): (Seat, Seat),
) -> Result<Figures, Failure> {
    let mut server = half("server", path, &[], server_seat)?.spawn()?;
    let ready = first_line(&mut server).await?;
    if ready.trim() != "ready" {
        return Err(Failure::work(
            "the bench's server did not start; its reason stands above",
        ));
    }
    let what = [
        task.work.name(),
        &task.size.to_string(),
        &task.count.to_string(),
    ];
    let mut client = half("client", path, &what, client_seat)?.spawn()?;
    let line = first_line(&mut client).await?;
    client.wait().await?;
    // The server has done its work, however far it has come in noticing.
    server.kill().await?;
    serde_json::from_str(&line)
        .map_err(|_| Failure::work("the bench's client gave no figures; its reason stands above"))
}

fn half(name: &str, path: &Path, what: &[&str], seat: Seat) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", name]).arg(path).args(what);
    if seat.side == Side::Floor {
        command.arg("--floor");
    }
    if let Some(core) = seat.core {
        command.args(["--core", &core.to_string()]);
    }
    if let Some(spin) = seat.spin {
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
