//! `peer`: one of many on a path.

use kyneta_uds::{DisconnectReason, Peer, Role};

use super::{
    LAST_WORDS, Peers, handler, introduction, print::Printer, queue, report::Report, stack, stay,
    teller::Teller, window::Window,
};
use crate::{
    args,
    failure::{Chain, Failure},
    signals::Signals,
};

/// Joins the others, and stays until told to end.
pub(crate) async fn peer(args: args::Peer) -> Result<(), Failure> {
    let bus = &args.bus;
    let signals = Signals::catch()?;
    let introduction = introduction(bus, "peer")?;
    let window = Window::of(bus, &introduction).await?;
    let builder = Peer::builder(bus.path.clone())
        .establish(introduction)
        .queue(queue(bus))
        .stack(stack(bus))
        .listener(args.file.options());
    let teller = Teller::new(Printer::start(bus.json)?, builder.events());
    let telling = tokio::spawn(teller.clone().attend(builder.events()));
    let handler = handler(teller.clone(), bus.echo);
    let joining = async {
        let joined = builder.join(handler).await;
        joined
            .map(Peers::Peer)
            .map_err(|error| Failure::Work(error.into()))
    };
    let end = stay(joining, &teller, bus, window, signals).await;
    telling.abort();
    let disposed = Report::role(Role::Disposed);
    teller.finish(Some(&disposed), LAST_WORDS).await;
    match end? {
        DisconnectReason::Intentional => Ok(()),
        reason => {
            let why = Chain(&reason);
            Err(Failure::work(format!("no longer at {}: {why}", bus.path)))
        }
    }
}
