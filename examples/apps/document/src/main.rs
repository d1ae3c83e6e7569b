//! "Several processes edit one document": a text kept by [loro](https://loro.dev). A process that is killed
//! and started again catches up from the others. A TypeScript service on the same path takes part with
//! `loro.bind(Schema.struct({ text: Schema.text() }))`.
//!
//! In examples/apps, one line in each of three terminals:
//!
//! ```sh
//! cargo run -p document -- /tmp/document.sock a
//! cargo run -p document -- /tmp/document.sock b
//! cargo run -p document -- /tmp/document.sock c
//! ```
//!
//! Type in any of them: `milk` appends a line, `+1 eggs` inserts one before the first, `-2` removes the
//! second. Kill one with Ctrl-\ or `kill -9`, type in the others, start it again. Ctrl-C and
//! Ctrl-D leave.
//!
//! `shared` is the document on the socket, `edit` parses a line.

mod edit;
mod shared;

use std::{error::Error, io, thread};

use tokio::{signal::ctrl_c, sync::mpsc};

use crate::{edit::Edit, shared::Shared};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(name)) = (args.next(), args.next()) else {
        return Err("usage: document PATH NAME".into());
    };
    let shared = Shared::join(&path, &name).await?;
    let mut changes = shared.changes();
    let mut typed = typed();
    loop {
        println!("---");
        for (number, line) in (1..).zip(shared.text()?.lines()) {
            println!("{number} {}", line.replace(char::is_control, "\u{fffd}"));
        }
        tokio::select! {
            line = typed.recv() => match line {
                Some(line) => shared.edit(&Edit::parse(&line))?,
                None => break,
            },
            change = changes.next() => if change.is_none() { break },
            _ = ctrl_c() => break,
        }
    }
    shared.leave().await;
    Ok(())
}

/// Lines of stdin. A thread reads them, because a blocked read cannot be cancelled.
fn typed() -> mpsc::Receiver<String> {
    let (typed, lines) = mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if typed.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}
