//! By the capacity of the queue.

use super::{SMALL, at, streams};
use crate::{
    Error,
    ours::Stream,
    place::Places,
    section::{Axis, Section, Series, Ticks},
    sweep::Effort,
    verdict::{Cost, changed},
};

const DEPTHS: [usize; 7] = [1, 4, 16, 64, 256, 1024, 4096];

pub(super) async fn measure(effort: Effort, places: &Places) -> Result<Section, Error> {
    let title = "Depth of the queue";
    let count = |depth: usize| (100_000 * depth as u64).min(1_000_000);
    let work = |depth, count| Stream {
        depth,
        docs: 1,
        size: SMALL,
        count,
    };
    let series = streams(title, effort, places, &DEPTHS, count, work).await?;
    Ok(Section {
        name: "depth",
        title,
        about: "Offers of 64 B, one way over one connection, `QueueConfig::max_messages` of them \
            waiting at most. With room for one, each message is a turn of the driver and a write of \
            its own; with room for many, they share both.",
        x: Axis {
            label: "messages that may wait",
            ticks: Ticks::Counts(DEPTHS.to_vec()),
        },
        per: "message",
        verdicts: series.iter().flat_map(verdicts).collect(),
        series,
    })
}

fn verdicts(Series { name, times }: &Series) -> Vec<String> {
    let of = |depth| at(&DEPTHS, times, depth);
    let (some, many) = (
        Cost(of(64), "with room for 64"),
        Cost(of(4096), "with room for 4,096"),
    );
    vec![
        format!(
            "{name}: with room for one a message costs {:.1} times what it does with room for 1,024.",
            of(1) / of(1024)
        ),
        changed(name, some, many, "flat per message"),
    ]
}
