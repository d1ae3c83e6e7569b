//! Watches the survivors until they are one bus again.
//!
//! In: the lines of each process. Out: the same lines in order of time, and which process listens.

use std::time::{Duration, Instant};

use super::process::{Line, Process};
use crate::failure::Failure;

/// The new listener, and how long the takeover took.
pub(super) struct Takeover {
    pub(super) listener: &'static str,
    pub(super) after: Duration,
}

/// Shows the lines of the survivors until they are one bus again.
pub(super) async fn watch(since: Instant, survivors: &mut [Process]) -> Result<Takeover, Failure> {
    let others = survivors.len().saturating_sub(1);
    let mut lines = Vec::new();
    let (mut listener, mut last) = ("none", since);
    for (index, survivor) in survivors.iter_mut().enumerate() {
        let mut state = State::default();
        while !state.settled(others) {
            let line = survivor.line().await?;
            state.read(&line.text);
            last = last.max(line.at);
            lines.push((index, line));
        }
        if state.listens {
            listener = survivor.name();
        }
    }
    lines.sort_by_key(|(_, line)| line.at);
    for (index, Line { at, text }) in lines {
        if let Some(survivor) = survivors.get(index) {
            survivor.show_after(&text, at.duration_since(since))?;
        }
    }
    let after = last.duration_since(since);
    Ok(Takeover { listener, after })
}

/// The state of one process, as it reports it.
#[derive(Default)]
struct State {
    listens: bool,
    connects: bool,
    peers: usize,
}

impl State {
    fn read(&mut self, line: &str) {
        if let Some(role) = line.strip_prefix("* ") {
            *self = Self {
                listens: role == "listener",
                connects: role == "connector",
                peers: 0,
            };
        }
        self.peers += usize::from(line.starts_with("+ "));
    }

    const fn settled(&self, others: usize) -> bool {
        (self.listens && self.peers >= others) || (self.connects && self.peers > 0)
    }
}
