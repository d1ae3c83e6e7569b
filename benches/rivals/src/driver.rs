//! Runs the processes, round by round, all contenders in turn, and computes the medians.
//!
//! In: a plan. Out: the scores, progress on stderr. May touch: processes that it starts and ends, their stdout, a
//! directory of its own, the clock.

use std::{io, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{
    BoxError, contenders,
    contenders::Entry,
    report::Report,
    table::{self, Column},
    works::{self, Task, Work},
};

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What to measure.
pub(crate) struct Plan {
    /// All if empty.
    pub(crate) works: Vec<Work>,
    /// All if empty; the floor always.
    pub(crate) only: Vec<Entry>,
    pub(crate) rounds: u32,
    pub(crate) json: bool,
}

/// The result of one contender at one work.
pub(crate) struct Score {
    pub(crate) task: Task,
    /// The median, or the error.
    pub(crate) took: Result<Duration, String>,
}

impl Score {
    /// Messages a second.
    pub(crate) fn rate(&self) -> Option<f64> {
        let took = self.took.as_ref().ok()?;
        Some(self.task.count as f64 / took.as_secs_f64())
    }
}

/// Measures, with progress on stderr, and prints the results.
pub(crate) async fn drive(plan: Plan) -> Result<(), BoxError> {
    let dir = tempfile::Builder::new().prefix("rivals-").tempdir()?;
    let named = |entry: &Entry| {
        plan.only
            .iter()
            .any(|only| only.facts.name == entry.facts.name)
    };
    let entries: Vec<Entry> = contenders::ALL
        .into_iter()
        .filter(|entry| {
            plan.only.is_empty() || named(entry) || entry.facts.name == contenders::FLOOR.facts.name
        })
        .collect();
    let mut columns = Vec::new();
    for (work, size) in works::ALL {
        if plan.works.is_empty() || plan.works.contains(&work) {
            let scores = compare(dir.path(), &entries, work, size, plan.rounds).await;
            columns.push(Column { work, size, scores });
        }
    }
    if plan.json {
        for line in table::lines(&entries, &columns, plan.rounds) {
            println!("{}", serde_json::to_string(&line)?);
        }
    } else {
        print!("{}", table::markdown(&entries, &columns, plan.rounds));
    }
    Ok(())
}

/// All contenders at one work, interleaved. A contender that has failed is not run again.
async fn compare(
    dir: &Path,
    entries: &[Entry],
    work: Work,
    size: usize,
    rounds: u32,
) -> Vec<Score> {
    let mut runs: Vec<_> = entries
        .iter()
        .map(|entry| (Task::sized(work, size, entry.facts.pace), Ok(Vec::new())))
        .collect();
    for round in 0..rounds {
        for (entry, (task, took)) in entries.iter().zip(&mut runs) {
            let Ok(all) = took else { continue };
            let name = entry.facts.name;
            eprintln!(
                "round {} of {rounds}, {} {size} B: {name}",
                round + 1,
                work.name()
            );
            let path = dir.join(format!("{name}-{}-{size}-{round}", work.name()));
            match measure(&path, *entry, *task).await {
                Ok(one) => all.push(one),
                Err(error) => *took = Err(error.to_string()),
            }
        }
    }
    let score = |(task, took): (Task, Result<Vec<Duration>, String>)| Score {
        task,
        took: took.and_then(|all| median(all).ok_or_else(|| "not run".to_owned())),
    };
    runs.into_iter().map(score).collect()
}

fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

/// One run of two processes over a socket of their own.
async fn measure(path: &Path, entry: Entry, task: Task) -> Result<Duration, BoxError> {
    let mut server = half("serve", path, entry, task)?;
    let mut server_says = said(&mut server)?;
    let run = async {
        match heard(&mut server_says).await? {
            Some(Report::Ready) => {}
            other => return Err(unexpected("the server", other)),
        }
        let mut client = half("run", path, entry, task)?;
        let mut client_says = said(&mut client)?;
        let outcome = tokio::select! {
            report = heard(&mut client_says) => match report? {
                Some(Report::Took(took)) => Ok(took),
                other => Err(unexpected("the client", other)),
            },
            // The server may have ended because the client has.
            Ok(Some(report)) = heard(&mut server_says) => Err(unexpected("the server", Some(report))),
        };
        client.kill().await?;
        outcome
    };
    let outcome = timeout(LIMIT, run).await;
    // The server is not needed any more.
    server.kill().await?;
    outcome.map_err(|_| format!("not done within {} s", LIMIT.as_secs()))?
}

fn half(role: &str, path: &Path, entry: Entry, task: Task) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([role, entry.facts.name])
        .arg(path)
        .args([
            task.work.name(),
            &task.size.to_string(),
            &task.count.to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

type Says = Lines<BufReader<ChildStdout>>;

fn said(half: &mut Child) -> io::Result<Says> {
    let stdout = half.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(BufReader::new(stdout).lines())
}

/// The next report of a process; `None` when it has ended.
async fn heard(says: &mut Says) -> Result<Option<Report>, BoxError> {
    let line = says.next_line().await?;
    Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
}

/// The error of an unexpected report.
fn unexpected(process: &str, report: Option<Report>) -> BoxError {
    match report {
        Some(Report::Failed(why)) => format!("{process}: {why}").into(),
        Some(other) => format!("{process} reported {other:?}").into(),
        None => format!("{process} ended without a report").into(),
    }
}
