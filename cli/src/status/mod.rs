//! `status`: the status of a running process.
//!
//! In: a status socket. Out: its answer, on stdout. Touches the socket, once or once a second.

mod args;
mod request;
mod view;

use std::{
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use self::{request::get_status, view::View};
use crate::{failure::Failure, signals::Signals, stdout, style::Style};
pub(crate) use args::StatusArgs;

/// How often `--watch` asks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Moves the cursor to the top left and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Asks and prints, once or until a signal.
pub(crate) async fn status(args: StatusArgs, mut signals: Signals) -> Result<(), Failure> {
    let requests = async {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            print(&args, &get_status(&args.path).await?)?;
            if !args.watch {
                return Ok(());
            }
        }
    };
    tokio::select! {
        done = requests => done,
        () = signals.recv() => Ok(()),
    }
}

fn print(args: &StatusArgs, json: &[u8]) -> Result<(), Failure> {
    if args.json {
        return stdout::print_line(json.trim_ascii_end());
    }
    let snapshot = serde_json::from_slice(json).map_err(|error| {
        let what = "answers, but not with a status";
        Failure::work(format!("{}: {what}: {error}", args.path))
    })?;
    let view = View {
        snapshot: &snapshot,
        style: Style::of_stdout(),
    };
    let clear = match args.watch && stdout().is_terminal() {
        true => CLEAR,
        false => "",
    };
    stdout::print_line(format!("{clear}{view}").trim_end().as_bytes())
}
