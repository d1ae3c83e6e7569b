//! `reach`: the path of another machine, at a path of this one.
//!
//! In: connections at the path here. Out: a stream to the other machine for each. May touch: these.

use std::{net::SocketAddr, time::Duration};

use kyneta_uds::{BoxError, Chain, Listener, ListenerEvent, machines::Remote};
use kyneta_uds_iroh::{IrohConnector, IrohStream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};
use tower::ServiceExt as _;

use super::{CONNECTED, Line, NOT_CONNECTED, OPEN, ReachArgs, engine, pass};
use crate::{event_writer::EventWriter, failure::Failure, signals::Signals};

/// How long the other machine may take to connect to its path.
const OPENING: Duration = Duration::from_secs(5);

/// How long the end of the connections may take.
const END: Duration = Duration::from_secs(2);

/// Listens at the path until a request to end.
pub(crate) async fn reach(args: ReachArgs, mut signals: Signals) -> Result<(), Failure> {
    let events = EventWriter::start(args.json)?;
    let any = match args.machine.address {
        SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
    };
    let engine = engine(&args.key, any).await?;
    let mut listener = args.socket.options().bind(args.path.clone()).await?;
    let Remote { key, address, .. } = &args.machine;
    events.put(&Line::Listening {
        path: args.path.to_string(),
        machine: format!("{key}@{address}"),
    });
    let connector = engine.connector();
    let end = tokio::select! {
        failure = serve(&mut listener, &args.machine, &connector, &events) => Err(failure),
        () = signals.recv() => Ok(()),
        failure = events.broken() => Err(failure),
    };
    let closed = listener.close();
    let _ = timeout(END, engine.close()).await;
    let written = events.finish(END).await;
    closed?;
    end.and(written)
}

/// Takes connections, until the path is another's.
async fn serve(
    listener: &mut Listener,
    machine: &Remote<SocketAddr>,
    connector: &IrohConnector,
    events: &EventWriter,
) -> Failure {
    loop {
        match listener.next().await {
            ListenerEvent::Accepted(local, permit) => {
                let (events, machine) = (events.clone(), machine.clone());
                let connector = connector.clone();
                tokio::spawn(async move {
                    carry(local, machine, connector, &events).await;
                    drop(permit);
                });
            }
            ListenerEvent::Lost(_) => {
                if let Err(error) = listener.restore().await {
                    return error.into();
                }
            }
            // The listener logs what it rejects.
            _ => {}
        }
    }
}

/// One connection, until it ends.
async fn carry(
    local: UnixStream,
    machine: Remote<SocketAddr>,
    connector: IrohConnector,
    events: &EventWriter,
) {
    let name = machine.key.to_string();
    let refused = |reason| events.put(&Line::splice(&name, "refused", Some(reason)));
    match timeout(OPENING, open(connector, machine)).await {
        Ok(Ok(remote)) => pass(local, remote, events, &name).await,
        Ok(Err(error)) => refused(Chain(&*error).to_string()),
        Err(_) => refused(format!("it has not answered within {OPENING:?}")),
    }
}

async fn open(
    connector: IrohConnector,
    machine: Remote<SocketAddr>,
) -> Result<IrohStream, BoxError> {
    let mut remote = connector.oneshot(machine).await?;
    remote.write_all(&[OPEN]).await?;
    match remote.read_u8().await {
        Ok(CONNECTED) => Ok(remote),
        Ok(NOT_CONNECTED) => Err("it exposes a path at which no process listens".into()),
        Ok(other) => Err(format!("it speaks another version of this protocol: {other}").into()),
        Err(error) => Err(format!("it may not allow this machine's key: {error}").into()),
    }
}
