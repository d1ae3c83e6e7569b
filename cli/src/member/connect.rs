//! `connect`: a client of a path.
//!
//! In: options, lines of stdin. Out: events on stdout, an exit code. May touch: the path, the status socket, stdin
//! and stdout.

use std::{future::ready, time::Duration};

use kyneta_uds::{Client, ClientError, DisconnectReason, ReconnectPolicy, SocketPath};

use super::{
    args::ConnectArgs,
    event_line::EventLine,
    last_failure::{LastFailure, RecordingPolicy},
    recipients::Handle,
    reporter::Reporter,
    run::{FLUSH_TIMEOUT, handler, run},
    settings::{handshake, queue, stack},
    status_socket::StatusSocket,
};
use crate::{
    advice,
    event_writer::EventWriter,
    failure::{Chain, Failure},
    signals::Signals,
};

/// Connects, reconnects, and ends on request or when the policy gives up.
pub(crate) async fn connect(args: ConnectArgs, signals: Signals) -> Result<(), Failure> {
    let member = &args.member;
    let handshake = handshake(member, "connect")?;
    let status = StatusSocket::bind(member).await?;
    let last = LastFailure::default();
    let policy = RecordingPolicy {
        policy: policy(&args),
        last: last.clone(),
    };
    let builder = Client::builder(member.path.clone())
        .handshake(handshake)
        .queue(queue(member))
        .stack(stack(member))
        .reconnect(policy);
    let writer = EventWriter::start(member.json)?;
    let reporter = Reporter::of_client(writer, builder.events(), last.clone());
    let reporting = tokio::spawn(reporter.clone().report_events(builder.events()));
    let handler = handler(reporter.clone(), args.echo);
    let client = builder.connect_lazy(handler).await?;
    let endpoint = status.map(|status| status.serve(client.clone()));
    let joined = ready(Ok(Handle::Client(client)));
    let end = run(joined, &reporter, member, endpoint, signals).await;
    reporting.abort();
    let reason = match &end {
        Ok(reason) => reason,
        // On a failure this side ends the connection.
        Err(_) => &DisconnectReason::Intentional,
    };
    let disconnected = EventLine::disconnected(reason);
    let written = reporter.finish(Some(&disconnected), FLUSH_TIMEOUT).await;
    match end? {
        DisconnectReason::Intentional => written,
        reason => Err(ended(member.path.clone(), reason, last.get())),
    }
}

fn policy(args: &ConnectArgs) -> ReconnectPolicy {
    if args.no_reconnect {
        return ReconnectPolicy::off();
    }
    ReconnectPolicy::new()
        .max_attempts(args.retries)
        .base(Duration::from_millis(args.base_delay))
        .max(Duration::from_millis(args.max_delay))
}

/// Why the client does not reconnect, in a sentence.
fn ended(path: SocketPath, reason: DisconnectReason, last: Option<DisconnectReason>) -> Failure {
    match (&reason, last) {
        (DisconnectReason::MaxRetriesExceeded { .. }, Some(last)) => {
            let last = not_connected(path, last);
            let advice = advice::of(&last, false);
            Failure::work(format!("{reason}: {}{advice}", Chain(&last)))
        }
        (DisconnectReason::Error(_), _) => not_connected(path, reason).into(),
        _ => Failure::work(format!("the connection to {path} has ended: {reason}")),
    }
}

fn not_connected(path: SocketPath, reason: DisconnectReason) -> ClientError {
    let last = match &reason {
        DisconnectReason::Error(error) => Some(error.clone()),
        _ => None,
    };
    ClientError::NotConnected { path, reason, last }
}
