//! `status`: the status of a running process.
//!
//! In: a status socket. Out: its answer, on stdout; of the socket of a bus or of a kyneta path, its members. Touches
//! the socket, once or once a second.

mod args;
mod found;
mod request;
mod view;

use std::{
    fmt::Display,
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use self::{
    found::{Found, find},
    view::View,
};
use crate::{
    bus::{members_json, members_text},
    failure::{Chain, Failure},
    signals::Signals,
    stdout,
    style::Style,
};
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
        // The last reason that there is nothing to show.
        let mut absent = None;
        loop {
            ticks.tick().await;
            let shown = match find(&args.path).await {
                Ok(found) => print(&args, &found),
                Err(failure) => Err(failure),
            };
            match shown {
                Ok(()) => absent = None,
                Err(Failure::Work(error)) if args.watch => {
                    let why = Chain(&*error).to_string();
                    if absent.as_ref() != Some(&why) {
                        eprintln!("kyneta-uds: {why}; waiting for it");
                        absent = Some(why);
                    }
                }
                Err(failure) => return Err(failure),
            }
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

fn print(args: &StatusArgs, found: &Found) -> Result<(), Failure> {
    let json = match found {
        Found::Status(json) => json,
        Found::Members(look) if args.json => {
            let line = members_json(&args.path, look).to_string();
            return stdout::print_line(line.as_bytes());
        }
        Found::Members(look) => return show(args, members_text(&args.path, look)),
    };
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
    show(args, view)
}

fn show(args: &StatusArgs, view: impl Display) -> Result<(), Failure> {
    let clear = match args.watch && stdout().is_terminal() {
        true => CLEAR,
        false => "",
    };
    stdout::print_line(format!("{clear}{view}").trim_end().as_bytes())
}
