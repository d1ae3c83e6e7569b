//! `connect`: a client of a path.

use std::{
    future::ready,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kyneta_uds::{
    Client, ClientError, DisconnectReason, Failure as Attempt, ReconnectPolicy, Recover, Wait,
};

use super::{
    LAST_WORDS, Peers, event_line::Report, event_writer::Printer, handler, introduction, queue,
    reporter::Teller, stack, status_socket::Window, stay,
};
use crate::{
    args::Connect,
    failure::{Chain, Failure},
    signals::Signals,
};

/// Connects, comes back, and stays until told to end or until there is no coming back.
pub(crate) async fn connect(args: Connect) -> Result<(), Failure> {
    let bus = &args.bus;
    let signals = Signals::catch()?;
    let introduction = introduction(bus, "connect")?;
    let window = Window::of(bus).await?;
    let losses = Losses::default();
    let policy = Noted {
        policy: policy(&args),
        losses: losses.clone(),
    };
    let builder = Client::builder(bus.path.clone())
        .handshake(introduction)
        .queue(queue(bus))
        .stack(stack(bus))
        .reconnect(policy);
    let teller = Teller::of_client(Printer::start(bus.json)?, builder.events(), losses.clone());
    let telling = tokio::spawn(teller.clone().attend(builder.events()));
    let handler = handler(teller.clone(), bus.echo);
    let client = builder.connect_lazy(handler).await;
    let client = client.map_err(|error| Failure::Work(error.into()))?;
    let endpoint = window.map(|window| window.open(client.clone()));
    let joined = ready(Ok(Peers::Client(client)));
    let end = stay(joined, &teller, bus, endpoint, signals).await;
    telling.abort();
    let reason = match &end {
        Ok(reason) => reason,
        // Ended by this side, whatever for.
        Err(_) => &DisconnectReason::Intentional,
    };
    let last = Report::disconnected(reason);
    teller.finish(Some(&last), LAST_WORDS).await;
    match end? {
        DisconnectReason::Intentional => Ok(()),
        reason => Err(given_up(bus.path.clone(), reason, losses.last())),
    }
}

fn policy(args: &Connect) -> ReconnectPolicy {
    if args.no_reconnect {
        return ReconnectPolicy::off();
    }
    ReconnectPolicy::new()
        .max_attempts(args.retries)
        .base(Duration::from_millis(args.base_delay))
        .max(Duration::from_millis(args.max_delay))
}

/// Why there is no coming back, in a sentence.
fn given_up(
    path: kyneta_uds::SocketPath,
    reason: DisconnectReason,
    last: Option<DisconnectReason>,
) -> Failure {
    match (&reason, last) {
        (DisconnectReason::MaxRetriesExceeded { .. }, Some(last)) => {
            let last = not_connected(path, last);
            Failure::work(format!("{reason}: {}", Chain(&last)))
        }
        (DisconnectReason::Error(_), _) => Failure::Work(not_connected(path, reason).into()),
        _ => Failure::work(format!("the connection to {path} has ended: {reason}")),
    }
}

fn not_connected(path: kyneta_uds::SocketPath, reason: DisconnectReason) -> ClientError {
    let last = match &reason {
        DisconnectReason::Error(error) => Some(error.clone()),
        _ => None,
    };
    ClientError::NotConnected { path, reason, last }
}

/// The last reason that an attempt failed, or that a connection was lost for. The states do not
/// name it.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses {
    last: Arc<Mutex<Option<DisconnectReason>>>,
}

impl Losses {
    pub(super) fn last(&self) -> Option<DisconnectReason> {
        let last = self.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, reason: &DisconnectReason) {
        let last = self.last.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
    }
}

/// A policy whose reasons are noted.
#[derive(Debug, Clone)]
struct Noted {
    policy: ReconnectPolicy,
    losses: Losses,
}

impl Recover for Noted {
    fn recover(&mut self, attempt: Attempt<'_>) -> Result<Wait, DisconnectReason> {
        self.losses.note(attempt.reason());
        self.policy.recover(attempt)
    }

    fn is_on(&self) -> bool {
        self.policy.is_on()
    }
}
