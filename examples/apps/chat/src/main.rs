//! "I want to see the failover": a chat in the terminal, without a server. The first process listens and the
//! others connect to it. Kill it, and one of the others takes over while the chat goes on.
//!
//! In examples/apps, one line in each of three terminals:
//!
//! ```sh
//! cargo run -p chat -- /tmp/chat.sock alice       # the first: "listener" in its title
//! cargo run -p chat -- /tmp/chat.sock bob         # "connector"
//! cargo run -p chat -- /tmp/chat.sock carol       # "connector"
//! kill -9 ...                                     # in a fourth: the pid is in the title
//! ```
//!
//! Enter sends a line. Esc, Ctrl-C and SIGTERM leave, which the others see. (After `kill -9` restore the
//! terminal with Ctrl-J, `reset`, Ctrl-J.)
//!
//! `bus` turns messages and events into inputs, `app` is the state of the screen, `ui` draws it.

mod app;
mod bus;
mod ui;

use futures_util::StreamExt as _;
use kyneta_uds::BoxError;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{Event, EventStream},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app::{App, Input, Wish},
    bus::Bus,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(name)) = (args.next(), args.next()) else {
        return Err("usage: chat PATH NAME".into());
    };
    println!("joining the others at {path}"); // a listener that does not answer is waited for
    let mut bus = Bus::join(&path, &name).await?;
    let mut terminal = ratatui::try_init()?; // a panic restores it, too
    let left = chat(&mut terminal, &mut bus, App::new(&name, std::process::id())).await;
    ratatui::restore();
    bus.leave().await;
    left
}

async fn chat(terminal: &mut DefaultTerminal, bus: &mut Bus, mut app: App) -> Result<(), BoxError> {
    let mut keys = EventStream::new();
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        terminal.draw(|frame| ui::render(frame, &app))?;
        let input = tokio::select! {
            biased; // keys first, however many messages arrive
            event = keys.next() => match event.ok_or("the terminal has gone")?? {
                Event::Key(key) if key.is_press() => Some(Input::Key(key)),
                _ => None, // a new size is drawn
            },
            _ = terminate.recv() => return Ok(()),
            input = bus.next() => Some(input.ok_or("the bus has ended")?),
        };
        match input.and_then(|input| app.update(input)) {
            Some(Wish::Say(text)) => bus.say(text).await?,
            Some(Wish::Leave) => return Ok(()),
            None => {}
        }
    }
}
