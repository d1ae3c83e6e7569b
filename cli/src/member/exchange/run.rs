//! `exchange`: joins, opens documents, and does what stdin says until it is time to end.
//!
//! In: options, lines of stdin, signals. Out: events on stdout. May touch: the path, the store, the files of schemas.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use kyneta_uds::{
    Client, DisconnectReason, Peer, Role, Server,
    documents::{Exchange, ExchangeBuilder, NotStored, Redb},
};
use tokio::time::{sleep, timeout};

use super::{
    super::{
        event_line::EventLine,
        recipients::{self, Handle},
        reporter::Reporter,
        run::{FLUSH_TIMEOUT, SHUTDOWN_TIMEOUT, ended_at},
        settings::{handshake, queue, stack},
        status_socket::StatusSocket,
    },
    args::ExchangeArgs,
    commands::Commands,
    input::{self, Command},
    kinds, report,
};
use crate::{
    event_writer::EventWriter,
    failure::{Chain, Failure},
    signals::Signals,
    stdin::{self, Grammar},
};

/// The name of the command, for an id by default.
const COMMAND: &str = "exchange";

/// Takes part in documents, until a request to end.
pub(crate) async fn exchange(args: ExchangeArgs, mut signals: Signals) -> Result<(), Failure> {
    let member = &args.member;
    let identity = handshake(member, COMMAND)?.establish().identity.clone();
    let mut builder = kinds::builder(identity);
    for opening in &args.open {
        builder = builder.schema(opening.substrate, opening.schema()?);
    }
    if args.replicate {
        builder = builder.replicate();
    }
    builder = with_store(&args, builder).await?;
    let status = StatusSocket::bind(member).await?;
    let writer = EventWriter::start(member.json)?;
    let Started {
        exchange,
        handle,
        reporter,
        reporting,
    } = start(&args, builder, writer).await?;
    let mut documents = tokio::spawn(report::events(
        exchange.clone(),
        exchange.events(),
        reporter.clone(),
        args.store.is_some(),
    ));
    let endpoint = status.map(|status| match handle.clone() {
        Handle::Server(server) => status.serve(server),
        Handle::Client(client) => status.serve(client),
        Handle::Peer(peer) => status.serve(peer),
    });
    let end = run(&args, &exchange, &handle, &reporter, &mut signals).await;
    let disposed = tokio::select! {
        () = exchange.dispose() => Ok(()),
        () = sleep(SHUTDOWN_TIMEOUT) => {
            tracing::warn!("not all changes were sent within {SHUTDOWN_TIMEOUT:?}");
            Ok(())
        }
        () = signals.recv() => Err(Failure::work("second signal: ended without sending what waits")),
    };
    if let Some(endpoint) = endpoint {
        endpoint.close().await;
    }
    reporting.abort();
    let stored = all_stored(&exchange);
    drop(exchange);
    // What was changed last is still reported.
    let _ = timeout(Duration::from_millis(100), &mut documents).await;
    documents.abort();
    let last = matches!(handle, Handle::Peer(_)).then(|| EventLine::role(Role::Disposed));
    let written = reporter.finish(last.as_ref(), FLUSH_TIMEOUT).await;
    disposed?;
    stored?;
    ended_at(&member.path, end?).and(written)
}

/// With a store, what the documents hold is in it, and no document that was destroyed. Looked at when it was written for the last time.
fn all_stored(exchange: &Exchange) -> Result<(), Failure> {
    let documents = exchange.documents();
    let lost = documents
        .iter()
        .filter_map(|doc| match doc.stored().now_or_never() {
            None => Some(format!(
                "{} is not stored: the store was not written within {SHUTDOWN_TIMEOUT:?}",
                doc.id()
            )),
            Some(Err(error @ NotStored::Failed { .. })) => Some(error.to_string()),
            Some(_) => None,
        });
    let undeleted = exchange.undeleted();
    let kept = undeleted
        .iter()
        .map(|doc| format!("{doc} was destroyed, and the store may have it still"));
    let mut lost = lost.chain(kept);
    let Some(first) = lost.next() else {
        return Ok(());
    };
    Err(Failure::work(match lost.count() {
        0 => first,
        others => format!("{first}; and the store lacks changes of {others} other documents"),
    }))
}

/// How long a store is waited for that the predecessor has not closed yet.
#[cfg(target_os = "linux")]
const STORE: Duration = Duration::from_secs(10);

/// With the store, if there is one. One that is taken over is opened when its process has closed it.
async fn with_store(
    args: &ExchangeArgs,
    builder: ExchangeBuilder,
) -> Result<ExchangeBuilder, Failure> {
    let Some(dir) = args.store.clone() else {
        #[cfg(target_os = "linux")]
        if args.handoff.offers() {
            let why = "--take-over and --offer-handoff need --store DIR: without a store the documents of this process \
                       would be lost with it";
            return Err(Failure::Usage(why.to_owned()));
        }
        return Ok(builder);
    };
    #[cfg(target_os = "linux")]
    if args.handoff.takes_over() {
        return Ok(builder.store(Redb::awaited(dir, STORE)));
    }
    let opening = tokio::task::spawn_blocking(move || Redb::open(dir));
    let opened = opening
        .await
        .map_err(|panic| Failure::work(panic.to_string()))?;
    Ok(builder.store(opened.map_err(|error| Failure::work(Chain(&error).to_string()))?))
}

