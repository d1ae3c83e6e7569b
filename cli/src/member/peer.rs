//! `peer`: one of many on a path.

use kyneta_uds::{Peer, Role};

use super::{
    LAST_WORDS, Peers, ended_at, event_line::Report, event_writer::Printer, handler, introduction,
    queue, reporter::Teller, stack, status_socket::Window, stay,
};
use crate::{args, failure::Failure, signals::Signals};

/// Joins the others, and stays until told to end.
pub(crate) async fn peer(args: args::Peer) -> Result<(), Failure> {
    let bus = &args.bus;
    let signals = Signals::catch()?;
    let introduction = introduction(bus, "peer")?;
    let window = Window::of(bus).await?;
    let builder = Peer::builder(bus.path.clone())
        .handshake(introduction)
        .queue(queue(bus))
        .stack(stack(bus))
        .listener(args.file.options());
    let teller = Teller::new(Printer::start(bus.json)?, builder.events());
    let telling = tokio::spawn(teller.clone().attend(builder.events()));
    let handler = handler(teller.clone(), bus.echo);
    let peer = builder.join_lazy(handler).await;
    let peer = peer.map_err(|error| Failure::Work(error.into()))?;
    let joining = async {
        let joined = peer.joined().await;
        joined.map_err(|error| Failure::Work(error.into()))?;
        Ok(Peers::Peer(peer.clone()))
    };
    let endpoint = window.map(|window| window.open(peer.clone()));
    let end = stay(joining, &teller, bus, endpoint, signals).await;
    telling.abort();
    let disposed = Report::role(Role::Disposed);
    teller.finish(Some(&disposed), LAST_WORDS).await;
    ended_at(&bus.path, end?)
}
