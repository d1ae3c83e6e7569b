//! `bench`: the cost of a message, compared with a bare socket.
//!
//! In: what to measure. Out: figures, as a table or as JSON lines. Touches a socket of its own and
//! runs itself as the two processes at its ends.

mod args;
mod countdown;
mod driver;
mod figures;
mod floor;
mod ours;
mod pin;
mod table;
mod work;

pub(crate) use args::BenchArgs;

use std::{io::Write, path::Path};

use self::{
    args::{BenchHalf, HalfArgs},
    work::Task,
};
use crate::failure::Failure;

/// Measures, or is one of the two processes of a measurement.
pub(crate) async fn bench(mut args: BenchArgs) -> Result<(), Failure> {
    match args.half.take() {
        Some(BenchHalf::Server { path, half }) => server(&path, half).await,
        Some(BenchHalf::Client {
            path,
            work,
            size,
            count,
            half,
        }) => {
            let size = size as usize;
            client(&path, Task { work, size, count }, half).await
        }
        None => driver::drive(args).await,
    }
}

/// The half that answers.
async fn server(path: &Path, half: HalfArgs) -> Result<(), Failure> {
    half.core.map_or(Ok(()), pin::stay_on)?;
    let ready = || {
        // A driver that has ended reads nothing more.
        let _ = writeln!(std::io::stdout(), "ready");
    };
    if half.floor {
        return Ok(floor::serve(path, ready).await?);
    }
    ours::serve(path, half.queue(), ready)
        .await
        .map_err(Failure::Work)
}

/// The half that measures.
async fn client(path: &Path, task: Task, half: HalfArgs) -> Result<(), Failure> {
    half.core.map_or(Ok(()), pin::stay_on)?;
    let figures = if half.floor {
        floor::run(path, task).await?
    } else {
        ours::run(path, task, half.queue())
            .await
            .map_err(Failure::Work)?
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&figures)?)?;
    Ok(())
}
