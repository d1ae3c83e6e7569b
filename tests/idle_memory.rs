//! The heap that a server holds for an idle connection.
//!
//! The peers are raw sockets in another process. Each completes the handshake, announces a document, has
//! one large message, many at once and a few small ones echoed, and is then silent. Nothing is relayed, except where
//! the test says so: there no member sees a document, since each would be kept for each of the others.
//!
//! The long run, with 10,000 connections, and the resident memory:
//! `cargo test --release --test idle_memory -- --ignored --nocapture --test-threads 1`. The resident memory is that of the
//! connections only if the C library keeps nothing for itself: `GLIBC_TUNABLES=glibc.malloc.trim_threshold=0`.
//! `KYNETA_DHAT=/tmp/idle.json` before the test of 500 writes a profile for dhat.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::Stdio,
};

use kyneta_uds::{Access, Gate, Incoming, Relay, Server, SwitchConfig};
use support::{Bus, raise_descriptor_limit, raw::frame};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use tower::service_fn;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Bytes that one connection may hold.
const LIMIT: usize = 4096 + 128;

/// Bytes that a member of a relay may hold beside.
const MEMBER: usize = 1024;

/// What each peer sends and gets back: (offers at once, bytes of each). None of it may be held afterwards.
const BURSTS: [(usize, usize); 4] = [(1, 200_000), (200, 64), (1, 64), (1, 64)];

#[tokio::test]
async fn each_of_500_idle_connections_holds_at_most_4_224_bytes() {
    let profiler = match std::env::var_os("KYNETA_DHAT") {
        Some(file) => dhat::Profiler::builder()
            .file_name(file)
            .trim_backtraces(None)
            .build(),
        None => dhat::Profiler::builder().testing().build(),
    };
    assert!(heap_of_each(500, false).await <= LIMIT);
    drop(profiler);
}

#[tokio::test]
async fn each_of_500_idle_members_of_a_relay_holds_at_most_5_248_bytes() {
    let _profiler = dhat::Profiler::builder().testing().build();
    assert!(heap_of_each(500, true).await <= LIMIT + MEMBER);
}

#[tokio::test]
#[ignore = "ten thousand descriptors"]
async fn each_of_10_000_idle_connections_holds_at_most_4_224_bytes() {
    let _profiler = dhat::Profiler::builder().testing().build();
    assert!(heap_of_each(10_000, false).await <= LIMIT);
}

#[tokio::test]
#[ignore = "ten thousand descriptors; the only one of its process"]
async fn each_of_10_000_idle_connections_adds_at_most_5_kib_of_resident_memory() {
    let count = 10_000;
    let bus = Bus::new();
    let server = serve(&bus.path, false).await;
    let before = support::resident_bytes();
    let _others = others(&bus.path, &server, count).await;
    let each = settled(|| support::resident_bytes().saturating_sub(before) / count).await;
    println!("{count} idle connections: {each} bytes of resident memory each");
    // The allocator adds some bytes to each block.
    assert!(each <= LIMIT + 1024);
}

/// Bytes of heap for each connection, on average.
async fn heap_of_each(count: usize, relays: bool) -> usize {
    let bus = Bus::new();
    let server = serve(&bus.path, relays).await;
    let before = dhat::HeapStats::get();
    let _others = others(&bus.path, &server, count).await;
    let bytes = settled(|| (dhat::HeapStats::get().curr_bytes - before.curr_bytes) / count).await;
    let blocks = dhat::HeapStats::get().curr_blocks - before.curr_blocks;
    let blocks = blocks as f64 / count as f64;
    println!("{count} idle connections: {bytes} bytes each, in {blocks:.1} blocks");
    bytes
}

