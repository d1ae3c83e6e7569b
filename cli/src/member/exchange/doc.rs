//! `doc`: lists, shows, sets and follows documents at a path where a process listens.
//!
//! In: the path. Out: documents on stdout. It joins as a client, so that it never becomes the listener.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::{Args, ValueHint};
use kyneta_uds::{
    Client, DocEntry, DocId, Identity, ReconnectPolicy, SocketPath,
    documents::{Document, Exchange, Json, Policy, Resolve, Schema, Substrate},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    args::{builder, read_schema},
    edit::edit,
    input::Action,
};
use crate::{
    failure::{Chain, Failure},
    option_values::socket_path,
    signals::Signals,
    stdout::broken_is_quiet,
    style::Escaped,
};

/// How long nothing new must come before all documents are known.
const QUIET: Duration = Duration::from_millis(250);

/// How long that may take.
const LIMIT: Duration = Duration::from_secs(3);

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

    /// Show it again after each change
    #[arg(long, requires = "doc")]
    watch: bool,
}

/// The documents that the others have presented.
type Presented = Arc<Mutex<BTreeMap<DocId, DocEntry>>>;

/// Lists, shows, sets or follows.
pub(crate) async fn doc(args: DocArgs, mut signals: Signals) -> Result<(), Failure> {
    let usage = |error: kyneta_uds::TextTooLong| Failure::Usage(error.to_string());
    let id = format!("doc-{}", std::process::id());
    let wanted = args.doc.as_deref().map(DocId::new).transpose();
    let wanted = wanted.map_err(usage)?;
    let schema = args.schema.as_deref().map(read_schema).transpose()?;
    let presented = Presented::default();
    let (seen, only) = (presented.clone(), wanted.clone());
    let keeps = schema.is_none();
    let resolve = move |entry: &DocEntry, _: &Identity| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(entry.doc.clone(), entry.clone());
        // The content of others is of no use.
        let is_wanted = keeps && only.as_ref() == Some(&entry.doc);
        Some(if is_wanted {
            Resolve::Replicate
        } else {
            Resolve::Reject
        })
    };
    let client = Client::builder(args.path.clone()).reconnect(ReconnectPolicy::off());
    let exchange = builder(Identity::service(id).map_err(usage)?)
        .policy(Policy::new().resolve(resolve))
        .client_with(client)
        .await?;
    let done = tokio::select! {
        done = look(&args, wanted, schema, &exchange, &presented) => done,
        () = signals.recv() => Ok(()),
    };
    exchange.dispose().await;
    done
}

async fn look(
    args: &DocArgs,
    wanted: Option<DocId>,
    schema: Option<Schema>,
    exchange: &Exchange,
    presented: &Presented,
) -> Result<(), Failure> {
    let entries = || {
        presented
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    };
    let Some(id) = wanted else {
        settled(|| entries().len()).await;
        return entries().values().try_for_each(|entry| {
            let kind = substrate(entry).map_or(entry.replica.name.as_str(), |known| known.name());
            line(format_args!(
                "{}\t{kind}\t{}",
                Escaped(entry.doc.as_str()),
                Escaped(entry.schema.as_str())
            ))
        });
    };
    let presented = async {
        loop {
            if let Some(entry) = entries().remove(&id) {
                return entry;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let Ok(entry) = timeout(LIMIT, presented).await else {
        return Err(Failure::work(format!(
            "there is no document {id} at {}",
            args.path
        )));
    };
    let document = match (schema, substrate(&entry)) {
        (Some(schema), Some(substrate)) => exchange
            .open(id.clone(), substrate, &schema)
            .map_err(|error| Failure::work(Chain(&error).to_string()))?,
        _ => kept(exchange, &id).await?,
    };
    if timeout(LIMIT, document.synced()).await.is_err() {
        let what = format!("{id} has not come within {LIMIT:?}: is the schema that of the others?");
        return Err(Failure::work(what));
    }
    if let (Some(field), Some(value)) = (&args.field, &args.value) {
        let value = Json::parse(value).unwrap_or_else(|_| value.as_str().into());
        if let Some(edit) = edit(document.schema(), Action::Set(field.clone(), value)) {
            let edited = document.edit(&[edit]);
            edited.map_err(|error| Failure::work(Chain(&error).to_string()))?;
        }
    }
    let mut changes = document.changes();
    show(&document, args.field.as_deref())?;
    while args.watch && changes.next().await.is_some() {
        show(&document, args.field.as_deref())?;
    }
    Ok(())
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

fn substrate(entry: &DocEntry) -> Option<Substrate> {
    Substrate::ALL.into_iter().find(|substrate| {
        substrate.mode() == entry.mode
            && substrate
                .replica_type()
                .is_ok_and(|known| known.name == entry.replica.name)
    })
}

/// Prints the document, or what is at a path in it.
fn show(document: &Document, field: Option<&str>) -> Result<(), Failure> {
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
        Some(found) => line(format_args!("{found}")),
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
