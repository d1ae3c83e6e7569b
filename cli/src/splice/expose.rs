//! `expose`: other machines reach a path of this one.
//!
//! In: streams of machines whose keys are allowed. Out: a connection to the path for each. May touch: these.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use kyneta_uds::{
    Chain, SocketPath, UnixConnector,
    machines::{Accept as _, Accepted, MachineKey},
};
use kyneta_uds_iroh::IrohStream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower::ServiceExt as _;

use super::{CONNECTED, ExposeArgs, Line, NOT_CONNECTED, OPEN, engine, pass};
use crate::{event_writer::EventWriter, failure::Failure, signals::Signals};

/// How many connections there may be at once.
const MAX_CONNECTIONS: usize = 1024;

/// How long a machine may take to say what it wants.
const OPENING: Duration = Duration::from_secs(3);

/// How long the end of the connections may take.
const END: Duration = Duration::from_secs(2);

/// Exposes a path until a request to end.
pub(crate) async fn expose(args: ExposeArgs, mut signals: Signals) -> Result<(), Failure> {
    let events = EventWriter::start(args.json)?;
    let engine = engine(&args.key, args.machine_listen).await?;
    let mut acceptor = engine.acceptor();
    let allowed: BTreeSet<_> = args.allow_key.into_iter().collect();
    events.put(&Line::Listening {
        path: args.path.to_string(),
        machine: format!("{}@{}", engine.key(), engine.address()),
    });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let failure = loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = signals.recv() => break None,
            failure = events.broken() => break Some(failure),
        };
        let Some(accepted) = accepted else { break None };
        let machine = accepted.key();
        let place = match admit(&allowed, machine, &places) {
            Ok(place) => place,
            Err(reason) => {
                let machine = machine.to_string();
                events.put(&Line::splice(&machine, "refused", Some(reason)));
                continue;
            }
        };
        let (events, path) = (events.clone(), args.path.clone());
        tokio::spawn(async move {
            serve(accepted, path, &events).await;
            drop(place);
        });
    };
    // The others see the end at once.
    let _ = timeout(END, engine.close()).await;
    let written = events.finish(END).await;
    failure.map_or(written, Err)
}

fn admit(
    allowed: &BTreeSet<MachineKey>,
    machine: MachineKey,
    places: &Arc<Semaphore>,
) -> Result<OwnedSemaphorePermit, String> {
    if !allowed.contains(&machine) {
        return Err("its key is not allowed here: see --allow-key".to_owned());
    }
    let full = |_| format!("there are {MAX_CONNECTIONS} connections, the most there may be");
    places.clone().try_acquire_owned().map_err(full)
}

/// One connection, until it ends.
async fn serve(accepted: Accepted<IrohStream>, path: SocketPath, events: &EventWriter) {
    let machine = accepted.key().to_string();
    let refused = |reason| events.put(&Line::splice(&machine, "refused", Some(reason)));
    let opened = timeout(OPENING, open(accepted));
    let mut remote = match opened.await {
        Ok(Ok(remote)) => remote,
        Ok(Err(error)) => return refused(error.to_string()),
        Err(_) => return refused(format!("it has said nothing for {OPENING:?}")),
    };
    let connect = UnixConnector::new().oneshot(path.into());
    let (local, answer) = match connect.await {
        Ok(local) => (Some(local), CONNECTED),
        Err(error) => {
            refused(Chain(&error).to_string());
            (None, NOT_CONNECTED)
        }
    };
    let answered = remote.write_all(&[answer]).await;
    match (local, answered) {
        (Some(local), Ok(())) => pass(local, remote, events, &machine).await,
        (Some(_), Err(error)) => refused(error.to_string()),
        (None, _) => drop(remote.shutdown().await),
    }
}

async fn open(accepted: Accepted<IrohStream>) -> io::Result<IrohStream> {
    let mut remote = accepted.open().await?;
    match remote.read_u8().await? {
        OPEN => Ok(remote),
        other => {
            let what = format!("it speaks another version of this protocol: {other}");
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
    }
}
