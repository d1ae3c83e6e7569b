//! The figures as a Markdown table and as JSON lines.
//!
//! In: the scores. Out: text. The first contender of a column is what the others are divided by. Pure.

use std::{fmt::Write, thread};

use serde::Serialize;

use crate::{contenders::Entry, driver::Score, works::Work};

/// One work at one size, all contenders. The first is the floor.
pub(crate) struct Column {
    pub(crate) work: Work,
    pub(crate) size: usize,
    pub(crate) scores: Vec<Score>,
}

impl Column {
    /// The ratio to the floor, by rate: higher is better.
    fn ratio(&self, score: &Score) -> Option<f64> {
        Some(score.rate()? / self.scores.first()?.rate()?)
    }
}

/// A line of `--json`.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    contender: &'a str,
    version: &'a str,
    work: &'a str,
    /// Data per message, bytes.
    size: usize,
    /// Messages per round.
    count: u64,
    rounds: u32,
    /// The median. It and all fields below are null for a contender that failed.
    secs: Option<f64>,
    msgs_per_s: Option<f64>,
    /// Data, millions of bytes.
    mb_per_s: Option<f64>,
    /// The ratio to the floor; higher is better.
    ratio: Option<f64>,
    error: Option<&'a str>,
}

pub(crate) fn lines<'a>(
    entries: &'a [Entry],
    columns: &'a [Column],
    rounds: u32,
) -> impl Iterator<Item = Line<'a>> {
    let line = move |column: &'a Column, entry: &'a Entry, score: &'a Score| Line {
        contender: entry.facts.name,
        version: version(entry.facts.package),
        work: column.work.name(),
        size: column.size,
        count: score.task.count,
        rounds,
        secs: score.took.as_ref().ok().map(|took| took.as_secs_f64()),
        msgs_per_s: score.rate(),
        mb_per_s: score.rate().map(|rate| rate * column.size as f64 / 1e6),
        ratio: column.ratio(score),
        error: score.took.as_ref().err().map(String::as_str),
    };
    columns.iter().flat_map(move |column| {
        let pairs = entries.iter().zip(&column.scores);
        pairs.map(move |(entry, score)| line(column, entry, score))
    })
}

pub(crate) fn markdown(entries: &[Entry], columns: &[Column], rounds: u32) -> String {
    let mut out = head(rounds);
    row(&mut out, "", columns.iter().map(title));
    row(&mut out, "---", columns.iter().map(|_| "--:".to_owned()));
    let mut failures = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let name = format!("{} {}", entry.facts.title, version(entry.facts.package));
        let scores = columns
            .iter()
            .filter_map(|column| Some((column, column.scores.get(at)?)));
        let cells = scores.map(|(column, score)| match &score.took {
            Ok(_) => cell(column, score),
            Err(why) => {
                failures.push(format!(
                    "* {} failed at {}: {why}",
                    entry.facts.title,
                    title(column)
                ));
                "failed".to_owned()
            }
        });
        row(&mut out, &name, cells);
    }
    out.push('\n');
    for facts in entries.iter().map(|entry| entry.facts) {
        out += &format!("* {}: {}.\n", facts.title, facts.note);
    }
    for failure in failures {
        out += &failure;
        out.push('\n');
    }
    out
}

fn head(rounds: u32) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "{os} {arch}, {cores} cores; rounds: {rounds}, interleaved; medians. In brackets: ratio to \
         the floor in the same run, higher is better.\n\n"
    )
}

fn row(out: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    // Writing into a String cannot fail.
    let _ = write!(out, "| {first} |");
    for cell in cells {
        let _ = write!(out, " {cell} |");
    }
    out.push('\n');
}

fn title(column: &Column) -> String {
    let size = match column.size {
        bytes @ 0..1024 => format!("{bytes} B"),
        bytes @ 1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        bytes => format!("{} MiB", bytes >> 20),
    };
    format!("{} {size}", column.work.name())
}

/// The figure of a work: of round trips the time, of small messages the number, of large ones the bytes.
fn cell(column: &Column, score: &Score) -> String {
    let rate = score.rate().unwrap_or_default();
    let figure = match column.work {
        Work::Rtt => format!("{:.1} µs", 1e6 / rate),
        Work::Bulk => format!("{:.2} GB/s", rate * column.size as f64 / 1e9),
        Work::Stream | Work::Pipe if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        Work::Stream | Work::Pipe => format!("{:.0} k/s", rate / 1e3),
    };
    match column.ratio(score) {
        Some(ratio) if ratio >= 0.1 => format!("{figure} ({ratio:.2})"),
        Some(ratio) => format!("{figure} ({ratio:.3})"),
        None => figure,
    }
}

/// A package's version, as built.
fn version(package: &str) -> &'static str {
    const LOCK: &str = include_str!("../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    let rest = LOCK.split_once(&name).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default()
}
