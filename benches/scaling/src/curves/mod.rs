//! The curves, in the order of the page.

mod depth;
mod documents;
mod flavour;
mod payload;
mod peers;

use crate::{Error, place::Places, section::Section, sweep::Effort};

/// Of a small message's data, bytes.
const SMALL: usize = 64;

/// What a queue holds unless it is what varies.
const DEPTH: usize = 1024;

/// Measures them all.
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

/// The time at a point of a series that holds it.
fn at<X: PartialEq>(xs: &[X], times: &[f64], x: X) -> f64 {
    let found = xs.iter().zip(times).find(|(other, _)| **other == x);
    found.map_or(f64::NAN, |(_, time)| *time)
}
