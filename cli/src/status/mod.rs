//! `status`: looks at one that runs.
//!
//! In: a status socket. Out: what it says, on stdout. Touches the socket, once or once a second.

mod request;
mod view;

use std::{
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use self::{request::ask, view::View};
use crate::{args::Status, failure::Failure, signals::Signals, stdout, style::Style};

/// How often `--watch` asks.
const AGAIN: Duration = Duration::from_secs(1);

/// The cursor to the top left, and nothing below it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Asks and prints, once or until told to end.
pub(crate) async fn status(args: Status) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let looking = async {
        let mut ticks = interval(AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            print(&args, &ask(&args.path).await?)?;
            if !args.watch {
                return Ok(());
            }
        }
    };
    tokio::select! {
        done = looking => done,
        () = signals.recv() => Ok(()),
    }
}

fn print(args: &Status, json: &[u8]) -> Result<(), Failure> {
    if args.json {
        return stdout::line(json.trim_ascii_end());
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
    stdout::line(format!("{clear}{view}").trim_end().as_bytes())
}
