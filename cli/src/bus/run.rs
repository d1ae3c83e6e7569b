//! `bus`: a member of a bus of JSON values.
//!
//! In: lines of stdin, messages and events of the bus. Out: events on stdout, messages. May touch: the socket, and
//! stdin and stdout by a thread of their own each.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesOrdered};
use kyneta_uds::{
    Bus, Role,
    bus::{BusError, BusEvent, BusEventReader, BusIncoming, BusJoinError, Publish, Responder},
    status::Endpoint,
};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn};

use super::{
    args::BusArgs,
    input::{self, Command},
    line::Line,
};
use crate::{
    advice,
    event_writer::EventWriter,
    failure::{Chain, Failure},
    signals::Signals,
    stdin::{self, Grammar},
};

/// Limit for sending what was read before the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(7);

/// Limit for writing the last events.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines of stdin may have this many bytes.
const MAX_LINE: u32 = 64 << 20;

/// Prints messages and events, each in its order.
struct Reporter {
    writer: EventWriter,
    events: Mutex<BusEventReader>,
    requests: Mutex<Requests>,
}

/// Requests of others that stdin has not answered.
#[derive(Default)]
struct Requests {
    last: u64,
    open: HashMap<u64, Responder>,
}

impl Reporter {
    /// The events so far, then the message.
    async fn message(&self, incoming: BusIncoming<Value>) {
        if self.writer.room().await.is_err() {
            return; // stdout is broken, which ends the command.
        }
        self.catch_up();
        let mut incoming = incoming;
        match incoming.request.take() {
            None => self.writer.put(&Line::message(&incoming)),
            Some(responder) => {
                let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
                requests.last += 1;
                let id = requests.last;
                requests.open.insert(id, responder);
                drop(requests);
                self.writer.put(&Line::Request {
                    from: incoming.from.id.as_str(),
                    id,
                    msg: &incoming.message,
                });
            }
        }
    }

    fn catch_up(&self) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(event) = events.try_recv() {
            self.event(&event);
        }
    }

    fn event(&self, event: &BusEvent) {
        match event {
            // Reported last, by `bus`.
            BusEvent::Role(Role::Disposed) => {}
            BusEvent::Role(role) => self.writer.put(&Line::role(*role)),
            BusEvent::Joined(member) => self.writer.put(&Line::member(member, "joined")),
            BusEvent::Left(member) => self.writer.put(&Line::member(member, "left")),
            BusEvent::Missed { from, count } => self.writer.put(&Line::Missed {
                from: from.id.as_str(),
                count: *count,
            }),
            BusEvent::NotUnderstood { from, error } => {
                let error = Chain(error.get_ref());
                self.writer
                    .put(&Line::error_of(from.id.as_str(), "not-understood", error));
            }
            BusEvent::Rejected { error } => {
                self.writer
                    .put(&Line::error("rejected", Chain(error.get_ref())));
            }
            BusEvent::HandlerFailed { from, error } => {
                let error = Chain(error.get_ref());
                self.writer
                    .put(&Line::error_of(from.id.as_str(), "handler-failed", error));
            }
            BusEvent::NotAdmitted { error } => {
                self.writer.put(&Line::error(&error.code, &error.why));
            }
            BusEvent::Refused { id, error } if id.is_empty() => {
                let advice = match error.code.as_str() {
                    "not-allowed" => advice::of_listener(None),
                    _ => String::new(),
                };
                let message = format!("{}{advice}", error.why);
                self.writer.put(&Line::error(&error.code, message));
            }
            BusEvent::Refused { id, error } => {
                self.writer
                    .put(&Line::error_of(id, &error.code, &error.why));
            }
            BusEvent::Stalled(member) => {
                let what = "it has acknowledged nothing for the stall limit, and is disconnected";
                self.writer
                    .put(&Line::error_of(member.id.as_str(), "stalled", what));
            }
            BusEvent::BeyondWindow(member) => {
                let what = "it has sent more than any window allows, and is disconnected";
                self.writer
                    .put(&Line::error_of(member.id.as_str(), "beyond-window", what));
            }
            #[cfg(feature = "links")]
            BusEvent::Link { machine, change } => self.writer.put(&Line::link(machine, change)),
            #[cfg(feature = "links")]
            BusEvent::MachinesFailed { error } => {
                let error = Chain(error.get_ref());
                self.writer.put(&Line::error("machines-failed", error));
            }
            BusEvent::UnsafeDirectory { risk } => {
                self.writer.put(&Line::error("unsafe-directory", risk));
            }
            BusEvent::Waiting(waiting) => self.writer.put(&Line::waiting(waiting)),
            BusEvent::InTheWay { error } => {
                self.writer
                    .put(&Line::error("in-the-way", Chain(error.get_ref())));
            }
            BusEvent::HandedOver { pid } => self.writer.put(&Line::HandedOver { pid: *pid }),
            BusEvent::TookOver {
                pid,
                connections,
                pause,
            } => self.writer.put(&Line::TookOver {
                pid: *pid,
                connections: *connections,
                pause_us: u64::try_from(pause.as_micros()).unwrap_or(u64::MAX),
            }),
            BusEvent::NotHandedOver { error } => {
                self.writer
                    .put(&Line::error("not-handed-over", Chain(error.get_ref())));
            }
            BusEvent::NotTakenOver { error } => {
                self.writer
                    .put(&Line::error("not-taken-over", Chain(error.get_ref())));
            }
            BusEvent::MissedEvents(count) => {
                let message = format!("{count} events were not reported: stdout was too slow");
                self.writer.put(&Line::error("missed-events", message));
            }
            other => tracing::info!(?other, "event"),
        }
    }

    fn answer(&self, id: u64, answer: Result<Value, String>) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(responder) = requests.open.remove(&id) else {
            drop(requests);
            let what = format!("there is no request {id} that is not answered");
            return self.writer.put(&Line::error("no-request", what));
        };
        drop(requests);
        match answer {
            Ok(value) => {
                if let Err(error) = responder.answer(&value) {
                    self.writer.put(&Line::error("not-sent", Chain(&*error)));
                }
            }
            Err(why) => responder.fail(&why),
        }
    }
}

