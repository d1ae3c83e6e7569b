//! `connect`: a client of a path.

use kyneta_uds::{Client, DisconnectReason};

use super::{
    LAST_WORDS, Peers, handler, introduction,
    print::Printer,
    queue,
    report::{Reason, Report, State},
    stack, stay,
    teller::{Role, Teller},
};
use crate::{
    args::Bus,
    failure::{Chain, Failure},
    signals::Signals,
};

/// Connects, and stays until told to end or until the connection ends.
pub(crate) async fn connect(bus: Bus) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let builder = Client::builder(bus.path.clone())
        .establish(introduction(&bus, "connect")?)
        .queue(queue(&bus))
        .stack(stack(&bus));
    let teller = Teller::new(Role::Connector, Printer::start(bus.json)?, builder.events());
    let wake = builder.events();
    let connecting = State {
        attempt: Some(1),
        ..State::new("connecting")
    };
    teller.report(&Report::State(connecting)).await?;
    let connected = tokio::select! {
        connected = builder.connect(handler(teller.clone(), bus.echo)) => connected,
        () = signals.recv() => {
            disconnected(&teller, Reason::of(&DisconnectReason::Intentional)).await;
            return Ok(());
        }
    };
    let client = match connected {
        Ok(client) => client,
        Err(error) => {
            let message = Some(Chain(&error).to_string());
            disconnected(
                &teller,
                Reason {
                    kind: "error",
                    message,
                },
            )
            .await;
            return Err(Failure::Work(error.into()));
        }
    };
    let telling = tokio::spawn(teller.clone().attend(wake));
    let end = stay(Peers::OfClient(client), &teller, &bus, signals).await;
    telling.abort();
    if let Ok(reason) = &end {
        disconnected(&teller, Reason::of(reason)).await;
    }
    match end? {
        DisconnectReason::Intentional => Ok(()),
        reason => {
            let why = Chain(&reason);
            Err(Failure::work(format!(
                "the connection to {} has ended: {why}",
                bus.path
            )))
        }
    }
}

/// The last thing that is told.
async fn disconnected(teller: &Teller, reason: Reason<'_>) {
    let last = Report::State(State {
        reason: Some(reason),
        ..State::new("disconnected")
    });
    teller.finish(Some(&last), LAST_WORDS).await;
}
