//! `doc`: lists, shows, sets and follows documents at a path where a process listens.
//!
//! In: the path. Out: documents on stdout. It joins as a client, so that it never becomes the listener.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::{Args, ValueHint};
use kyneta_uds::{
    Client, DocEntry, DocId, Identity, ReconnectPolicy, SocketPath, State, WireVersion,
    documents::{Document, Exchange, Json, Policy, Resolve, Schema},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    args::read_schema,
    edit::edit,
    input::Action,
    kinds::builder,
    listed::{self, substrate},
    witness::passed_on,
};
use crate::{
    failure::{Chain, Failure},
    logs::say,
    option_values::socket_path,
    signals::Signals,
    stdout::broken_is_quiet,
};

/// How long nothing new must come before all documents are known.
const QUIET: Duration = Duration::from_millis(250);

/// How long that may take.
pub(super) const LIMIT: Duration = Duration::from_secs(3);

/// How long a lost document is waited for between two attempts.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct DocArgs {
    /// The socket: a file, or @name in Linux's abstract namespace
    #[arg(value_hint = ValueHint::FilePath, value_parser = socket_path)]
    path: SocketPath,

    /// The document; without it all are listed
    doc: Option<String>,

    /// What to show or set in it: the names of fields, keys of records and indices of lists, with dots between
    #[arg(value_name = "PATH-IN-DOC")]
    field: Option<String>,

    /// The value to set, as JSON; what is no JSON is a text
    #[arg(requires = "schema", allow_hyphen_values = true)]
    value: Option<String>,

    /// The schema of the document, which setting a field needs
    #[arg(long, value_name = "SCHEMA.json", value_hint = ValueHint::FilePath)]
    schema: Option<PathBuf>,

    /// Show it again when it has changed, whichever process listens, until it is interrupted
    #[arg(long, requires = "doc")]
    watch: bool,
}

/// The documents that the others have presented: of one id, there may be several.
type Presented = Arc<Mutex<BTreeMap<DocId, Vec<DocEntry>>>>;

/// How a look ended.
enum End {
    Done,
    /// The listener has ended while the document was followed.
    Lost,
}

/// Lists, shows, sets or follows.
pub(crate) async fn doc(args: DocArgs, mut signals: Signals) -> Result<(), Failure> {
    let mut shown = None;
    let mut pause = SHORTEST;
    loop {
        match session(&args, &mut shown, &mut signals).await {
            Ok(End::Done) => return Ok(()),
            Ok(End::Lost) => {
                say(format_args!(
                    "the listener at {} has ended: waiting for another",
                    args.path
                ));
                pause = SHORTEST;
            }
            Err(failure) if !args.watch || shown.is_none() => return Err(failure),
            // There is no listener yet, or it has not got the document yet.
            Err(_) => pause = (pause * 2).min(LONGEST),
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = signals.recv() => return Ok(()),
        }
    }
}

/// One connection, until its work is done or a signal comes. `shown` is what was shown last.
async fn session(
    args: &DocArgs,
    shown: &mut Option<String>,
    signals: &mut Signals,
) -> Result<End, Failure> {
    let presented = Presented::default();
    let joined = tokio::select! {
        joined = join(args, &presented) => joined?,
        () = signals.recv() => None,
    };
    let Some(Joined {
        exchange,
        wanted,
        schema,
    }) = joined
    else {
        return Ok(End::Done);
    };
    let done = tokio::select! {
        done = look(args, wanted, schema, &exchange, &presented, shown) => done,
        () = signals.recv() => Ok(End::Done),
    };
    // So that it departs. A listener that does not read is not waited for.
    let _ = timeout(LIMIT, exchange.dispose()).await;
    done
}

/// A connection, and what is looked for.
struct Joined {
    exchange: Exchange,
    wanted: Option<DocId>,
    schema: Option<Schema>,
}

