//! The curves, in the order of the page.

mod depth;
mod documents;
mod flavour;
mod payload;
mod peers;

use crate::{
    Error,
    ours::{self, Stream},
    place::Places,
    section::{Section, Series},
    sweep::{Effort, sweep},
};

/// Data of a small message, bytes.
const SMALL: usize = 64;

/// The capacity of a queue, unless it varies.
const DEPTH: usize = 1024;

/// Measures all curves.
pub(crate) async fn all(effort: Effort) -> Result<Vec<Section>, Error> {
    let places = Places::apart()?;
    Ok(vec![
        payload::measure(effort, &places).await?,
        peers::measure(effort, &places).await?,
        documents::measure(effort, &places).await?,
        depth::measure(effort, &places).await?,
        flavour::measure(effort, &places).await?,
    ])
}

/// A stream for each of `xs`: `count` returns the number of messages, `work` their kind.
async fn streams(
    title: &'static str,
    effort: Effort,
    places: &Places,
    xs: &[usize],
    count: impl Fn(usize) -> u64,
    work: impl Fn(usize, u64) -> Stream,
) -> Result<Vec<Series>, Error> {
    let ways = [("kyneta-uds", ())];
    let count = |(), x| count(x);
    sweep(title, effort, &ways, xs, count, async |point| {
        ours::stream(places, point.path, work(point.x, point.count)).await
    })
    .await
}

/// The time at a point of a series.
fn at<X: PartialEq>(xs: &[X], times: &[f64], x: X) -> f64 {
    let found = xs.iter().zip(times).find(|(other, _)| **other == x);
    found.map_or(f64::NAN, |(_, time)| *time)
}
