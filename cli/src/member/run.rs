//! What all members do once they are set up: serve stdin until it is time to end, then end in good order.
//!
//! In: lines of stdin, signals. Out: what each line asks for; how it ended. May touch: stdin, stdout, the member.

use std::{convert::Infallible, sync::Arc, time::Duration};

use kyneta_uds::{ChannelMsg, DisconnectReason, Incoming, SocketPath, status::Endpoint};
use tokio::{
    sync::SetOnce,
    time::{sleep, timeout},
};
use tower::{Service, service_fn};

use super::{
    args::MemberArgs,
    command_line::{Command, command},
    recipients::Handle,
    reporter::Reporter,
    send::Sends,
    settings::stall_limit,
};
use crate::{
    failure::{Chain, Failure},
    signals::Signals,
    stdin::{self, Grammar},
};

/// Limit for closing all connections: longer than a queue takes to drain.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(7);

/// Limit for writing the last events after the connections have ended.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Reports each message, and with `--echo` sends offers back.
pub(super) fn handler(
    reporter: Arc<Reporter>,
    echo: bool,
) -> impl Service<Incoming, Response = (), Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(move |incoming: Incoming| {
        let reporter = reporter.clone();
        async move {
            // These fail when stdout or the connection is closed, which other code handles.
            let _ = reporter.message(&incoming).await;
            if echo && matches!(incoming.message, ChannelMsg::Offer(_)) {
                let _ = incoming.from().queue(incoming.message).await;
            }
            Ok(())
        }
    })
}

/// Why it is time to end.
enum End {
    /// stdin asked for it.
    Quit,
    Signal,
    Failed(Failure),
    Disconnected(DisconnectReason),
}

/// An end that was not asked for is a failure.
pub(super) fn ended_at(path: &SocketPath, reason: DisconnectReason) -> Result<(), Failure> {
    match reason {
        DisconnectReason::Intentional => Ok(()),
        reason => {
            let why = Chain(&reason);
            Err(Failure::work(format!("no longer at {path}: {why}")))
        }
    }
}

/// Serves stdin until it is time to end, and ends in good order. Sends wait until `joining` is done.
pub(super) async fn run(
    joining: impl Future<Output = Result<Handle, Failure>>,
    reporter: &Arc<Reporter>,
    args: &MemberArgs,
    endpoint: Option<Endpoint>,
    mut signals: Signals,
) -> Result<DisconnectReason, Failure> {
    let grammar = Grammar {
        command,
        quit: || Command::Quit,
        is_quit: |command| matches!(command, Command::Quit),
    };
    let stdin::Input { mut lines, quit } = stdin::read(grammar, args.max_frame, args.stay)?;
    let joined = Arc::new(SetOnce::new());
    let (mut sends, reporting) = Sends::new(joined.clone(), reporter.clone(), stall_limit(args));
    let member = async {
        match joining.await {
            Ok(handle) => {
                // Set once, here.
                let _ = joined.set(handle.clone());
                End::Disconnected(handle.closed().await)
            }
            Err(failure) => End::Failed(failure),
        }
    };
    // Sends that were read before the quit may still wait, but not for ever.
    let quit_timeout = async {
        quit.wait().await;
        sleep(SHUTDOWN_TIMEOUT).await;
    };
    let end = tokio::select! {
        () = signals.recv() => End::Signal,
        () = sends.until_quit(&mut lines) => End::Quit,
        () = quit_timeout => End::Quit,
        failure = reporter.broken() => End::Failed(failure),
        end = member => end,
    };
    sends.give_up(lines);
    let second_signal = async {
        if let End::Quit = end {
            signals.recv().await;
        }
        signals.recv().await;
    };
    let dispose = async {
        if let Some(handle) = joined.get() {
            handle.dispose().await;
        }
    };
    let done = tokio::select! {
        () = dispose => Ok(()),
        () = sleep(SHUTDOWN_TIMEOUT) => {
            tracing::warn!("not all messages were sent within {SHUTDOWN_TIMEOUT:?}");
            Ok(())
        }
        () = second_signal => Err(Failure::work("second signal: ended without sending what waits")),
    };
    if let Some(endpoint) = endpoint {
        endpoint.close().await;
    }
    if done.is_ok() {
        let _ = timeout(FLUSH_TIMEOUT, reporting).await;
    }
    match end {
        End::Quit | End::Signal => done.map(|()| DisconnectReason::Intentional),
        End::Failed(failure) => Err(failure),
        End::Disconnected(reason) => Ok(reason),
    }
}
