//! The machine, date and commit of the figures.
//!
//! In: answers of the system. Out: text for the page. Touches `uname`, `date`, `git` and /proc.

use std::{fs, process::Command, thread};

/// The context that figures are meaningless without.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) date: String,
    pub(crate) commit: String,
}

impl Machine {
    /// Call it before files are written, as they would count as changes of the commit.
    pub(crate) fn ask() -> Self {
        Self {
            processor: processor().unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: answer("uname", &["-srm"]).unwrap_or_else(unknown),
            date: answer("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown),
            commit: commit().unwrap_or_else(unknown),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn processor() -> Option<String> {
    let told = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = told.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The commit, and whether there are uncommitted changes.
fn commit() -> Option<String> {
    let here = ["-C", env!("CARGO_MANIFEST_DIR")];
    let git = |args: &[&str]| answer("git", &[&here, args].concat());
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let measured = [
        "src",
        "layers",
        "Cargo.toml",
        "Cargo.lock",
        "benches/scaling",
    ];
    let of_root = measured.map(|path| format!(":/{path}"));
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(of_root.iter().map(String::as_str));
    match git(&status)?.as_str() {
        "" => Some(commit),
        _ => Some(format!("{commit}, with changes that are not committed")),
    }
}

/// The output of a command, without the newline.
fn answer(command: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(command).args(args).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim_end().to_owned())
}
