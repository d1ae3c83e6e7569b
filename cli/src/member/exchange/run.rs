//! `exchange`: joins, opens documents, and does what stdin says until it is time to end.

use std::{collections::HashSet, sync::Arc, time::Duration};

use kyneta_uds::{
    Client, DisconnectReason, DocId, Peer, Role, Server,
    documents::{Document, Exchange, ExchangeBuilder},
};
use tokio::time::{sleep, timeout};

use super::{
    super::{
        event_line::EventLine,
        recipients::Handle,
        reporter::Reporter,
        run::{FLUSH_TIMEOUT, SHUTDOWN_TIMEOUT, ended_at},
        settings::{handshake, queue, stack},
        status_socket::StatusSocket,
    },
    args::{ExchangeArgs, builder as builder_of_kinds},
    edit::edit,
    input::{self, Action, Command},
    report,
};
use crate::{
    event_writer::EventWriter,
    failure::{Chain, Failure},
    signals::Signals,
    stdin::{self, Grammar, InputLine},
};

/// The name of the command, for an id by default.
const COMMAND: &str = "exchange";

/// How long the first edit of a document waits for what the others have: an edit made before it would begin another
/// history of a serialized document.
const SYNC_TIMEOUT: Duration = Duration::from_millis(500);

/// Takes part in documents, until a request to end.
pub(crate) async fn exchange(args: ExchangeArgs, mut signals: Signals) -> Result<(), Failure> {
    let member = &args.member;
    let identity = handshake(member, COMMAND)?.establish().identity.clone();
    let mut builder = builder_of_kinds(identity);
    for opening in &args.open {
        builder = builder.schema(opening.substrate, opening.schema()?);
    }
    if args.replicate {
        builder = builder.replicate();
    }
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
    drop(exchange);
    // What was changed last is still reported.
    let _ = timeout(Duration::from_millis(100), &mut documents).await;
    documents.abort();
    let last = matches!(handle, Handle::Peer(_)).then(|| EventLine::role(Role::Disposed));
    reporter.finish(last.as_ref(), FLUSH_TIMEOUT).await;
    disposed?;
    ended_at(&member.path, end?)
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
        let exchange = builder.client_lazy_with(client).await?;
        let handle = exchange.client().cloned().map(Handle::Client);
        return started(exchange, handle, reporter, reporting);
    }
    let peer = Peer::builder(path)
        .handshake(handshake(member, COMMAND)?)
        .queue(queue(member))
        .stack(stack(member))
        .listener(args.socket.options());
    let reporter = Reporter::new(writer, peer.events());
    let reporting = follow(&reporter, peer.events());
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
        let mut synced = HashSet::new();
        while let Some(line) = lines.recv().await {
            if execute(line, exchange, handle, reporter, &mut synced).await? {
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
        Handle::Peer(peer) => {
            peer.joined().await?;
        }
    }
    Ok(())
}

/// It listens, and there is no other process.
fn is_alone(handle: &Handle) -> bool {
    match handle {
        Handle::Server(server) => server.connection_count() == 0,
        Handle::Client(_) => false,
        Handle::Peer(peer) => peer.role() == Role::Listener && peer.connection_count() == 0,
    }
}

/// Does what a line says; true for the end.
async fn execute(
    line: InputLine<Command>,
    exchange: &Exchange,
    handle: &Handle,
    reporter: &Reporter,
    synced: &mut HashSet<DocId>,
) -> Result<bool, Failure> {
    let (id, action) = match line {
        Ok(Command::Quit) => return Ok(true),
        Ok(Command::Doc(id, action)) => (id, action),
        Err(what) => {
            let line = EventLine::error("not-understood", what);
            return reporter.report(&line).await.map(|()| false);
        }
    };
    let Some(doc) = exchange.get(&id) else {
        let what = format!("there is no document {id}");
        let line = EventLine::error("no-document", what);
        return reporter.report(&line).await.map(|()| false);
    };
    if synced.insert(id) && !is_alone(handle) {
        // A peer may never answer.
        let _ = timeout(SYNC_TIMEOUT, doc.synced()).await;
    }
    act(&doc, action, reporter).await.map(|()| false)
}

async fn act(doc: &Document, action: Action, reporter: &Reporter) -> Result<(), Failure> {
    if action == Action::Destroy {
        doc.clone().destroy();
        return Ok(());
    }
    if let Some(edit) = edit(doc.schema(), action)
        && let Err(error) = doc.edit(&[edit])
    {
        let what = format!("{}: {}", doc.id(), Chain(&error));
        return reporter.report(&EventLine::error("not-edited", what)).await;
    }
    report::document(doc, reporter).await
}