/// Joins, and stays until a request to end.
pub(crate) async fn bus(args: BusArgs, mut signals: Signals) -> Result<(), Failure> {
    let builder = args.builder()?;
    let status = match &args.status {
        Some(path) if *path == args.joining.path => {
            return Err(Failure::Usage(format!(
                "--status {path} is the path of the bus"
            )));
        }
        Some(path) => Some(Endpoint::options().bind(path.clone()).await?),
        None => None,
    };
    let reporter = Arc::new(Reporter {
        writer: EventWriter::start(args.json)?,
        events: Mutex::new(builder.events()),
        requests: Mutex::default(),
    });
    let handler = {
        let reporter = reporter.clone();
        service_fn(move |incoming: BusIncoming<Value>| {
            let reporter = reporter.clone();
            async move {
                reporter.message(incoming).await;
                Ok::<_, Infallible>(())
            }
        })
    };
    let reporting = {
        let (reporter, mut wake) = (reporter.clone(), builder.events());
        tokio::spawn(async move {
            while wake.recv().await.is_some() {
                if reporter.writer.room().await.is_err() {
                    return;
                }
                reporter.catch_up();
            }
        })
    };
    #[cfg(target_os = "linux")]
    let bus = args.handoff.join_bus(builder, handler).await?;
    #[cfg(not(target_os = "linux"))]
    let bus = builder.join_lazy(handler)?;
    let endpoint = status.map(|listener| Endpoint::serve(listener, bus.clone()));
    let end = run(&bus, &reporter, &args, &mut signals).await;
    let disposed = tokio::select! {
        () = bus.dispose() => Ok(()),
        () = sleep(SHUTDOWN_TIMEOUT) => Ok(()),
        () = signals.recv() => Err(Failure::work("second signal: ended without sending what waits")),
    };
    if let Some(endpoint) = endpoint {
        endpoint.close().await;
    }
    reporting.abort();
    reporter.catch_up();
    reporter.writer.put(&Line::role(Role::Disposed));
    let written = reporter.writer.finish(FLUSH_TIMEOUT).await;
    end.and(disposed).and(written)
}

