//! Being on a bus: `peer`, `listen` and `connect`.
//!
//! In: JSON lines on stdin, messages from peers. Out: events on stdout, messages to peers. Touches
//! the socket, and stdin and stdout by a thread of their own each, so that neither ever holds up
//! the connections by more than the queues allow.

mod connect;
mod event_line;
mod event_writer;
mod listen;
mod message_summary;
mod peer;
mod recipients;
mod reporter;
mod send;
mod status_socket;
mod stdin;

pub(crate) use connect::connect;
pub(crate) use listen::listen;
pub(crate) use peer::peer;

use std::{convert::Infallible, sync::Arc, time::Duration};

use kyneta_uds::{
    CborLayer, ChannelMsg, DefaultStack, DisconnectReason, Features, FramingLayer, HandshakeLayer,
    Identity, Incoming, Overflow, QueueConfig, SocketPath, UnixConnector, status::Endpoint,
};
use tokio::{
    sync::SetOnce,
    time::{sleep, timeout},
};
use tower::{Layer as _, Service, service_fn};

use self::{recipients::Peers, reporter::Teller, send::Sends, stdin::Commands};
use crate::{
    args::Bus,
    failure::{Chain, Failure},
    signals::Signals,
};

/// How long parting from all peers may take: what a queue has for draining, and some more.
const PARTING: Duration = Duration::from_secs(7);

/// How long the last words may take after the connections have ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Who this is, in a role.
fn introduction(bus: &Bus, role: &str) -> Result<HandshakeLayer, Failure> {
    let id = bus
        .id
        .clone()
        .unwrap_or_else(|| format!("{role}-{}", std::process::id()));
    let usage = |error: kyneta_uds::TextTooLong| Failure::Usage(error.to_string());
    let peer_id = kyneta_uds::PeerId::new(id).map_err(usage)?;
    let mut identity = Identity::new(peer_id, bus.peer_type);
    if let Some(name) = &bus.name {
        identity = identity.named(name.clone()).map_err(usage)?;
    }
    let layer = HandshakeLayer::new(identity);
    let without_aliases = Features {
        alias: Some(false),
        ..Features::default()
    };
    Ok(if bus.no_alias {
        layer.features(without_aliases)
    } else {
        layer
    })
}

fn stack(bus: &Bus) -> DefaultStack {
    let framing = FramingLayer::new()
        .wire(bus.wire.mode())
        .max_frame(bus.max_frame as usize);
    CborLayer::new().layer(framing.layer(UnixConnector::new()))
}

fn queue(bus: &Bus) -> QueueConfig {
    QueueConfig::default()
        .max_messages(bus.max_queue)
        .overflow(Overflow::Disconnect {
            after: stall_limit(bus),
        })
}

fn stall_limit(bus: &Bus) -> Duration {
    Duration::from_millis(bus.stall_limit)
}

/// Tells of each message, and sends offers back if asked to.
fn handler(
    teller: Arc<Teller>,
    echo: bool,
) -> impl Service<Incoming, Response = (), Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(move |incoming: Incoming| {
        let teller = teller.clone();
        async move {
            // Once nobody reads stdout, or the sender has gone, the command or the connection ends
            // by itself.
            let _ = teller.message(&incoming).await;
            if echo && matches!(incoming.message, ChannelMsg::Offer(_)) {
                let _ = incoming.from().queue(incoming.message).await;
            }
            Ok(())
        }
    })
}

/// Why it is time to end.
enum Why {
    /// By stdin.
    Asked,
    Told,
    Failed(Failure),
    Deserted(DisconnectReason),
}

/// An end that was not asked for is a failure.
fn ended_at(path: &SocketPath, reason: DisconnectReason) -> Result<(), Failure> {
    match reason {
        DisconnectReason::Intentional => Ok(()),
        reason => {
            let why = Chain(&reason);
            Err(Failure::work(format!("no longer at {path}: {why}")))
        }
    }
}

/// Serves stdin until it is time to end, and ends in good order. What is to be sent waits until
/// `joining` has come to something.
async fn stay(
    joining: impl Future<Output = Result<Peers, Failure>>,
    teller: &Arc<Teller>,
    bus: &Bus,
    endpoint: Option<Endpoint>,
    mut signals: Signals,
) -> Result<DisconnectReason, Failure> {
    let Commands { mut asked, quit } = stdin::commands(bus.max_frame, bus.stay)?;
    let joined = Arc::new(SetOnce::new());
    let (mut sends, telling) = Sends::new(joined.clone(), teller.clone(), stall_limit(bus));
    let staying = async {
        match joining.await {
            Ok(peers) => {
                // Set once, here.
                let _ = joined.set(peers.clone());
                Why::Deserted(peers.deserted().await)
            }
            Err(failure) => Why::Failed(failure),
        }
    };
    let patience = async {
        quit.wait().await;
        sleep(PARTING).await;
    };
    let why = tokio::select! {
        () = signals.recv() => Why::Told,
        () = sends.until_quit(&mut asked) => Why::Asked,
        () = patience => Why::Asked,
        failure = teller.broken() => Why::Failed(failure),
        why = staying => why,
    };
    sends.give_up(asked);
    let told_twice = async {
        if let Why::Asked = why {
            signals.recv().await;
        }
        signals.recv().await;
    };
    let parting = async {
        if let Some(peers) = joined.get() {
            peers.clone().dispose().await;
        }
    };
    let done = tokio::select! {
        () = parting => Ok(()),
        () = sleep(PARTING) => {
            tracing::warn!("not all was sent within {PARTING:?}");
            Ok(())
        }
        () = told_twice => Err(Failure::work("told to end twice: what waited is not sent")),
    };
    if let Some(endpoint) = endpoint {
        endpoint.close().await;
    }
    // What was sent is told of, unless nobody listens or nobody has the patience.
    if done.is_ok() {
        let _ = timeout(LAST_WORDS, telling).await;
    }
    match why {
        Why::Asked | Why::Told => done.map(|()| DisconnectReason::Intentional),
        Why::Failed(failure) => Err(failure),
        Why::Deserted(reason) => Ok(reason),
    }
}
