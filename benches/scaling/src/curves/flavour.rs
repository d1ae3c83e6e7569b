//! By the runtimes of the two ends.

use super::{DEPTH, SMALL};
use crate::{
    Error, bare,
    ours::{self, Stream},
    place::{Place, Places},
    section::{Axis, Section, Series, Ticks},
    sweep::{Effort, sweep},
};

#[derive(Clone, Copy)]
enum Way {
    Ours,
    Bare,
}

pub(super) async fn measure(effort: Effort, apart: &Places) -> Result<Section, Error> {
    let title = "Flavour of the runtime";
    let flavours = [
        ("`current_thread`, one for each end", apart.clone()),
        (
            "`current_thread`, one for both",
            Places::together(Place::thread()?),
        ),
        (
            "`multi_thread`, two workers for both",
            Places::together(Place::pool(2)?),
        ),
    ];
    let ways = [("kyneta-uds", Way::Ours), ("bare tokio", Way::Bare)];
    let places: Vec<_> = flavours.iter().map(|(_, places)| places).collect();
    let series = sweep(
        title,
        effort,
        &ways,
        &places,
        |_, _| 1_000_000,
        async |point| match point.way {
            Way::Bare => bare::stream(point.x, point.path, SMALL, point.count).await,
            Way::Ours => {
                let work = Stream {
                    depth: DEPTH,
                    docs: 1,
                    size: SMALL,
                    count: point.count,
                };
                ours::stream(point.x, point.path, work).await
            }
        },
    )
    .await?;
    Ok(Section {
        name: "flavour",
        title,
        about: "Offers of 64 B, one way over one connection, as above, on tokio's runtimes.",
        x: Axis {
            label: "runtime",
            ticks: Ticks::Names(flavours.iter().map(|(name, _)| *name).collect()),
        },
        per: "message",
        verdicts: series.iter().map(verdict).collect(),
        series,
    })
}

fn verdict(Series { name, times }: &Series) -> String {
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    let most = times.iter().copied().fold(0.0, f64::max);
    format!(
        "{name}: the dearest costs {:.1} times what the cheapest does.",
        most / least
    )
}