/// Until it is time to end.
async fn run(
    bus: &Bus<Value>,
    reporter: &Arc<Reporter>,
    args: &BusArgs,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let grammar = Grammar {
        command: if args.json { input::json } else { input::text },
        quit: || Command::Quit,
        is_quit: |command: &Command| matches!(command, Command::Quit),
    };
    let stdin::Input { mut lines, quit } = stdin::read(grammar, MAX_LINE, args.stay)?;
    let (sent, reports) = mpsc::unbounded_channel();
    for publish in bus.inherited() {
        // Its receiver is below.
        let _ = sent.send(publish);
    }
    let mut delivered = tokio::spawn(report_deliveries(reporter.clone(), reports));
    let commands = async {
        // A message goes to the members that are there: the first ones are to be met.
        bus.joined().await?;
        while let Some(line) = lines.recv().await {
            match line {
                Ok(Command::Quit) => return Ok(()),
                Ok(command) => execute(command, bus, reporter, &sent).await,
                Err(what) => reporter.writer.put(&Line::error("bad-input", what)),
            }
        }
        std::future::pending().await
    };
    let quit_timeout = async {
        quit.wait().await;
        sleep(SHUTDOWN_TIMEOUT).await;
    };
    let mut events = bus.events();
    let not_admitted = async {
        loop {
            match events.recv().await {
                Some(BusEvent::NotAdmitted { error }) => return error,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    };
    let end = tokio::select! {
        biased;
        () = signals.recv() => Ok(()),
        // Before the end: what was read and is not sent is reported.
        end = commands => end.map_err(|error: BusJoinError| Failure::from(error)),
        why = not_admitted => Err(Failure::work(format!("{} does not admit this member: {why}", bus.path()))),
        () = quit_timeout => Ok(()),
        failure = reporter.writer.broken() => Err(failure),
        () = bus.closed() => match bus.handed_over_to() {
            Some(_) => Ok(()),
            None => Err(Failure::work("the member has ended")),
        },
    };
    drop(sent);
    if end.is_ok() && timeout(SHUTDOWN_TIMEOUT, &mut delivered).await.is_err() {
        tracing::warn!("not all messages were delivered within {SHUTDOWN_TIMEOUT:?}");
    }
    end
}

async fn execute(
    command: Command,
    bus: &Bus<Value>,
    reporter: &Arc<Reporter>,
    sent: &mpsc::UnboundedSender<Publish>,
) {
    match command {
        Command::Quit => {}
        Command::Publish(value) => {
            let mut bus = bus.clone();
            match bus.ready().await {
                Ok(bus) => drop(sent.send(bus.call(value))),
                Err(error) => reporter.writer.put(&Line::error("not-sent", Chain(&error))),
            }
        }
        Command::Send { value, to } => match bus.member(&to) {
            Ok(mut member) => match member.begin_send(value).await {
                Ok(publish) => drop(sent.send(publish)),
                Err(error) => reporter.writer.put(&Line::error("not-sent", Chain(&error))),
            },
            Err(error) => reporter.writer.put(&Line::error("unknown-member", error)),
        },
        Command::Request {
            value,
            to,
            id,
            timeout_ms,
        } => {
            let member = bus.member(&to);
            let reporter = reporter.clone();
            tokio::spawn(async move {
                let asked = async { member?.request(value).await };
                let answer = match timeout_ms {
                    None => asked.await,
                    Some(ms) => match timeout(Duration::from_millis(ms), asked).await {
                        Ok(answer) => answer,
                        Err(_) => Err(format!("no answer within {ms} ms").into()),
                    },
                };
                let (msg, error) = match &answer {
                    Ok(msg) => (Some(msg), None),
                    Err(error) => (None, Some(Chain(&**error).to_string())),
                };
                reporter.writer.put(&Line::Answer {
                    id: &id,
                    msg,
                    error,
                });
            });
        }
        Command::Answer { id, answer } => reporter.answer(id, answer),
    }
}

/// Reports each message that is delivered, in the order in which they were sent.
async fn report_deliveries(reporter: Arc<Reporter>, mut sent: mpsc::UnboundedReceiver<Publish>) {
    let mut waiting = FuturesOrdered::new();
    let mut is_open = true;
    while is_open || !waiting.is_empty() {
        tokio::select! {
            publish = sent.recv(), if is_open => match publish {
                Some(publish) => waiting.push_back(publish),
                None => is_open = false,
            },
            Some(delivered) = waiting.next() => match delivered {
                Ok(delivered) => {
                    let missed = delivered.missed.iter().map(|id| id.as_str()).collect();
                    let seq = delivered.seq;
                    reporter.writer.put(&Line::Delivered { seq, missed });
                }
                // A successor has it, or it is the end.
                Err(BusError::Ended) => {}
                Err(error) => reporter.writer.put(&Line::error("not-sent", Chain(&error))),
            },
        }
    }
}