/// Joins; `None` when the listener has told all without that.
async fn join(args: &DocArgs, presented: &Presented) -> Result<Option<Joined>, Failure> {
    let usage = |error: kyneta_uds::TextTooLong| Failure::Usage(error.to_string());
    let id = format!("doc-{}", std::process::id());
    let wanted = args.doc.as_deref().map(DocId::new).transpose();
    let wanted = wanted.map_err(usage)?;
    if wanted.is_none()
        && let Some(lines) = listed::told(&args.path).await?
    {
        return list(lines, &args.path).map(|_| None);
    }
    let schema = args.schema.as_deref().map(read_schema).transpose()?;
    let (seen, only) = (presented.clone(), wanted.clone());
    let keeps = schema.is_none();
    let resolve = move |entry: &DocEntry, _: &Identity| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = seen.entry(entry.doc.clone()).or_default();
        if !of_it.contains(entry) {
            of_it.push(entry.clone());
        }
        // The content of others is of no use.
        let is_wanted = keeps && only.as_ref() == Some(&entry.doc);
        Some(if is_wanted {
            Resolve::Replicate
        } else {
            Resolve::Reject
        })
    };
    let exchange = connect(&args.path, id, Policy::new().resolve(resolve)).await?;
    Ok(Some(Joined {
        exchange,
        wanted,
        schema,
    }))
}

/// Joins, and does not come back when the listener ends.
pub(super) async fn connect(
    path: &SocketPath,
    id: String,
    policy: Policy,
) -> Result<Exchange, Failure> {
    let client = Client::builder(path.clone()).reconnect(ReconnectPolicy::off());
    let identity = Identity::service(id).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(builder(identity).policy(policy).client_with(client).await?)
}

/// Prints the list, or that it is empty.
fn list(lines: Vec<String>, path: &SocketPath) -> Result<End, Failure> {
    if lines.is_empty() {
        say(format_args!("there is no document at {path}"));
    }
    let mut lines = lines.into_iter();
    lines.try_for_each(|text| line(format_args!("{text}")))?;
    Ok(End::Done)
}

async fn look(
    args: &DocArgs,
    wanted: Option<DocId>,
    schema: Option<Schema>,
    exchange: &Exchange,
    presented: &Presented,
    shown: &mut Option<String>,
) -> Result<End, Failure> {
    let entries = || {
        presented
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    };
    let Some(id) = wanted else {
        settled(|| entries().values().flatten().count()).await;
        let lines = listed::presented(entries().values().flatten());
        return list(lines, &args.path);
    };
    let of_it = || entries().remove(&id).unwrap_or_default();
    let entry = found(args, &id, schema.as_ref(), of_it).await?;
    let document = match (&schema, substrate(&entry)) {
        (Some(schema), Some(substrate)) => exchange
            .open(id.clone(), substrate, schema)
            .map_err(|error| Failure::work(Chain(&error).to_string()))?,
        _ => kept(exchange, &id).await?,
    };
    if timeout(LIMIT, document.synced()).await.is_err() {
        let what = format!("{id} has not come within {LIMIT:?}: the member that holds it may hang");
        return Err(Failure::work(what));
    }
    if let (Some(field), Some(value), None) = (&args.field, &args.value, &shown) {
        let several = of_it();
        if several.len() > 1 {
            return Err(Failure::work(format!(
                "{id} is not set: members at {} hold different documents of that id, with the schemas {}",
                args.path,
                schemas(&several, " and ")
            )));
        }
        let value = Json::parse(value).unwrap_or_else(|_| value.as_str().into());
        if let Some(edit) = edit(document.schema(), Action::Set(field.clone(), value)) {
            let edited = document.edit(&[edit]);
            edited.map_err(|error| Failure::work(Chain(&error).to_string()))?;
            passed_on(&args.path, &document).await?;
        }
    }
    let mut changes = document.changes();
    show(&document, args.field.as_deref(), shown)?;
    let Some(client) = exchange.client().filter(|_| args.watch) else {
        return Ok(End::Done);
    };
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(_) => show(&document, args.field.as_deref(), shown)?,
                None => return Ok(End::Lost),
            },
            _ = client.wait_for(|state| matches!(state, State::Disconnected { .. })) => return Ok(End::Lost),
        }
    }
}

