//! The contenders. Each moves the same data through its idiomatic API with its default settings.
//!
//! In: a contender's name, a task. Out: its server or its client, in this process. May touch: the path of the task.

mod blocking;
mod cbor;
mod delimited;
mod floor;
mod framed;
mod ours;
mod tarpc;
mod tonic;
mod zeromq;

use std::{path::Path, time::Duration};

use futures::future::LocalBoxFuture;

use crate::{
    BoxError,
    link::{Link, measure},
    works::{Pace, Task},
};

/// A contender: a server and a client over one Unix socket.
trait Contender {
    const FACTS: Facts;

    /// The server, which answers as [`Task::answers`] says; calls `ready` once a client can connect.
    async fn serve(path: &Path, task: Task, ready: fn()) -> Result<(), BoxError>;

    /// The connected client, which measures.
    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError>;
}

/// The description of a contender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Its name for `--only`.
    pub(crate) name: &'static str,
    /// Its name in the table.
    pub(crate) title: &'static str,
    /// Its crate, whose version is in the table.
    pub(crate) package: &'static str,
    /// How it is used.
    pub(crate) note: &'static str,
    pub(crate) pace: Pace,
}

type Running<'a, T> = LocalBoxFuture<'a, Result<T, BoxError>>;

/// A contender as a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) facts: Facts,
    pub(crate) serve: fn(&Path, Task, fn()) -> Running<'_, ()>,
    pub(crate) run: fn(&Path, Task) -> Running<'_, Duration>,
}

const fn entry<C: Contender + 'static>() -> Entry {
    Entry {
        facts: C::FACTS,
        serve: |path, task, ready| Box::pin(C::serve(path, task, ready)),
        run: |path, task| {
            Box::pin(async move { measure(&mut C::connect(path, task).await?, task).await })
        },
    }
}

/// What the others are compared with.
pub(crate) const FLOOR: Entry = entry::<floor::Floor>();

/// All, in the table's order.
pub(crate) const ALL: [Entry; 8] = [
    FLOOR,
    entry::<ours::Ours>(),
    entry::<blocking::Blocking>(),
    entry::<delimited::Delimited>(),
    entry::<cbor::Cbor>(),
    entry::<tonic::Tonic>(),
    entry::<zeromq::ZeroMq>(),
    entry::<tarpc::Tarpc>(),
];

/// The contender of that name.
pub(crate) fn find(name: &str) -> Result<Entry, String> {
    let names = ALL.map(|entry| entry.facts.name);
    ALL.into_iter()
        .find(|entry| entry.facts.name == name)
        .ok_or_else(|| format!("there are {}", names.join(", ")))
}

/// The error when the other process ends before the work is done.
fn gone() -> BoxError {
    "the other half has gone".into()
}
