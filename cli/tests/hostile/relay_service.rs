//! A hub in a process of its own, which prints what it keeps and what it has reported, 20 times a second. It ends with
//! its stdin.

use std::{
    collections::BTreeMap,
    env,
    io::Read as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use kyneta_uds::{
    Access, Event, Gate, Incoming, Overflow, QueueConfig, Rate, Rates, Relay, Server, SwitchConfig,
    status::Inspect as _,
};
use serde_json::{Value, json};
use tower::service_fn;

use crate::{
    MIB,
    hostile_member::READER,
    size,
    support::common::service,
    support::process::Process,
    target::{Target, this_binary},
};

/// How many documents one member may present: in a long run as many as by default.
pub(crate) fn max_documents() -> u64 {
    size(256, 4_096)
}

/// How much one member may ask and present. Those of a long run are the defaults.
fn rates() -> Rates {
    let rate = Rate {
        per_second: 500,
        burst: 500,
    };
    let short = Rates::default()
        .interests(rate)
        .presents(rate)
        .refusals(rate);
    size(short, Rates::default())
}

/// The limit of a member's queue, bytes. While a member reads nothing, twice as many of its own are read ahead, and
/// 4 MiB.
const MAX_BYTES: usize = MIB;

const PATH: &str = "KYNETA_RELAY_PATH";
const STALL: &str = "KYNETA_RELAY_STALL_MS";
const QUEUE: &str = "KYNETA_RELAY_QUEUE";

/// The most that the hub has kept, and what it has reported.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) documents: u64,
    pub(crate) records: u64,
    pub(crate) open: u64,
    /// By code.
    pub(crate) reports: BTreeMap<String, u64>,
    /// The counts of the status have them, too.
    pub(crate) is_counted: bool,
}

impl Target {
    /// A hub. A member that reads nothing for `stall` while its queue is full is disconnected.
    pub(crate) fn relay(stall: Duration, queue: usize) -> Self {
        Self::start(|path, log, stderr| {
            let mut command = this_binary("relay_service::the_relay");
            command
                .env(STALL, stall.as_millis().to_string())
                .env(QUEUE, queue.to_string())
                .env(PATH, path);
            Process::of(command, Self::ID, log, stderr)
        })
    }

    pub(crate) fn kept(&self) -> Kept {
        let mut kept = Kept::default();
        self.log.look(|known| {
            let is_kept = json!({"event": "kept"});
            for entry in known
                .entries
                .iter()
                .filter(|entry| entry.is(Self::ID, &is_kept))
            {
                let number = |name: &str| entry.event[name].as_u64().unwrap();
                kept.documents = kept.documents.max(number("documents"));
                kept.records = kept.records.max(number("records"));
                kept.open = kept.open.max(number("open"));
                let reports = entry.event["reports"].as_object().unwrap().iter();
                let reports = reports.map(|(code, count)| (code.clone(), count.as_u64().unwrap()));
                kept.reports = reports.collect();
                let held_back = kept.reports.get("held-back").copied().unwrap_or_default();
                let all: u64 = kept.reports.values().sum();
                // The events were counted before they were seen.
                kept.is_counted =
                    number("heldBack") >= held_back && number("diagnostics") >= all - held_back;
            }
        });
        kept
    }
}

#[test]
#[ignore = "the service process of the other tests"]
fn the_relay() {
    let Ok(path) = env::var(PATH) else { return };
    let number = |name| env::var(name).unwrap().parse::<u64>().unwrap();
    let stall = Duration::from_millis(number(STALL));
    let queue = QueueConfig::default()
        .max_messages(number(QUEUE) as usize)
        .max_bytes(MAX_BYTES)
        .overflow(Overflow::Disconnect { after: stall })
        .write_stall(stall);
    let gate = Gate::everything().and(|member, _| match member.peer_id() {
        Some(READER) => Access::Read,
        _ => Access::Write,
    });
    let config = SwitchConfig::default()
        .max_documents_of_member(max_documents() as usize)
        .gate(gate);
    let builder = Server::builder(path.as_str())
        .identity(service(Target::ID))
        .queue(queue)
        .relay(Relay::from(config).rates(rates()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ignore = service_fn(async |_: Incoming| Ok::<_, std::convert::Infallible>(()));
        let server = builder.listen(ignore).await.unwrap();
        // On a line of its own, after the output of the test harness.
        println!("\n{}", json!({"event": "listening"}));
        tokio::spawn(print(server));
        let stdin = || std::io::stdin().read_to_end(&mut Vec::new());
        let _ = tokio::task::spawn_blocking(stdin).await;
    });
    runtime.shutdown_background();
}

async fn print(server: Server) {
    let reports = Arc::<Mutex<BTreeMap<&'static str, u64>>>::default();
    let (mut events, seen) = (server.events(), reports.clone());
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let code = match event {
                Event::Diagnostic { diagnostic, .. } => diagnostic.code(),
                Event::HeldBack { .. } => "held-back",
                _ => continue,
            };
            *seen.lock().unwrap().entry(code).or_default() += 1;
        }
    });
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        // What was seen before the counts are read was counted before.
        let reports = reports.lock().unwrap().clone();
        let snapshot = server.snapshot();
        // The members may be so busy that there is none at this moment.
        if let Some(relay) = snapshot.relay {
            println!("{}", kept(&relay, &reports, &snapshot.counts));
        }
    }
}

fn kept(
    relay: &kyneta_uds::status::RelayStatus,
    reports: &BTreeMap<&str, u64>,
    counts: &kyneta_uds::Counts,
) -> Value {
    json!({
        "event": "kept",
        "documents": relay.documents,
        "records": relay.records,
        "open": relay.open,
        "reports": reports,
        "diagnostics": counts.diagnostics,
        "heldBack": counts.held_back,
    })
}
