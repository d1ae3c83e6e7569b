//! Runs the processes, round by round, all contenders in turn.
//!
//! In: a plan. Out: the figures of each run, progress on stderr. May touch: processes that it starts and ends, their
//! stdout, a directory of its own, the clock.

use std::{path::Path, time::Duration, time::Instant};

use serde::Serialize;

use crate::{
    BoxError,
    contenders::{self, Contender},
    process::{Process, Report},
    table,
    works::{self, Task, Work},
};

/// What to measure.
pub(crate) struct Plan {
    /// All if empty.
    pub(crate) works: Vec<Work>,
    /// All if empty.
    pub(crate) sizes: Vec<usize>,
    /// All if empty; the floor always.
    pub(crate) only: Vec<Contender>,
    pub(crate) rounds: u32,
    pub(crate) json: bool,
}

/// The result of one run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) contender: &'static str,
    pub(crate) work: &'static str,
    pub(crate) size: usize,
    pub(crate) round: u32,
    pub(crate) count: u64,
    /// The share of messages that have not come, or not in their order.
    pub(crate) lost: f64,
    /// Messages at each receiver, or exchanges, a second.
    pub(crate) rate: f64,
    /// Processor time a message or exchange, microseconds: of all processes, and of the hub.
    pub(crate) cpu_us: f64,
    pub(crate) hub_cpu_us: f64,
    /// Of requests, microseconds.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

/// Measures, with progress on stderr, and prints the results.
pub(crate) fn drive(plan: &Plan) -> Result<(), BoxError> {
    let dir = tempfile::Builder::new().prefix("pubsub-").tempdir()?;
    let is_in =
        |of: &Contender| plan.only.is_empty() || plan.only.contains(of) || *of == contenders::FLOOR;
    let contenders: Vec<_> = contenders::ALL.into_iter().filter(is_in).collect();
    let is_wanted = |(work, size): &(Work, usize)| {
        (plan.works.is_empty() || plan.works.contains(work))
            && (plan.sizes.is_empty() || plan.sizes.contains(size))
    };
    let works: Vec<_> = works::ALL.into_iter().filter(is_wanted).collect();
    let mut runs = Vec::new();
    for round in 0..plan.rounds {
        for (work, size) in &works {
            for contender in &contenders {
                let task = Task::sized(*work, *size, contender.pace());
                let name = contender.name();
                eprintln!(
                    "round {} of {}, {} {size} B: {name}",
                    round + 1,
                    plan.rounds,
                    work.name()
                );
                let path = dir
                    .path()
                    .join(format!("{name}-{}-{size}-{round}", work.name()));
                let run = measure(&path, *contender, task, round)
                    .map_err(|error| format!("{name}, {} {size} B: {error}", work.name()))?;
                if plan.json {
                    println!("{}", serde_json::to_string(&run)?);
                }
                runs.push(run);
            }
        }
    }
    if !plan.json {
        print!(
            "{}",
            table::markdown(&contenders, &works, &runs, plan.rounds)
        );
    }
    Ok(())
}

/// One run: a hub, its receivers, and a sender, over a socket of their own.
fn measure(path: &Path, contender: Contender, task: Task, round: u32) -> Result<Run, BoxError> {
    let hub = Process::start("hub", 0, contender, path, task)?;
    hub.ready()?;
    let mut all = vec![hub];
    for number in 0..task.work.receivers() {
        let receiver = Process::start("receiver", number, contender, path, task)?;
        receiver.ready()?;
        all.push(receiver);
    }
    let mut sender = Process::start("sender", 0, contender, path, task)?;
    sender.ready()?;
    let cpu = |all: &[Process], sender: &Process| {
        let each = all.iter().map(Process::cpu);
        (
            each.sum::<Duration>() + sender.cpu(),
            all.first().map_or(Duration::ZERO, Process::cpu),
        )
    };
    let before = cpu(&all, &sender);
    let start = Instant::now();
    sender.begin()?;
    let mut lost = 0;
    let summary = if task.work.window().is_some() {
        match sender.heard()? {
            Report::Asked(summary) => Some(summary),
            other => return Err(format!("the sender reported {other:?}").into()),
        }
    } else {
        for receiver in all.iter().skip(1) {
            match receiver.heard()? {
                Report::Got { messages } => lost += task.count.saturating_sub(messages),
                other => return Err(format!("a receiver reported {other:?}").into()),
            }
        }
        None
    };
    let took = summary.map_or(start.elapsed(), |summary| summary.took);
    let after = cpu(&all, &sender);
    // The receivers before the hub: to them it would have gone.
    drop(sender);
    while all.pop().is_some() {}
    let each = |time: Duration| time.as_secs_f64() * 1e6 / task.count as f64;
    let owed = task.count * task.work.receivers() as u64;
    Ok(Run {
        lost: lost as f64 / owed as f64,
        contender: contender.name(),
        work: task.work.name(),
        size: task.size,
        round,
        count: task.count,
        rate: task.count as f64 / took.as_secs_f64(),
        cpu_us: each(after.0.saturating_sub(before.0)),
        hub_cpu_us: each(after.1.saturating_sub(before.1)),
        p50_us: summary.map(|summary| summary.p50.as_secs_f64() * 1e6),
        p99_us: summary.map(|summary| summary.p99.as_secs_f64() * 1e6),
    })
}
