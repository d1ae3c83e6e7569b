//! The figures as a Markdown table: medians over the rounds, ratios to the floor of the same round.
//!
//! In: the runs. Out: text; of several rounds the median. Pure.

use std::{fmt::Write as _, thread};

use crate::{
    contenders::{Contender, FLOOR},
    driver::Run,
    works::Work,
};

pub(crate) fn markdown(
    contenders: &[Contender],
    works: &[(Work, usize)],
    runs: &[Run],
    rounds: u32,
) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let mut out = format!(
        "{cores} cores; rounds: {rounds}, interleaved; medians. In brackets: ratio to the floor in the same round; \
         of requests the p50's. Then processor time a message, all processes together.\n\n"
    );
    line(
        &mut out,
        "",
        works
            .iter()
            .map(|(work, size)| format!("{} {size} B", work.name())),
    );
    line(&mut out, "---", works.iter().map(|_| "--:".to_owned()));
    for contender in contenders {
        let cells = works.iter().map(|of| cell(*contender, *of, runs));
        line(&mut out, contender.title(), cells);
    }
    out.push('\n');
    for contender in contenders {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "* {}: {}.", contender.title(), contender.note());
    }
    out
}

fn line(out: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    let _ = write!(out, "| {first} |");
    for cell in cells {
        let _ = write!(out, " {cell} |");
    }
    out.push('\n');
}

fn cell(contender: Contender, (work, size): (Work, usize), runs: &[Run]) -> String {
    let of = |contender: Contender| {
        runs.iter().filter(move |run| {
            (run.contender, run.work, run.size) == (contender.name(), work.name(), size)
        })
    };
    let to_floor = |what: fn(&Run) -> f64| {
        median(of(contender).filter_map(|run| {
            let floor = of(FLOOR).find(|floor| floor.round == run.round)?;
            Some(what(run) / what(floor))
        }))
    };
    let rate = median(of(contender).map(|run| run.rate));
    let cpu = median(of(contender).map(|run| run.cpu_us));
    let rated = format!("{} ({:.3})", a_second(rate), to_floor(|run| run.rate));
    let lost = median(of(contender).map(|run| run.lost * 100.0));
    match work.window() {
        None if lost > 0.0 => format!("{rated}, {cpu:.2} µs, {lost:.1} % lost"),
        None => format!("{rated}, {cpu:.2} µs"),
        Some(_) => {
            let p50 = |run: &Run| run.p50_us.unwrap_or_default();
            let (p50, ratio) = (median(of(contender).map(p50)), to_floor(p50));
            format!("{p50:.0} µs ({ratio:.2}), {rated}, {cpu:.2} µs")
        }
    }
}

fn a_second(rate: f64) -> String {
    match rate {
        1e6.. => format!("{:.2} M/s", rate / 1e6),
        1e4.. => format!("{:.0} k/s", rate / 1e3),
        _ => format!("{:.1} k/s", rate / 1e3),
    }
}

fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<_> = all.collect();
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
