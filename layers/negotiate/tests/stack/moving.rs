//! A connector whose listener has lost its path to another listener moves to that one.
//!
//! A failure shows the roles so far, or what the former listener has not read.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixListener,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds_negotiate::Role;
use kyneta_uds_unix::AccessPolicy;
use tokio::sync::mpsc;
use tower::{Service as _, ServiceExt as _};

use crate::support::{Peer, Place, frame, join, joined, soon};

const PATH: &str = "KYNETA_TEST_FOREIGN_PATH";

/// A listener in a process of its own that ignores the lock: it unlinks what is there and binds. It prints
/// the numbers that it reads.
struct Foreign {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Foreign {
    async fn at(place: &Place) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "moving::foreign_listener",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(PATH, place.file())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix("foreign: ") {
                    let _ = sender.send(line.to_owned());
                }
            }
        });
        let mut this = Self { child, lines };
        this.prints("listens").await;
        this
    }

    async fn prints(&mut self, line: &str) {
        assert_eq!(soon(self.lines.recv()).await.as_deref(), Some(line));
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the process that the tests here start"]
fn foreign_listener() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    println!("\nforeign: listens");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        // A probe has closed already.
        if stream.write_all(&frame(0, &[])).is_err() {
            continue;
        }
        let mut header = [0; 10];
        while stream.read_exact(&mut header).is_ok() {
            let mut payload = vec![0; usize::from(header[5])];
            stream.read_exact(&mut payload).unwrap();
            println!("foreign: {payload:?}");
        }
    }
}

const MOVED: [Role; 4] = [
    Role::Negotiating,
    Role::Connector,
    Role::Negotiating,
    Role::Connector,
];

/// Once it has joined the other listener.
async fn moved(peer: &Peer) {
    soon(async {
        while peer.reports.roles() != MOVED {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connector_moves_within_two_seconds_to_the_listener_that_has_taken_the_path() {
    let place = Place::new();
    let mut first = Foreign::at(&place).await;
    let mut peer = joined(&place).await;
    assert_eq!(peer.roles.role(), Role::Connector);
    let say = async |peer: &mut Peer, number| {
        let sent = soon(peer.handle.ready()).await.unwrap().call(number);
        soon(sent).await.unwrap();
    };
    say(&mut peer, 1).await;
    first.prints("[1]").await;

    // Neither a file that is gone nor one at which no process listens is a reason to leave.
    std::fs::remove_file(place.file()).unwrap();
    drop(UnixListener::bind(place.file()).unwrap());
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(peer.roles.role(), Role::Connector);
    say(&mut peer, 2).await;
    first.prints("[2]").await;

    let mut second = Foreign::at(&place).await;
    let taken = Instant::now();
    moved(&peer).await;
    assert!(
        taken.elapsed() < Duration::from_secs(3),
        "{:?}",
        taken.elapsed()
    );
    say(&mut peer, 3).await;
    second.prints("[3]").await;
    // Both stand: it stays where the path leads.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(peer.reports.roles(), MOVED);
    say(&mut peer, 4).await;
    second.prints("[4]").await;
}

#[tokio::test]
async fn what_was_called_before_the_move_goes_out_to_the_former_listener() {
    let place = Place::new();
    let mut first = Foreign::at(&place).await;
    let mut peer = join(&place, |layer| layer).await;
    soon(peer.roles.settled()).await.unwrap();
    let mut second = Foreign::at(&place).await;
    // All that is called before the move goes to the first, all after it to the second.
    let mut number = 0;
    while peer.reports.roles() != MOVED {
        let sent = soon(peer.handle.ready()).await.unwrap().call(number % 20);
        soon(sent).await.unwrap();
        number += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let last = soon(peer.handle.ready()).await.unwrap().call(21);
    soon(last).await.unwrap();
    let mut got = 0;
    while let Ok(line) = first.lines.try_recv() {
        assert_eq!(line, format!("[{}]", got % 20));
        got += 1;
    }
    let mut rest = Vec::new();
    loop {
        let line = soon(second.lines.recv()).await.unwrap();
        if line == "[21]" {
            break;
        }
        rest.push(line);
    }
    assert_eq!(
        got + rest.len(),
        usize::try_from(number).unwrap(),
        "{rest:?}"
    );
}

#[tokio::test]
async fn a_connector_does_not_leave_its_listener_for_one_that_is_not_allowed() {
    let place = Place::new();
    let mut first = Foreign::at(&place).await;
    let allowed = Arc::new(AtomicBool::new(true));
    let mut peer = join(&place, |layer| {
        let allowed = allowed.clone();
        layer.allow_listener(AccessPolicy::when(move |_| allowed.load(Ordering::Relaxed)))
    })
    .await;
    soon(peer.roles.settled()).await.unwrap();
    allowed.store(false, Ordering::Relaxed);
    let mut second = Foreign::at(&place).await;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(peer.reports.roles(), MOVED[..2]);
    let sent = soon(peer.handle.ready()).await.unwrap().call(1);
    soon(sent).await.unwrap();
    first.prints("[1]").await;

    allowed.store(true, Ordering::Relaxed);
    moved(&peer).await;
    let sent = soon(peer.handle.ready()).await.unwrap().call(2);
    soon(sent).await.unwrap();
    second.prints("[2]").await;
}
