//! "Several processes edit one document": a text kept by [loro](https://loro.dev). A process that is killed
//! and started again catches up from the others.
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
//! Ctrl-D leave. The messages go to stderr: `present` (I have this document), `interest` (I want it, from
//! this version on), `offer` (here it is).
//!
//! `replica` holds the document and its messages, `schema` its identity for TypeScript peers, `edit` parses a
//! line, `bus` is the socket.

mod bus;
mod edit;
mod replica;
mod schema;

use std::{io, thread};

use kyneta_uds::BoxError;
use tokio::{signal::ctrl_c, sync::mpsc};

use crate::{bus::Bus, edit::Edit};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(name)) = (args.next(), args.next()) else {
        return Err("usage: document PATH NAME".into());
    };
    let mut bus = Bus::join(&path, &name).await?;
    let mut typed = typed();
    let mut shown = String::new();
    loop {
        tokio::select! {
            line = typed.recv() => match line {
                Some(line) => bus.edit(&Edit::parse(&line)).await?,
                None => break,
            },
            news = bus.news() => bus.take(news.ok_or("the bus has ended")?).await?,
            _ = ctrl_c() => break,
        }
        let text = bus.replica().text();
        if text != shown {
            println!("---");
            for (number, line) in (1..).zip(text.lines()) {
                println!("{number} {}", line.replace(char::is_control, "\u{fffd}"));
            }
            shown = text;
        }
    }
    bus.leave().await;
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
