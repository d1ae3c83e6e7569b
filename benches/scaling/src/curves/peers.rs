//! By the number of peers that one process sends to.
//!
//! In: numbers of peers, an effort. Out: the time of a message to all of them, and verdicts on the slope. May touch:
//! sockets in a directory of its own, the clock.

use super::{SMALL, at};
use crate::{
    Error, bare,
    ours::{self, Fan},
    place::Places,
    section::{Axis, Section, Series, Ticks},
    sweep::{Effort, sweep},
    verdict::{Cost, changed},
};

const PEERS: [usize; 7] = [1, 3, 10, 30, 100, 300, 1000];

/// The capacity of a peer's queue: so small that a thousand peers have as much time to catch up as ten, and that not
/// all messages fit into the queues at once.
const WAITING: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Queued,
    Awaited,
    Bare,
}

pub(super) async fn measure(effort: Effort, places: &Places) -> Result<Section, Error> {
    let title = "Number of peers";
    let ways = [
        ("kyneta-uds, queued", Way::Queued),
        ("kyneta-uds, awaited", Way::Awaited),
        ("bare tokio, a write each", Way::Bare),
    ];
    let count = |way, peers: usize| {
        let (all, fewest) = match way {
            Way::Queued => (600_000, 10 * WAITING as u64),
            Way::Awaited | Way::Bare => (100_000, 200),
        };
        (all / peers as u64).max(fewest)
    };
    let series = sweep(title, effort, &ways, &PEERS, count, async |point| {
        let (peers, size, count) = (point.x, SMALL, point.count);
        let taken = match point.way {
            Way::Bare => bare::fan(places, point.path, peers, size, count).await?,
            way => {
                let work = Fan {
                    peers,
                    depth: WAITING,
                    size,
                    count,
                    awaited: way == Way::Awaited,
                };
                ours::fan(places, point.path, work).await?
            }
        };
        Ok(taken / u32::try_from(peers)?)
    })
    .await?;
    Ok(Section {
        name: "peers",
        title,
        about: "Offers of 64 B from a server to each of its clients. Queued: each message is queued \
            with each peer, 64 of them wait for a peer at most. Awaited: `Server::broadcast`, which \
            is ready when every kernel has taken the message. Beside them bare tokio: a write to \
            each socket for each message.",
        x: Axis {
            label: "peers",
            ticks: Ticks::Counts(PEERS.to_vec()),
        },
        per: "message and peer",
        verdicts: series.iter().map(verdict).collect(),
        series,
    })
}

fn verdict(Series { name, times }: &Series) -> String {
    let of = |peers| at(&PEERS, times, peers);
    let (ten, thousand) = (
        Cost(of(10), "to each of 10"),
        Cost(of(1000), "to each of 1,000"),
    );
    changed(name, ten, thousand, "flat per message")
}
