//! The page: benches/RESULTS.md, with its plots.
//!
//! In: sections. Out: files, in the directory of the benches.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    Error,
    machine::Machine,
    plot,
    section::{Section, Series, time},
    sweep::Effort,
    verdict,
};

pub(crate) struct Page {
    pub(crate) machine: Machine,
    pub(crate) effort: Effort,
    pub(crate) sections: Vec<Section>,
}

impl Page {
    /// Writes the page and its plots into `benches`.
    pub(crate) fn write(&self, benches: &Path) -> Result<(), Error> {
        let plots = benches.join("plots");
        fs::create_dir_all(&plots)?;
        let mut page = self.head()?;
        for section in &self.sections {
            let drawn = plot::draw(section, &plots.join(format!("{}.svg", section.name)))?;
            page.push_str(&part(section, drawn)?);
        }
        Ok(fs::write(benches.join("RESULTS.md"), page)?)
    }

    fn head(&self) -> Result<String, Error> {
        let Machine {
            processor,
            cores,
            kernel,
            date,
            commit,
        } = &self.machine;
        let mut head = String::from("# How costs grow\n\n");
        writeln!(
            head,
            "Written by `cargo run --release --manifest-path benches/scaling/Cargo.toml`:"
        )?;
        writeln!(head, "all figures and conclusions are from one run.\n")?;
        writeln!(head, "| | |\n|---|---|")?;
        writeln!(head, "| processor | {processor}, {cores} cores |")?;
        writeln!(head, "| kernel | {kernel} |")?;
        writeln!(head, "| date | {date} |")?;
        writeln!(head, "| commit | {commit} |")?;
        writeln!(head, "| rounds | {} |\n", self.effort.rounds)?;
        if self.effort.is_quick() {
            writeln!(
                head,
                "**A quick run: once, with few messages. Its figures are worth little.**\n"
            )?;
        }
        writeln!(
            head,
            "Both ends are in one process, on two threads with a `current_thread` runtime each, and \
             use the\npublic API as a user would, CBOR and aliasing on. A time is the wall's, from \
             the first message sent\nto the last one received, divided by their number; of all \
             rounds, the median.\n{}\n",
            verdict::bound()
        )?;
        Ok(head)
    }
}

/// A section; `drawn` if there is a plot.
fn part(section: &Section, drawn: bool) -> Result<String, Error> {
    let mut part = String::new();
    writeln!(part, "## {}\n\n{}\n", section.title, section.about)?;
    for verdict in &section.verdicts {
        writeln!(part, "* {verdict}")?;
    }
    if drawn {
        let (title, name) = (section.title, section.name);
        writeln!(part, "\n![{title}](plots/{name}.svg)")?;
    }
    writeln!(part, "\nTimes of one {}:\n", section.per)?;
    table(&mut part, section)?;
    writeln!(part)?;
    Ok(part)
}

/// The times, and the ratio to a bare socket, if it was measured.
fn table(part: &mut String, section: &Section) -> Result<(), Error> {
    let Section { x, series, .. } = section;
    let bare = series.iter().find(|series| series.is_bare());
    let compared: Vec<_> = match bare {
        Some(_) => series.iter().filter(|series| !series.is_bare()).collect(),
        None => Vec::new(),
    };
    let mut head: Vec<_> = series.iter().map(|series| series.name.to_owned()).collect();
    head.extend(
        compared
            .iter()
            .map(|series| format!("bare / {}", series.name)),
    );
    writeln!(part, "| {} | {} |", x.label, head.join(" | "))?;
    writeln!(part, "|---{}|", "|---:".repeat(head.len()))?;
    for (row, name) in x.ticks.names().iter().enumerate() {
        let of = |series: &Series| series.times.get(row).copied().unwrap_or(f64::NAN);
        let mut cells: Vec<_> = series.iter().map(|series| time(of(series))).collect();
        let bare = bare.map_or(f64::NAN, of);
        cells.extend(
            compared
                .iter()
                .map(|ours| format!("{:.2}", bare / of(ours))),
        );
        writeln!(part, "| {name} | {} |", cells.join(" | "))?;
    }
    Ok(())
}
