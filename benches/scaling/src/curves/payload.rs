//! By the size of a message.
//!
//! In: sizes, an effort. Out: the time of a message at each size, and what a byte costs. May touch: sockets in a
//! directory of its own, the clock.

use super::{DEPTH, at};
use crate::{
    Error, bare,
    ours::{self, Stream},
    place::Places,
    section::{Axis, Section, Series, Ticks, bytes},
    sweep::{Effort, sweep},
    verdict::{Cost, changed},
};

const SIZES: [usize; 11] = [
    0,
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
];

/// Sizes at which the cost is proportional to the bytes: payloads that fit into the processor's caches, and larger ones.
const STRETCHES: [(usize, usize); 2] = [(64 << 10, 1 << 20), (1 << 20, 16 << 20)];

#[derive(Clone, Copy)]
enum Way {
    Ours,
    Bare,
}

pub(super) async fn measure(effort: Effort, places: &Places) -> Result<Section, Error> {
    let title = "Size of a message";
    let ways = [("kyneta-uds", Way::Ours), ("bare tokio", Way::Bare)];
    // Half a gibibyte, if that is not too many messages.
    let count = |_, size: usize| ((512 << 20) / (size as u64 + 64)).min(1_000_000);
    let series = sweep(
        title,
        effort,
        &ways,
        &SIZES,
        count,
        async |point| match point.way {
            Way::Bare => bare::stream(places, point.path, point.x, point.count).await,
            Way::Ours => {
                let work = Stream {
                    depth: DEPTH,
                    docs: 1,
                    size: point.x,
                    count: point.count,
                };
                ours::stream(places, point.path, work).await
            }
        },
    )
    .await?;
    Ok(Section {
        name: "payload",
        title,
        about: "Offers of one document, one way over one connection, queued by the sender as fast as \
            its queue lets it. Beside it bare tokio: frames with a header of ten bytes, written \
            together up to 64 KiB, read in blocks of 64 KiB and not put together. 0 B is not drawn: the axis \
            is logarithmic.",
        x: Axis {
            label: "payload",
            ticks: Ticks::Bytes(SIZES.to_vec()),
        },
        per: "message",
        verdicts: verdicts(&series),
        series,
    })
}

/// The cost of a byte.
fn verdicts(series: &[Series]) -> Vec<String> {
    let mut verdicts = Vec::new();
    for Series { name, times } in series {
        for (from, to) in STRETCHES {
            let names = [from, to].map(|size| format!("a byte of {}", bytes(size)));
            let [at_from, at_to] = &names;
            let of_a_byte = |size| at(&SIZES, times, size) / size as f64;
            verdicts.push(changed(
                name,
                Cost(of_a_byte(from), at_from),
                Cost(of_a_byte(to), at_to),
                "linear in bytes",
            ));
        }
    }
    verdicts
}
