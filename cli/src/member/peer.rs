//! `peer`: a leaderless member of a path.
//!
//! In: options, lines of stdin. Out: events on stdout, an exit code. May touch: the path, its lock, the status
//! socket, stdin and stdout.

use kyneta_uds::{Peer, Role};

use super::{
    args::PeerArgs,
    event_line::EventLine,
    recipients::{Handle, joined},
    reporter::Reporter,
    run::{FLUSH_TIMEOUT, ended_at, handler, run},
    settings::{handshake, queue, stack},
    status_socket::StatusSocket,
};
use crate::{event_writer::EventWriter, failure::Failure, signals::Signals};

/// Joins the path, and stays until a request to end.
pub(crate) async fn peer(args: PeerArgs, signals: Signals) -> Result<(), Failure> {
    let member = &args.member;
    let handshake = handshake(member, "peer")?;
    let status = StatusSocket::bind(member).await?;
    let builder = Peer::builder(member.path.clone())
        .handshake(handshake)
        .queue(queue(member))
        .stack(stack(member))
        .listener(args.socket.options())
        .relay(args.relay.relays(args.echo));
    #[cfg(feature = "machines")]
    let builder = match args.machines.machines() {
        Some(machines) => builder.machines(machines),
        None => builder,
    };
    let reporter = Reporter::new(EventWriter::start(member.json)?, builder.events());
    let reporting = tokio::spawn(reporter.clone().report_events(builder.events()));
    let handler = handler(reporter.clone(), args.echo);
    #[cfg(target_os = "linux")]
    let peer = args.handoff.join(builder, handler).await?;
    #[cfg(not(target_os = "linux"))]
    let peer = builder.join_lazy(handler).await?;
    let joining = async {
        joined(&peer).await?;
        Ok(Handle::Peer(peer.clone()))
    };
    let endpoint = status.map(|status| status.serve(peer.clone()));
    let end = run(joining, &reporter, member, endpoint, signals).await;
    reporting.abort();
    let disposed = EventLine::role(Role::Disposed);
    let written = reporter.finish(Some(&disposed), FLUSH_TIMEOUT).await;
    ended_at(&member.path, end?).and(written)
}
