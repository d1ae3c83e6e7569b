//! A service in a process of its own: it echoes, or it broadcasts a thousand messages a second. It ends with
//! its stdin.
//!
//! Not the command, which prints each message: the reader of its stdout would slow it down.

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

/// The budget of all queues together, bytes.
pub(crate) const QUEUED: usize = 64 * MIB;

/// The work, how long a peer may read nothing, and the limit of its queue.
const WORK: &str = "KYNETA_SERVICE";
const STALL: &str = "KYNETA_SERVICE_STALL_MS";
const QUEUE: &str = "KYNETA_SERVICE_QUEUE";

/// The data of each broadcast, bytes.
pub(crate) const DATA: usize = 4 << 10;

impl Target {
    /// A service that echoes.
    pub(crate) fn echo(stall: Duration, queue: usize) -> Self {
        Self::service("echo", stall, queue)
    }

    /// A service that broadcasts messages with a number and the time. A peer whose queue is full does not
    /// get the message.
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
#[ignore = "the service process of the other tests"]
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
                // A peer that reads nothing is disconnected even if the others free budget meanwhile.
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
    // Does not wait for connections that never read.
    runtime.shutdown_background();
}

fn listening() {
    // On a line of its own, after the output of the test harness.
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

/// The time, on a clock that all processes share.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
