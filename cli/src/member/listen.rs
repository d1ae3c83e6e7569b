//! `listen`: the server of a path.

use std::future::ready;

use kyneta_uds::Server;

use super::{
    LAST_WORDS, Peers, ended_at, event_line::Report, event_writer::Printer, handler, introduction,
    queue, reporter::Teller, stack, status_socket::Window, stay,
};
use crate::{args::Listen, failure::Failure, signals::Signals};

/// Listens until told to end.
pub(crate) async fn listen(args: Listen) -> Result<(), Failure> {
    let bus = &args.bus;
    let signals = Signals::catch()?;
    let introduction = introduction(bus, "listen")?;
    let window = Window::of(bus).await?;
    let builder = Server::builder(bus.path.clone())
        .handshake(introduction)
        .queue(queue(bus))
        .stack(stack(bus))
        .listener(args.file.options().cleanup(!args.no_cleanup));
    let teller = Teller::new(Printer::start(bus.json)?, builder.events());
    let wake = builder.events();
    let server = builder
        .listen(handler(teller.clone(), bus.echo))
        .await
        .map_err(|error| Failure::Work(error.into()))?;
    // No connection is accepted before this task has waited for something.
    teller
        .report(&Report::Listening {
            path: bus.path.to_string(),
        })
        .await?;
    let telling = tokio::spawn(teller.clone().attend(wake));
    let endpoint = window.map(|window| window.open(server.clone()));
    let joined = ready(Ok(Peers::Server(server)));
    let end = stay(joined, &teller, bus, endpoint, signals).await;
    telling.abort();
    teller.finish(None, LAST_WORDS).await;
    ended_at(&bus.path, end?)
}