struct Started {
    exchange: Exchange,
    handle: Handle,
    reporter: Arc<Reporter>,
    reporting: tokio::task::JoinHandle<()>,
}

/// Takes the role that was asked for.
async fn start(
    args: &ExchangeArgs,
    builder: ExchangeBuilder,
    writer: EventWriter,
) -> Result<Started, Failure> {
    let member = &args.member;
    let path = member.path.clone();
    let follow =
        |reporter: &Arc<Reporter>, wake| tokio::spawn(reporter.clone().report_events(wake));
    if args.listen {
        let server = Server::builder(path)
            .handshake(handshake(member, COMMAND)?)
            .queue(queue(member))
            .stack(stack(member))
            .listener(args.socket.options());
        let reporter = Reporter::new(writer, server.events());
        let wake = server.events();
        #[cfg(target_os = "linux")]
        let exchange = match args.handoff.takes_over() {
            true => builder.take_over_server_with(server.take_over()).await?,
            false => {
                let server = args.handoff.offering(server);
                builder.server_with(server).await?
            }
        };
        #[cfg(not(target_os = "linux"))]
        let exchange = builder.server_with(server).await?;
        let path = member.path.to_string();
        reporter.report(&EventLine::Listening { path }).await?;
        let reporting = follow(&reporter, wake);
        let handle = exchange.server().cloned().map(Handle::Server);
        return started(exchange, handle, reporter, reporting);
    }
    if args.connect {
        let client = Client::builder(path)
            .handshake(handshake(member, COMMAND)?)
            .queue(queue(member))
            .stack(stack(member));
        let reporter = Reporter::new(writer, client.events());
        let reporting = follow(&reporter, client.events());
        #[cfg(target_os = "linux")]
        if args.handoff.offers() {
            let why = "a connector has no connections to hand over: end it, and start the next one";
            reporter
                .report(&EventLine::error("not-taken-over", why))
                .await?;
        }
        let exchange = builder.client_lazy_with(client).await?;
        let handle = exchange.client().cloned().map(Handle::Client);
        return started(exchange, handle, reporter, reporting);
    }
    let peer = Peer::builder(path)
        .handshake(handshake(member, COMMAND)?)
        .queue(queue(member))
        .stack(stack(member))
        .listener(args.socket.options());
    #[cfg(feature = "machines")]
    let peer = match args.machines.machines() {
        Some(machines) => peer.machines(machines),
        None => peer,
    };
    let reporter = Reporter::new(writer, peer.events());
    let reporting = follow(&reporter, peer.events());
    #[cfg(target_os = "linux")]
    let exchange = match args.handoff.takes_over() {
        true => builder.take_over_with(peer.take_over()).await?,
        false => {
            let peer = args.handoff.offering(peer);
            builder.join_lazy_with(peer).await?
        }
    };
    #[cfg(not(target_os = "linux"))]
    let exchange = builder.join_lazy_with(peer).await?;
    let handle = exchange.peer().cloned().map(Handle::Peer);
    started(exchange, handle, reporter, reporting)
}

fn started(
    exchange: Exchange,
    handle: Option<Handle>,
    reporter: Arc<Reporter>,
    reporting: tokio::task::JoinHandle<()>,
) -> Result<Started, Failure> {
    match handle {
        Some(handle) => Ok(Started {
            exchange,
            handle,
            reporter,
            reporting,
        }),
        None => Err(Failure::work("the exchange has no role")),
    }
}

/// Until it is time to end.
async fn run(
    args: &ExchangeArgs,
    exchange: &Exchange,
    handle: &Handle,
    reporter: &Reporter,
    signals: &mut Signals,
) -> Result<DisconnectReason, Failure> {
    if let Some(why) = exchange.unreadable_store() {
        return Err(Failure::work(why));
    }
    for opening in &args.open {
        let schema = opening.schema()?;
        let opened = exchange.open(opening.doc.clone(), opening.substrate, &schema);
        opened.map_err(|error| Failure::Usage(Chain(&error).to_string()))?;
    }
    let grammar = Grammar {
        command: input::command,
        quit: || Command::Quit,
        is_quit: |command: &Command| matches!(command, Command::Quit),
    };
    let member = &args.member;
    let stdin::Input { mut lines, quit } = stdin::read(grammar, member.max_frame, member.stay)?;
    let commands = async {
        // So that the first edits find what the others have.
        joined(handle).await?;
        let mut commands = Commands::new(exchange, handle, reporter, args.store.is_some());
        while let Some(line) = lines.recv().await {
            let next = || lines.try_recv().ok();
            if commands.execute(line, next).await? {
                return Ok(());
            }
        }
        std::future::pending().await
    };
    let quit_timeout = async {
        quit.wait().await;
        sleep(SHUTDOWN_TIMEOUT).await;
    };
    tokio::select! {
        () = signals.recv() => Ok(DisconnectReason::Intentional),
        done = commands => done.map(|()| DisconnectReason::Intentional),
        () = quit_timeout => Ok(DisconnectReason::Intentional),
        failure = reporter.broken() => Err(failure),
        reason = handle.closed() => Ok(reason),
    }
}

async fn joined(handle: &Handle) -> Result<(), Failure> {
    match handle {
        Handle::Server(_) => {}
        Handle::Client(client) => {
            client
                .wait_for(|state| !matches!(state, kyneta_uds::State::Connecting { .. }))
                .await;
        }
        Handle::Peer(peer) => recipients::joined(peer).await?,
    }
    Ok(())
}
