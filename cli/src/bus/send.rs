//! `send`: one message to a bus, from a script.
//!
//! In: options. Out: an answer on stdout, or a failure. May touch: the path, by two connections, and stdin or the file of
//! the message.

use std::{
    convert::Infallible,
    io::{self, Read as _},
    sync::Arc,
};

use kyneta_uds::{
    Bus, PeerId,
    bus::{BusIncoming, MemberInfo, who},
};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tower::{Service as _, ServiceExt as _, service_fn};

use super::{args::SendArgs, line::plain};
use crate::{failure::Failure, stdout::print_line};

/// Joins, sends, and leaves when the message is delivered.
pub(crate) async fn send(args: SendArgs) -> Result<(), Failure> {
    let text = text(&args.text)?;
    let (timeout, start) = (args.timeout(), Instant::now());
    let ignore = service_fn(async |_: BusIncoming<Value>| Ok::<_, Infallible>(()));
    // An error says why it could not be joined.
    let joining = args.joining.builder("send")?.join_timeout(timeout);
    let bus = joining.join(ignore).await?;
    let sending = async {
        let sent = deliver(&args, &bus, text.into()).await;
        bus.dispose().await;
        sent
    };
    timeout_at(start + timeout, sending)
        .await
        .unwrap_or_else(|_| {
            let what = match args.request {
                true => "no answer",
                false => "not delivered",
            };
            let within = timeout.as_millis();
            Err(Failure::work(format!("{what} within {within} ms")))
        })
}

async fn deliver(args: &SendArgs, bus: &Bus<Value>, value: Value) -> Result<(), Failure> {
    let mut missed = match &args.to {
        None => not_met(bus).await,
        Some(_) => Vec::new(),
    };
    let delivered = match &args.to {
        None if bus.members().is_empty() && missed.is_empty() => {
            let path = bus.path();
            return Err(Failure::work(format!(
                "no other member is on the bus at {path}"
            )));
        }
        None => bus.clone().ready().await?.call(value).await?,
        Some(to) if args.request => {
            let answer = bus
                .member(to)?
                .request(value)
                .await
                .map_err(Failure::Work)?;
            return print_line(plain(&answer).as_bytes());
        }
        Some(to) => bus.member(to)?.send(value).await?,
    };
    missed.extend(delivered.missed);
    if missed.is_empty() {
        return Ok(());
    }
    let missed: Vec<_> = missed.iter().map(|id| format!("{id:?}")).collect();
    Err(Failure::work(format!(
        "not delivered to {}: left, or does not answer",
        missed.join(", ")
    )))
}

/// The members that have not answered while this one joined: nothing is owed to them. Unknown, so none, where the
/// listener cannot be asked.
async fn not_met(bus: &Bus<Value>) -> Vec<PeerId> {
    let Ok(look) = who(bus.path().clone()).await else {
        return Vec::new();
    };
    let met = bus.members();
    let there = look.present().iter().map(|present| &present.member);
    let others = there.filter(|member| member.id != *bus.id());
    let not_met = others.filter(|member| {
        let is_it =
            |met: &Arc<MemberInfo>| (&met.id, met.incarnation) == (&member.id, member.incarnation);
        !met.iter().any(is_it)
    });
    not_met.map(|member| member.id.clone()).collect()
}

/// The message: itself, or what a file or stdin holds.
fn text(text: &str) -> Result<String, Failure> {
    let read = match text.strip_prefix('@') {
        _ if text == "-" => {
            let mut content = String::new();
            io::stdin()
                .lock()
                .read_to_string(&mut content)
                .map(|_| content)
        }
        Some(file) => std::fs::read_to_string(file),
        None => return Ok(text.to_owned()),
    };
    read.map_err(|error| Failure::work(format!("{text} cannot be read: {error}")))
}
