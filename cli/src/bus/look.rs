//! `who` and `tap`: look at a bus or a kyneta path without joining it.
//!
//! In: a path. Out: lines on stdout, frames in a file. Touches the socket, and that file.

use std::{fs::File, io::Write as _};

use kyneta_uds::bus::{tap as tap_path, who as who_path};

use super::{
    args::{TapArgs, WhoArgs},
    members::{member_json, table},
    passed::Writer,
};
use crate::{failure::Failure, signals::Signals, stdout::print_line};

/// Prints the members.
pub(crate) async fn who(args: WhoArgs) -> Result<(), Failure> {
    let look = who_path(args.path).await?;
    if !args.json {
        return print_line(table(&look).trim_end().as_bytes());
    }
    for member in look.present() {
        print_line(member_json(member).to_string().as_bytes())?;
    }
    Ok(())
}

/// Prints what passes.
pub(crate) async fn tap(args: TapArgs, mut signals: Signals) -> Result<(), Failure> {
    let path = args.path.clone();
    let mut tap = tokio::select! {
        () = signals.recv() => return Ok(()),
        tap = tap_path(args.path) => tap?,
    };
    let mut raw = match &args.raw {
        Some(file) => {
            let created = File::create(file);
            let name = file.display();
            Some(created.map_err(|error| Failure::work(format!("{name}: {error}")))?)
        }
        None => None,
    };
    let mut writer = Writer::new(tap.kind());
    let mut seen = 0;
    while args.count.is_none_or(|count| seen < count) {
        let passed = tokio::select! {
            () = signals.recv() => return Ok(()),
            passed = tap.next() => passed?,
        };
        let Some(passed) = passed else {
            return Err(Failure::work(format!("the listener at {path} has ended")));
        };
        seen += 1;
        if let Some(raw) = &mut raw {
            raw.write_all(&writer.frame(&passed)?)?;
        }
        let line = match args.json {
            true => writer.json(&passed),
            false => writer.text(&passed),
        };
        print_line(line.as_bytes())?;
    }
    Ok(())
}
