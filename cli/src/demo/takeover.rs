//! Those who are left find each other again.
//!
//! In: what each of them says. Out: the same in the order in which it was said, and who listens now.
//! Touches nothing else.

use std::time::{Duration, Instant};

use super::process::{Actor, Line};
use crate::failure::Failure;

/// Who listens now, and how long it took.
pub(super) struct Takeover {
    pub(super) listener: &'static str,
    pub(super) after: Duration,
}

/// Shows what the survivors say until they are one bus again.
pub(super) async fn watch(since: Instant, survivors: &mut [Actor]) -> Result<Takeover, Failure> {
    let others = survivors.len().saturating_sub(1);
    let mut said = Vec::new();
    let (mut listener, mut last) = ("nobody", since);
    for (index, survivor) in survivors.iter_mut().enumerate() {
        let mut standing = Standing::default();
        while !standing.settled(others) {
            let line = survivor.line().await?;
            standing.hear(&line.text);
            last = last.max(line.at);
            said.push((index, line));
        }
        if standing.listens {
            listener = survivor.name();
        }
    }
    said.sort_by_key(|(_, line)| line.at);
    for (index, Line { at, text }) in said {
        if let Some(survivor) = survivors.get(index) {
            survivor.show_after(&text, at.duration_since(since))?;
        }
    }
    let after = last.duration_since(since);
    Ok(Takeover { listener, after })
}

/// How one of them stands, by its own account.
#[derive(Default)]
struct Standing {
    listens: bool,
    connects: bool,
    met: usize,
}

impl Standing {
    fn hear(&mut self, line: &str) {
        if let Some(role) = line.strip_prefix("* ") {
            *self = Self {
                listens: role == "listener",
                connects: role == "connector",
                met: 0,
            };
        }
        self.met += usize::from(line.starts_with("+ "));
    }

    const fn settled(&self, others: usize) -> bool {
        (self.listens && self.met >= others) || (self.connects && self.met > 0)
    }
}
