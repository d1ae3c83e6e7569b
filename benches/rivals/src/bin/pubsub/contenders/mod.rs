//! The contenders: each passes the same bytes from one process through a hub to the others.
//!
//! In: a contender's name, a part. Out: that part of it, in this process. What a reader of the table has to know of
//! it is its `note`.

mod bus;
mod floor;
mod zeromq;

use std::path::Path;

use clap::ValueEnum;

use crate::{
    BoxError,
    tally::Latencies,
    works::{Pace, Task},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// A task that copies chunks from one socket to the others
    Floor,
    /// The bus of kyneta-uds
    Bus,
    /// The bus, whose futures do not wait for acknowledgements
    Fast,
    /// ZeroMQ in pure Rust
    Zeromq,
}

use Contender::{Bus, Fast, Floor, Zeromq};

/// What the others are compared with.
pub(crate) const FLOOR: Contender = Floor;

/// All, in the table's order.
pub(crate) const ALL: [Contender; 4] = [Floor, Bus, Fast, Zeromq];

impl Contender {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Floor => "floor",
            Bus => "bus",
            Fast => "fast",
            Zeromq => "zeromq",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Floor => "relay of chunks",
            Bus => "**kyneta-uds bus**",
            Fast => "**the same, `Delivery::Fast`**",
            Zeromq => "zeromq",
        }
    }

    pub(crate) const fn note(self) -> &'static str {
        match self {
            Floor => {
                "the floor, a task that copies chunks of up to 64 KiB and parses nothing; no framing"
            }
            Bus => {
                "a `Bus<Bytes>`; its listener is a member too and gets each message. A publish is not awaited"
            }
            Fast => "the same, but for the futures",
            Zeromq => {
                "a proxy from XSUB to XPUB; the publisher yields after 64 messages, which then lie in its memory"
            }
        }
    }

    pub(crate) const fn pace(self) -> Pace {
        match self {
            Floor => Pace {
                published: [20e6, 2e6, 40e3],
                asked: 600e3,
            },
            Bus | Fast => Pace {
                published: [2e6, 600e3, 15e3],
                asked: 100e3,
            },
            Zeromq => Pace {
                published: [150e3, 120e3, 8e3],
                asked: 80e3,
            },
        }
    }

    /// The hub, which says that it is ready.
    pub(crate) async fn hub(self, path: &Path, task: Task) -> Result<(), BoxError> {
        match self {
            Floor => floor::hub(path, task).await,
            Bus | Fast => bus::hub(path).await,
            Zeromq => zeromq::hub(path).await,
        }
    }

    /// A receiver, which says that it is ready.
    pub(crate) async fn receive(
        self,
        path: &Path,
        number: usize,
        task: Task,
    ) -> Result<(), BoxError> {
        match self {
            Floor => floor::receive(path, task).await,
            Bus | Fast => bus::receive(path, number, task).await,
            Zeromq => zeromq::receive(path, task).await,
        }
    }

    /// A publisher, which waits until it may begin.
    pub(crate) async fn publish(self, path: &Path, task: Task) -> Result<(), BoxError> {
        match self {
            Floor => floor::publish(path, task).await,
            Bus => bus::publish(path, task, false).await,
            Fast => bus::publish(path, task, true).await,
            Zeromq => zeromq::publish(path, task).await,
        }
    }

    /// Answers, and says that it is ready.
    pub(crate) async fn answer(self, path: &Path, task: Task) -> Result<(), BoxError> {
        match self {
            Floor => floor::answer(path, task).await,
            Bus | Fast => bus::answer(path).await,
            Zeromq => zeromq::answer(path).await,
        }
    }

    /// Asks with so many requests in flight, when it may begin.
    pub(crate) async fn ask(
        self,
        path: &Path,
        task: Task,
        window: u64,
    ) -> Result<Latencies, BoxError> {
        match self {
            Floor => floor::ask(path, task, window).await,
            Bus | Fast => bus::ask(path, task, window).await,
            Zeromq => zeromq::ask(path, task, window).await,
        }
    }
}