/// The document as a member presents it; with a schema, as one that can be read with it.
async fn found(
    args: &DocArgs,
    id: &DocId,
    schema: Option<&Schema>,
    entries: impl Fn() -> Vec<DocEntry>,
) -> Result<DocEntry, Failure> {
    let fitting = || {
        let is_of_it = |entry: &DocEntry| schema.is_none_or(|schema| is_of(schema, entry));
        entries().into_iter().find(is_of_it)
    };
    let any = async {
        while entries().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(LIMIT, any).await.is_err() {
        let what = format!("there is no document {id} at {}", args.path);
        return Err(Failure::work(what));
    }
    if fitting().is_none() {
        settled(|| entries().len()).await;
    }
    fitting().ok_or_else(|| {
        let theirs = schemas(&entries(), " or ");
        let text = |schema: &Schema, wire| schema.hash(wire).map(|hash| hash.to_string());
        let own = schema.map(|schema| hashes(schema, text));
        let file = args.schema.as_deref().unwrap_or(Path::new(""));
        Failure::work(format!(
            "{id} has another schema: hash {theirs} at {}, {} in {}",
            args.path,
            own.unwrap_or_default().join(" or "),
            file.display()
        ))
    })
}

/// The hashes of their schemas.
fn schemas(entries: &[DocEntry], between: &str) -> String {
    let hashes: Vec<_> = entries.iter().map(|it| it.schema.as_str()).collect();
    hashes.join(between)
}

/// Whether a document that is presented so can be read with a schema.
fn is_of(schema: &Schema, entry: &DocEntry) -> bool {
    let theirs = entry.readable();
    let own = hashes(schema, Schema::supported_hashes);
    let mut own = own.iter().flatten();
    own.any(|hash| theirs.contains(hash))
}

/// What a schema has of both releases.
fn hashes<T>(schema: &Schema, of: impl Fn(&Schema, WireVersion) -> Option<T>) -> Vec<T> {
    let releases = [WireVersion::V3, WireVersion::V2].into_iter();
    releases.filter_map(|wire| of(schema, wire)).collect()
}

/// The document without its schema.
async fn kept(exchange: &Exchange, id: &DocId) -> Result<Document, Failure> {
    let found = async {
        loop {
            if let Some(doc) = exchange.get(id) {
                return doc;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(QUIET, found)
        .await
        .map_err(|_| Failure::work(format!("{id} is of a kind that this command does not know")))
}

/// Waits until a number has not changed for a while.
async fn settled(count: impl Fn() -> usize) {
    let end = Instant::now() + LIMIT;
    let (mut last, mut since) = (count(), Instant::now());
    while since.elapsed() < QUIET && Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
        let now = count();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// Prints the document, or what is at a path in it, unless it was shown last.
fn show(
    document: &Document,
    field: Option<&str>,
    shown: &mut Option<String>,
) -> Result<(), Failure> {
    let value = document.value();
    let names = field
        .unwrap_or_default()
        .split('.')
        .filter(|name| !name.is_empty());
    let found = names.into_iter().try_fold(&value, |at, name| match at {
        Json::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    });
    match found {
        Some(found) => {
            let text = found.to_string();
            if shown.as_ref() == Some(&text) {
                return Ok(());
            }
            line(format_args!("{text}"))?;
            *shown = Some(text);
            Ok(())
        }
        None => Err(Failure::work(format!(
            "{} has nothing at {:?}",
            document.id(),
            field.unwrap_or_default()
        ))),
    }
}

fn line(text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.map_err(broken_is_quiet)
}
