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

use serde::de::IgnoredAny;
use tokio::time::{MissedTickBehavior, interval};

use self::{
    found::{Found, find},
    view::View,
};
use crate::{
    bus::{members_json, members_text},
    failure::{Chain, Failure},
    logs::say,
    signals::Signals,
    stdout,
    style::{Escaped, Style},
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
            let line = find(&args.path).await;
            match line.and_then(|found| line_of(&args, &found)) {
                Ok(line) => {
                    absent = None;
                    stdout::print_line(&line)?;
                }
                Err(Failure::Work(error)) if args.watch => {
                    let why = Chain(&*error).to_string();
                    if absent.as_ref() != Some(&why) {
                        say(format_args!("kyneta-uds: {why}; waiting for it"));
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

/// What is printed of it.
fn line_of(args: &StatusArgs, found: &Found) -> Result<Vec<u8>, Failure> {
    let json = match found {
        Found::Status(json) => json,
        Found::Members(look) if args.json => {
            return Ok(members_json(&args.path, look).to_string().into());
        }
        Found::Members(look) => return Ok(shown(args, members_text(&args.path, look))),
    };
    // The error can hold text of what listens there.
    let no_status = |error: serde_json::Error| {
        let (what, why) = ("answers, but not with a status", error.to_string());
        Failure::work(format!("{}: {what}: {}", args.path, Escaped(&why)))
    };
    if args.json {
        serde_json::from_slice::<IgnoredAny>(json).map_err(no_status)?;
        // In JSON it is but space between two items.
        let is_end = |byte: u8| matches!(byte, b'\n' | b'\r');
        let json = json.trim_ascii_end().iter();
        return Ok(json
            .map(|byte| if is_end(*byte) { b' ' } else { *byte })
            .collect());
    }
    let snapshot = serde_json::from_slice(json).map_err(no_status)?;
    let view = View {
        snapshot: &snapshot,
        style: Style::of_stdout(),
    };
    Ok(shown(args, view))
}

fn shown(args: &StatusArgs, view: impl Display) -> Vec<u8> {
    let clear = match args.watch && stdout().is_terminal() {
        true => CLEAR,
        false => "",
    };
    format!("{clear}{view}").trim_end().into()
}
