//! `listen`: the server of a path.
//!
//! In: options, lines of stdin. Out: events on stdout, an exit code. May touch: the path, its lock, the status
//! socket, stdin and stdout.

use std::future::ready;

use kyneta_uds::Server;

use super::{
    args::ListenArgs,
    event_line::EventLine,
    recipients::Handle,
    reporter::Reporter,
    run::{FLUSH_TIMEOUT, ended_at, handler, run},
    settings::{handshake, queue, stack},
    status_socket::StatusSocket,
};
use crate::{event_writer::EventWriter, failure::Failure, signals::Signals};

/// Listens until a request to end.
pub(crate) async fn listen(args: ListenArgs, signals: Signals) -> Result<(), Failure> {
    let member = &args.member;
    let handshake = handshake(member, "listen")?;
    let status = StatusSocket::bind(member).await?;
    let builder = Server::builder(member.path.clone())
        .handshake(handshake)
        .queue(queue(member))
        .stack(stack(member))
        .listener(args.socket.options().cleanup(!args.no_cleanup))
        .relay(args.relay.relays(args.echo));
    let reporter = Reporter::new(EventWriter::start(member.json)?, builder.events());
    let events = builder.events();
    let handler = handler(reporter.clone(), args.echo);
    #[cfg(target_os = "linux")]
    let server = args.handoff.listen(builder, handler).await?;
    #[cfg(not(target_os = "linux"))]
    let server = builder.listen(handler).await?;
    // Comes first: nothing is accepted before this task waits for something.
    let path = member.path.to_string();
    reporter.report(&EventLine::Listening { path }).await?;
    let reporting = tokio::spawn(reporter.clone().report_events(events));
    let endpoint = status.map(|status| status.serve(server.clone()));
    let joined = ready(Ok(Handle::Server(server)));
    let end = run(joined, &reporter, member, endpoint, signals).await;
    reporting.abort();
    let written = reporter.finish(None, FLUSH_TIMEOUT).await;
    ended_at(&member.path, end?).and(written)
}
