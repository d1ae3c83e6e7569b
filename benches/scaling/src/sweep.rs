//! Measures each point of each series several times and computes the medians.
//!
//! In: points and a function that measures one. Out: series. Touches stderr, for progress, and a directory of its own
//! for the sockets.

use std::{path::Path, time::Duration};

use tokio::time::timeout;

use crate::{Error, section::Series};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    /// The fraction of the messages that is sent.
    part: u64,
}

impl Effort {
    pub(crate) const fn thorough(rounds: u32) -> Self {
        Self { rounds, part: 1 }
    }

    pub(crate) const fn quick() -> Self {
        Self {
            rounds: 1,
            part: 20,
        }
    }

    pub(crate) const fn is_quick(self) -> bool {
        self.part > 1
    }

    /// How many of `all` messages to send.
    const fn of(self, all: u64) -> u64 {
        let count = all / self.part;
        if count == 0 { 1 } else { count }
    }
}

/// One measurement to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point<'a, W, X> {
    pub(crate) way: W,
    pub(crate) x: X,
    /// The path of its socket.
    pub(crate) path: &'a Path,
    /// The number of messages.
    pub(crate) count: u64,
}

/// Longer than any point takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// `count` returns the number of messages of a point, `once` measures it. The times are per message.
///
/// All points are measured once before any is measured again, so that a short load on the machine affects a round and
/// not a point.
pub(crate) async fn sweep<W: Copy, X: Copy>(
    title: &str,
    effort: Effort,
    ways: &[(&'static str, W)],
    xs: &[X],
    count: impl Fn(W, X) -> u64,
    mut once: impl AsyncFnMut(Point<'_, W, X>) -> Result<Duration, Error>,
) -> Result<Vec<Series>, Error> {
    let directory = tempfile::Builder::new()
        .prefix("kyneta-uds-scaling-")
        .tempdir()?;
    let mut times = vec![Vec::new(); ways.len() * xs.len()];
    for round in 1..=effort.rounds {
        eprintln!("{title}: round {round} of {}", effort.rounds);
        let points = xs
            .iter()
            .flat_map(|x| ways.iter().map(move |way| (*x, *way)));
        for (number, ((x, (name, way)), times)) in points.zip(&mut times).enumerate() {
            let point = Point {
                way,
                x,
                path: &directory.path().join(format!("{round}-{number}.sock")),
                count: effort.of(count(way, x)),
            };
            let late = |_| format!("{title}, {name}: not done within {PATIENCE:?}");
            let taken = timeout(PATIENCE, once(point)).await.map_err(late)??;
            times.push(taken.as_nanos() as f64 / point.count as f64);
        }
    }
    let medians: Vec<_> = times.into_iter().map(median).collect();
    let series = ways.iter().enumerate().map(|(number, (name, _))| Series {
        name,
        times: medians
            .iter()
            .copied()
            .skip(number)
            .step_by(ways.len())
            .collect(),
    });
    Ok(series.collect())
}

/// The middle one; of an even number, the upper of the two.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