/// What is held once it is within the limit, or after five seconds: memory is released only after a
/// connection has been idle for a while.
async fn settled(held: impl Fn() -> usize) -> usize {
    for _ in 0..250 {
        if held() <= LIMIT {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    held()
}

/// A server that echoes: small messages by reference, others by value.
async fn serve(path: &Path, relays: bool) -> Server {
    let echo =
        service_fn(async |incoming: Incoming| incoming.from().queue_ref(&incoming.message).await);
    let blind = SwitchConfig::default().gate(Gate::everything().and(|_, _| Access::None));
    let relay = if relays { blind.into() } else { Relay::off() };
    let builder = Server::builder(path).relay(relay);
    builder.listen(echo).await.unwrap()
}

/// Connects `count` peers, which send and are then silent until this is dropped. They have a process of
/// their own, so that their memory is not counted.
async fn others(path: &Path, server: &Server, count: usize) -> Child {
    raise_descriptor_limit();
    let mut others = Command::new(std::env::current_exe().unwrap())
        .args(["the_other_ends", "--exact", "--ignored", "--nocapture"])
        .env("KYNETA_OTHERS", path)
        .env("KYNETA_COUNT", count.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(others.stdout.take().unwrap()).lines();
    while said.next_line().await.unwrap().unwrap() != SILENT {}
    assert_eq!(server.connection_count(), count);
    others
}

const SILENT: &str = "all have fallen silent";

#[test]
#[ignore = "the other process of the other tests"]
fn the_other_ends() {
    let Some(path) = std::env::var_os("KYNETA_OTHERS") else {
        return;
    };
    let count = std::env::var("KYNETA_COUNT").unwrap().parse().unwrap();
    raise_descriptor_limit();
    let _others = talk(path.as_ref(), count);
    println!("{SILENT}");
    // Runs until the process that started it exits.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn talk(path: &Path, count: usize) -> Vec<UnixStream> {
    let said = what_is_said();
    let connect = |number| {
        let mut other = UnixStream::connect(path).unwrap();
        other.write_all(&frame(3, 1, &establish(number))).unwrap();
        receive(&mut other);
        for (times, frames) in &said {
            other.write_all(frames).unwrap();
            (0..*times).for_each(|_| receive(&mut other));
        }
        other
    };
    (0..count).map(connect).collect()
}

/// For each burst: the number of frames, and their bytes.
fn what_is_said() -> Vec<(usize, Vec<u8>)> {
    let mut seq = 1; // of the `establish`
    let mut repeat = |times, payload: &[u8]| {
        let mut frames = Vec::new();
        for _ in 0..times {
            seq += 1;
            frames.extend(frame(3, seq, payload));
        }
        (times, frames)
    };
    let mut said = vec![repeat(1, PRESENT)];
    said.extend(BURSTS.map(|(times, size)| repeat(times, &offer(size))));
    said
}

/// `{t: 1, id: "peer-00000", y: "bot", f: {a: true}}`
fn establish(number: usize) -> Vec<u8> {
    let mut payload = b"\xa4\x61t\x01\x62id\x6a".to_vec();
    write!(payload, "peer-{number:05}").unwrap();
    payload.extend(b"\x61y\x63bot\x61f\xa1\x61a\xf5");
    payload
}

/// `{t: 16, docs: [{d: "doc", a: 0, rt: ["loro", 1, 0], ms: 0, sh: "hash", sa: 0}]}`
const PRESENT: &[u8] =
    b"\xa2\x61t\x10\x64docs\x81\xa6\x61d\x63doc\x61a\x00\x62rt\x83\x64loro\x01\x00\
    \x62ms\x00\x62sh\x64hash\x62sa\x00";

/// `{t: 18, pk: 0, pe: 1, d: bytes, v: "1", dx: 0}`
fn offer(size: usize) -> Vec<u8> {
    let mut payload = b"\xa6\x61t\x12\x62pk\x00\x62pe\x01\x61d\x5a".to_vec();
    payload.extend((size as u32).to_be_bytes());
    payload.extend(vec![7; size]);
    payload.extend(b"\x61v\x611\x62dx\x00");
    payload
}

/// Reads one frame of wire version 3.
fn receive(other: &mut UnixStream) {
    let mut header = [0; 10];
    other.read_exact(&mut header).unwrap();
    let [version, kind, len @ .., _, _, _, _] = header;
    assert_eq!((version, kind), (3, 0));
    let mut payload = vec![0; u32::from_be_bytes(len) as usize];
    other.read_exact(&mut payload).unwrap();
}
