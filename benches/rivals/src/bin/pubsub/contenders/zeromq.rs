//! ZeroMQ in pure Rust over `ipc://`: publishers and subscribers at a proxy.
//!
//! In: a path, a task. Out: a process in each part. May touch: two sockets beside the path; the clock, to wait until
//! subscriptions have arrived, since nothing says so.

use std::path::Path;

use bytes::Bytes;
use zeromq::{
    PubSocket, Socket as _, SocketRecv as _, SocketSend as _, SubSocket, XPubSocket, XSubSocket,
};

use crate::{
    BoxError,
    process::{Report, may_begin},
    tally::{Latencies, Tally},
    works::{Task, number_of},
};

fn front(path: &Path) -> String {
    format!("ipc://{}.front", path.display())
}

fn back(path: &Path) -> String {
    format!("ipc://{}.back", path.display())
}

async fn publisher(path: &Path) -> Result<PubSocket, BoxError> {
    let mut socket = PubSocket::new();
    socket.connect(&front(path)).await?;
    Ok(socket)
}

async fn subscriber(path: &Path, topic: &str) -> Result<SubSocket, BoxError> {
    let mut socket = SubSocket::new();
    socket.connect(&back(path)).await?;
    socket.subscribe(topic).await?;
    // Nothing says when the proxy knows of it.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    Ok(socket)
}

pub(super) async fn hub(path: &Path) -> Result<(), BoxError> {
    let (mut from, mut to) = (XSubSocket::new(), XPubSocket::new());
    from.bind(&front(path)).await?;
    to.bind(&back(path)).await?;
    Report::Ready.tell();
    Ok(zeromq::proxy(from, to, None).await?)
}

pub(super) async fn receive(path: &Path, task: Task) -> Result<(), BoxError> {
    let mut socket = subscriber(path, "").await?;
    Report::Ready.tell();
    let mut tally = Tally::new(task);
    loop {
        let message = socket.recv().await?;
        tally.count(message.get(0).ok_or("an empty message")?);
    }
}

pub(super) async fn publish(path: &Path, task: Task) -> Result<(), BoxError> {
    let mut socket = publisher(path).await?;
    may_begin().await?;
    for nth in 0..task.count {
        socket.send(Bytes::from(task.message(nth)).into()).await?;
        // `send` never waits: without this the task that writes does not run.
        if nth % 64 == 63 {
            tokio::task::yield_now().await;
        }
    }
    std::future::pending().await
}

/// A topic, then the message.
fn topical(topic: u8, message: &[u8]) -> Bytes {
    [&[topic], message].concat().into()
}

pub(super) async fn answer(path: &Path) -> Result<(), BoxError> {
    let (mut out, mut questions) = (publisher(path).await?, subscriber(path, "q").await?);
    Report::Ready.tell();
    loop {
        let message = questions.recv().await?;
        let question = message.get(0).and_then(|bytes| bytes.get(1..));
        let answer = topical(b'a', question.ok_or("an empty message")?);
        out.send(answer.into()).await?;
    }
}

pub(super) async fn ask(path: &Path, task: Task, window: u64) -> Result<Latencies, BoxError> {
    let (mut out, mut answers) = (publisher(path).await?, subscriber(path, "a").await?);
    may_begin().await?;
    let mut latencies = Latencies::new(task);
    let (mut next, mut free) = (0, window);
    loop {
        while free > 0 && next < task.count {
            latencies.asked(next);
            out.send(topical(b'q', &task.message(next)).into()).await?;
            (next, free) = (next + 1, free - 1);
        }
        let message = answers.recv().await?;
        let answer = message.get(0).and_then(|bytes| bytes.get(1..));
        if latencies.answered(number_of(answer.ok_or("an empty message")?)) {
            return Ok(latencies);
        }
        free += 1;
    }
}
