//! A service in a process of its own: one that sends everything back, or one that tells everybody
//! something a thousand times a second. It ends with its stdin.
//!
//! Not the command, which prints each message: whoever reads that would be what slows it down.

use std::{
    env,
    io::Read as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kyneta_uds::{Budget, Incoming, Offer, Overflow, QueueConfig, Server, ServerBuilder, Version};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tower::service_fn;

use crate::{
    MIB,
    support::common::service,
    support::process::Process,
    target::{Target, this_binary},
};

/// What may wait for all connections together, bytes.
pub(crate) const QUEUED: usize = 64 * MIB;

/// What it does, how long a peer may take nothing, and how many messages may wait for it.
const WORK: &str = "KYNETA_SERVICE";
const STALL: &str = "KYNETA_SERVICE_STALL_MS";
const QUEUE: &str = "KYNETA_SERVICE_QUEUE";

/// Of each message that is told to everybody, bytes.
pub(crate) const DATA: usize = 4 << 10;

impl Target {
    /// A service that sends everything back.
    pub(crate) fn echo(stall: Duration, queue: usize) -> Self {
        Self::service("echo", stall, queue)
    }

    /// A service that tells everybody messages with numbers, and when each was told. Who has no room
    /// for one does not get it.
    pub(crate) fn broadcast(stall: Duration, queue: usize) -> Self {
        Self::service("broadcast", stall, queue)
    }

    fn service(work: &str, stall: Duration, queue: usize) -> Self {
        Self::start(|path, log, stderr| {
            let mut command = this_binary("service::the_service");
            command
                .env(WORK, work)
                .env(STALL, stall.as_millis().to_string())
                .env(QUEUE, queue.to_string())
                .env("KYNETA_SERVICE_PATH", path);
            Process::of(command, Self::ID, log, stderr)
        })
    }
}

#[test]
#[ignore = "the other process of the other tests"]
fn the_service() {
    let Ok(work) = env::var(WORK) else { return };
    let number = |name| env::var(name).unwrap().parse().unwrap();
    let stall = Duration::from_millis(number(STALL));
    let builder = Server::builder(env::var("KYNETA_SERVICE_PATH").unwrap().as_str())
        .identity(service(Target::ID));
    let queue = QueueConfig::default()
        .max_messages(number(QUEUE) as usize)
        .budget(Budget::new(usize::MAX, QUEUED));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match work.as_str() {
            "echo" => {
                // Unread is unread, though others may give back room meanwhile.
                let queue = queue
                    .overflow(Overflow::Disconnect { after: stall })
                    .write_stall(stall);
                echo(builder.queue(queue)).await;
            }
            _ => {
                let queue = queue.overflow(Overflow::Fail);
                tokio::spawn(broadcast(builder.queue(queue)));
            }
        }
        let stdin = || std::io::stdin().read_to_end(&mut Vec::new());
        let _ = tokio::task::spawn_blocking(stdin).await;
    });
    // Nobody waits for those who never read.
    runtime.shutdown_background();
}

fn listening() {
    // What the test harness has said stays apart.
    println!("\n{}", json!({"event": "listening"}));
}

async fn echo(builder: ServerBuilder) -> Server {
    let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    let server = builder.listen(echo).await.unwrap();
    listening();
    server
}

async fn broadcast(builder: ServerBuilder) {
    let ignore = service_fn(async |_: Incoming| Ok::<_, std::convert::Infallible>(()));
    let server = builder.listen(ignore).await.unwrap();
    listening();
    let mut pace = interval(Duration::from_millis(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        pace.tick().await;
        let version = Version::new(format!("{number} {}", now().as_micros())).unwrap();
        let doc = kyneta_uds::DocId::new("d").unwrap();
        let msg = Offer::binary(doc, version, vec![7; DATA]);
        for mut connection in server.connections() {
            let _ = connection.queue(msg.clone().into()).await;
        }
    }
}

/// On a clock that is the same for all processes.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
