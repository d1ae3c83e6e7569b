//! Clients that ask without a pause, and check each answer: nothing is lost, repeated or reordered.
//!
//! In: a path, how many. Out: how far they have come, and the first thing that is wrong, which ends the test.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub(crate) struct Clients {
    clients: Vec<Client>,
    stops: Arc<AtomicBool>,
}

struct Client {
    thread: JoinHandle<Result<(), String>>,
    answered: Arc<AtomicU32>,
}

impl Clients {
    pub(crate) fn start(path: &Path, count: usize) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let clients = (0..count)
            .map(|_| Client::start(path, Arc::clone(&stops)))
            .collect();
        Self { clients, stops }
    }

    /// Waits until each of them has had two answers more.
    pub(crate) fn progress(&self) {
        let before: Vec<_> = self
            .clients
            .iter()
            .map(|client| client.answered.load(SeqCst))
            .collect();
        let limit = Instant::now() + Duration::from_secs(20);
        for (client, before) in self.clients.iter().zip(before) {
            while client.answered.load(SeqCst) < before + 2 {
                assert!(
                    !client.thread.is_finished(),
                    "a client has lost its connection"
                );
                assert!(Instant::now() < limit, "a client has no answer");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Ends them: the number of answers.
    pub(crate) fn stop(self) -> u64 {
        self.stops.store(true, SeqCst);
        let answers = self.clients.into_iter().map(|client| {
            client.thread.join().unwrap().unwrap();
            u64::from(client.answered.load(SeqCst))
        });
        answers.sum()
    }

    /// Waits until all of them have lost their connections.
    pub(crate) fn all_broken(self) {
        for client in self.clients {
            assert!(client.thread.join().unwrap().is_err());
        }
    }
}

impl Client {
    fn start(path: &Path, stops: Arc<AtomicBool>) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let answered = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&answered);
        let thread = thread::spawn(move || ask(stream, &count, &stops));
        Self { thread, answered }
    }
}

/// A question is a number of four bytes, cut in two. The answer is that number, and how many questions the service has
/// had on this connection.
fn ask(mut stream: UnixStream, answered: &AtomicU32, stops: &AtomicBool) -> Result<(), String> {
    let mut number = 0_u32;
    while !stops.load(SeqCst) {
        number += 1;
        let question = number.to_be_bytes();
        let failed = |error: std::io::Error| error.to_string();
        stream.write_all(&question[..3]).map_err(failed)?;
        thread::sleep(Duration::from_micros(300));
        stream.write_all(&question[3..]).map_err(failed)?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).map_err(failed)?;
        assert_eq!(
            answer,
            [question, question].concat().as_slice(),
            "the answer to {number}"
        );
        answered.store(number, SeqCst);
    }
    Ok(())
}
