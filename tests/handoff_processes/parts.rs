//! The processes that the tests with processes start: a server, and clients.
//!
//! In: which part, by the environment. Out: lines on stdout; a client that loses, repeats or reorders a message ends
//! with that sentence.

use std::{
    convert::Infallible,
    future::ready,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use kyneta_uds::{
    Bytes, ChannelMsg, Client, DocId, Event, Identity, Incoming, ListenerOptions, Offer,
    ReconnectPolicy, Server, Version,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines, Stdin},
    time::{Instant, interval, sleep, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn};

use crate::{full, process::Process, support::raise_descriptor_limit};

/// What a part is told by.
const PART: &str = "KYNETA_HANDOFF_PART";
const PATH: &str = "KYNETA_HANDOFF_PATH";

/// How often each side of a connection sends.
const EVERY: Duration = Duration::from_millis(10);

/// A process that is `part`.
pub(crate) fn start(part: &str, path: &Path) -> Process {
    Process::of_test(
        "parts::part",
        [(PART, part.as_ref()), (PATH, path.as_os_str())],
    )
}

pub(crate) fn say(what: impl std::fmt::Display) {
    println!("> {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part() {
    let (Ok(part), Some(path)) = (std::env::var(PART), std::env::var_os(PATH)) else {
        return; // not started by another test
    };
    raise_descriptor_limit();
    let path = PathBuf::from(path);
    match part.split_once(' ') {
        Some(("server", sends)) => server(&path, sends == "sends").await,
        Some(("idle", count)) => idle(&path, count.parse().unwrap()).await,
        Some(("pinging", count)) => pinging(&path, count.parse().unwrap()).await,
        Some(("full-server", size)) => full::server(&path, size.parse().unwrap()).await,
        Some(("full-clients", size)) => full::clients(&path, size.parse().unwrap()).await,
        _ => panic!("no such part: {part}"),
    }
}

/// Of all processes of this machine the same.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}

/// A message of `by`, with a number and the time.
fn numbered(by: &str, number: u64) -> ChannelMsg {
    let data = [number.to_be_bytes(), now().to_be_bytes()].concat();
    let (doc, version) = (DocId::new(by).unwrap(), Version::new("1").unwrap());
    Offer::binary(doc, version, Bytes::from(data)).into()
}

/// By which side, its number, and its time.
fn read(message: &ChannelMsg) -> (&str, u64, u64) {
    let ChannelMsg::Offer(offer) = message else {
        panic!("{message:?}")
    };
    let data = offer.data.as_slice();
    let (number, time) = data.split_first_chunk().unwrap();
    let time = u64::from_be_bytes(*time.first_chunk().unwrap());
    (offer.doc.as_str(), u64::from_be_bytes(*number), time)
}

/// Takes over, sends everything back and, if it `sends`, to each connection every 10 ms. Says how many connections there
/// were and the pause in microseconds; at its end, how many messages of its own have gone out.
async fn server(path: &Path, sends: bool) {
    let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    let limits = ListenerOptions::new()
        .max_connections(10_000)
        .max_connections_per_uid(10_000);
    let builder = Server::builder(path).listener(limits).relay(false);
    let mut events = builder.events();
    let server = builder.take_over().listen(echo).await.unwrap();
    while let Ok(Some(event)) = timeout(Duration::ZERO, events.recv()).await {
        if let Event::TookOver {
            connections, pause, ..
        } = event
        {
            say(format_args!("{connections} {}", pause.as_micros()));
        }
    }
    say(format_args!("listens {}", server.connection_count()));
    let mut gone_out = 0;
    if sends {
        let mut sending = Vec::new();
        let mut ticks = interval(EVERY);
        loop {
            tokio::select! {
                biased;
                _ = server.closed() => break,
                _ = ticks.tick() => {}
            }
            for mut to in server.connections() {
                if let Ok(Ok(ready)) = timeout(Duration::ZERO, to.ready()).await {
                    sending.push(ready.call(numbered("server", 0)));
                }
            }
        }
        for sent in sending {
            match sent.await {
                Err(error) if !error.may_have_been_sent() => {}
                _ => gone_out += 1,
            }
        }
    }
    server.closed().await;
    say(gone_out);
}

pub(crate) type Input = Lines<BufReader<Stdin>>;

pub(crate) fn input() -> Input {
    BufReader::new(tokio::io::stdin()).lines()
}

pub(crate) fn client(path: &Path, id: &str) -> kyneta_uds::ClientBuilder {
    let identity = Identity::service(id).unwrap();
    let builder = Client::builder(path).identity(identity);
    builder.reconnect(ReconnectPolicy::off())
}

/// Clients that have nothing to say. When they are asked, each gets an answer.
async fn idle(path: &Path, count: usize) {
    let answered = Arc::new(Mutex::new(0));
    let mut all = Vec::new();
    for number in 0..count {
        let answered = answered.clone();
        let count = service_fn(move |_: Incoming| {
            *answered.lock().unwrap() += 1;
            ready(Ok::<_, Infallible>(()))
        });
        let client = client(path, &format!("c{number}")).connect(count);
        all.push(client.await.unwrap());
    }
    say("connected");
    let mut input = input();
    while let Some(_asked) = input.next_line().await.unwrap() {
        *answered.lock().unwrap() = 0;
        for client in &mut all {
            client.queue(numbered("client", 0)).await.unwrap();
        }
        let end = Instant::now() + Duration::from_secs(20);
        while *answered.lock().unwrap() < count && Instant::now() < end {
            sleep(Duration::from_millis(1)).await;
        }
        say(*answered.lock().unwrap());
    }
}

/// What the clients of a process have seen.
#[derive(Default)]
struct Seen {
    /// The next answer of each.
    answers: Vec<u64>,
    /// The time of the last message of the server to each.
    last: Vec<u64>,
    of_the_server: u64,
    /// From a ping to its answer, in microseconds.
    rounds: Vec<u64>,
}

/// Clients that send a ping each 10 ms. For each line `rounds` they say the median and the 99th percentile of the time to
/// the answer, in microseconds; for `stop`, how many they have sent, how many were answered, and how many messages of the
/// server have come.
async fn pinging(path: &Path, count: usize) {
    let seen = Arc::new(Mutex::new(Seen {
        answers: vec![0; count],
        last: vec![0; count],
        ..Seen::default()
    }));
    let mut all = Vec::new();
    for at in 0..count {
        let seen = seen.clone();
        let look = service_fn(move |incoming: Incoming| {
            let (by, number, time) = read(&incoming.message);
            let mut seen = seen.lock().unwrap();
            if by == "server" {
                assert!(time > seen.last[at], "out of order, or twice");
                seen.last[at] = time;
                seen.of_the_server += 1;
            } else {
                assert_eq!(number, seen.answers[at], "lost, twice, or out of order");
                seen.answers[at] += 1;
                seen.rounds.push((now() - time) / 1_000);
            }
            ready(Ok::<_, Infallible>(()))
        });
        let client = client(path, &format!("r{at}")).connect(look);
        all.push(client.await.unwrap());
    }
    say("connected");
    let mut sent = 0;
    let (mut input, mut ticks) = (input(), interval(EVERY));
    loop {
        tokio::select! {
            biased;
            line = input.next_line() => match line.unwrap().as_deref() {
                Some("rounds") => {
                    let mut rounds = std::mem::take(&mut seen.lock().unwrap().rounds);
                    rounds.sort_unstable();
                    let of = |percent| rounds[(rounds.len() - 1) * percent / 100];
                    say(format_args!("{} {} {}", of(50), of(99), of(100)));
                }
                _ => break,
            },
            _ = ticks.tick() => {
                for client in &mut all {
                    client.queue(numbered("client", sent)).await.unwrap();
                }
                sent += 1;
            }
        }
    }
    let answered = || seen.lock().unwrap().answers.iter().sum::<u64>();
    let end = Instant::now() + Duration::from_secs(20);
    while answered() < sent * count as u64 && Instant::now() < end {
        sleep(Duration::from_millis(1)).await;
    }
    // What the server had sent before its last answers has come, too.
    let of_the_server = seen.lock().unwrap().of_the_server;
    let sent = sent * count as u64;
    say(format_args!("{sent} {} {of_the_server}", answered()));
}
