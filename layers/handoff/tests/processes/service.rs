//! A service of one thread that answers each question, with a lock, and that hands over.
//!
//! In: what it is to do at which step: go on, die, stop. Out: a line on stdout for each event. May touch: a path, its
//! lock, its clients.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

use kyneta_uds_core::{Saved, SavedBytes, SavedError};
use kyneta_uds_handoff::{
    Frozen, HandOver, Limits, Offer, Outcome, Received, Refusal, TakeOver, take_over,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::listen,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

struct Service {
    listener: UnixListener,
    lock: File,
    offer: Offer,
    connections: Vec<Connection>,
    faults: String,
}

struct Connection {
    stream: UnixStream,
    questions: u64,
    arriving: Vec<u8>,
}

fn say(what: impl std::fmt::Display) {
    println!("> {what}");
}

/// The limit that lets a process open `more` descriptors than it has.
fn limit_descriptors(more: u64) {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(open + more),
        maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

pub(crate) fn run(path: &Path, faults: &str) {
    let service = if faults.contains("take") {
        if faults.contains("few-descriptors") {
            limit_descriptors(20);
        }
        if faults.contains("limits-later") {
            std::thread::spawn(|| {
                wait_for_a_line();
                limit_descriptors(5);
                say("limited");
            });
        }
        successor(path, faults)
    } else {
        bind(path, faults)
    };
    if let Some(mut service) = service {
        service.serve();
    }
}

fn bind(path: &Path, faults: &str) -> Option<Service> {
    let lock = File::create(path.with_extension("lock")).unwrap();
    // A process that dies closes its sockets a moment before its lock.
    let start = Instant::now();
    while lock.try_lock().is_err() {
        if start.elapsed() > Duration::from_millis(500) {
            say("locked");
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = std::fs::remove_file(path);
    let service = Service {
        listener: UnixListener::bind(path).unwrap(),
        lock,
        offer: Offer::bind(path).unwrap(),
        connections: Vec::new(),
        faults: faults.to_owned(),
    };
    say("bound");
    Some(service)
}

fn successor(path: &Path, faults: &str) -> Option<Service> {
    let taken = take_over(path, Limits::default(), |received| {
        prepare(path, faults, received)
    });
    match taken {
        Ok(TakeOver::All {
            prepared, since, ..
        }) => {
            listen(&prepared.listener, 128).unwrap();
            say(format_args!(
                "took-over {} {}",
                prepared.connections.len(),
                since.elapsed().as_micros()
            ));
            Some(prepared)
        }
        Ok(TakeOver::Listener { shared, .. }) => {
            say("took-listener");
            Some(shared_parts(path, faults, shared).unwrap())
        }
        Ok(_) => bind(path, faults),
        Err(error) => {
            say(error);
            None
        }
    }
}

fn wait_for_a_line() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn prepare(path: &Path, faults: &str, received: Received) -> Result<Service, Refusal> {
    if faults.contains("abort-in-prepare") {
        std::process::abort();
    }
    if faults.contains("hang-in-prepare") {
        std::thread::sleep(Duration::from_secs(60));
    }
    if faults.contains("waits-in-prepare") {
        say("prepares");
        wait_for_a_line();
    }
    let refused = |error: SavedError| Refusal::Other(error.to_string());
    let reads = if faults.contains("reads-no-state") {
        2..=2
    } else {
        1..=1
    };
    received
        .process
        .check("the service", reads)
        .map_err(refused)?;
    let mut service = shared_parts(path, faults, received.shared)?;
    for (descriptor, state) in received.connections {
        let state = state.decode().map_err(refused)?;
        service.connections.push(Connection {
            stream: descriptor.into(),
            questions: state.number("questions").map_err(refused)?,
            arriving: state.bytes("arriving").map_err(refused)?.to_vec(),
        });
    }
    Ok(service)
}

fn shared_parts(
    path: &Path,
    faults: &str,
    shared: Vec<std::os::fd::OwnedFd>,
) -> Result<Service, Refusal> {
    let [listener, lock, offer] = <[_; 3]>::try_from(shared)
        .map_err(|_| Refusal::Other("listener, lock and offer".into()))?;
    Ok(Service {
        listener: listener.into(),
        lock: lock.into(),
        offer: Offer::resume(offer, path).map_err(|error| Refusal::Other(error.to_string()))?,
        connections: Vec::new(),
        faults: faults.to_owned(),
    })
}

impl Service {
    fn serve(&mut self) {
        self.listener.set_nonblocking(true).unwrap();
        loop {
            let ready = self.wait();
            if ready && self.asked() {
                say("handed-over");
                return; // without the destructors of a bound path
            }
            if !self.faults.contains("accepts-none") {
                while let Ok((stream, _)) = self.listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    self.connections.push(Connection {
                        stream,
                        questions: 0,
                        arriving: Vec::new(),
                    });
                }
            }
            self.connections.retain_mut(Connection::answers);
        }
    }

    /// True when the offer is ready.
    fn wait(&self) -> bool {
        let flags = PollFlags::IN;
        let mut polled = vec![PollFd::new(&self.offer, flags)];
        if !self.faults.contains("accepts-none") {
            polled.push(PollFd::new(&self.listener, flags));
        }
        polled.extend(
            self.connections
                .iter()
                .map(|connection| PollFd::new(&connection.stream, flags)),
        );
        poll(&mut polled, None).unwrap();
        !polled[0].revents().is_empty()
    }

    /// True when it has handed over.
    fn asked(&mut self) -> bool {
        let Some(asking) = self.offer.accept().unwrap() else {
            return false;
        };
        match asking.hand_over(self, Limits::default()) {
            Outcome::Left { .. } => return true,
            Outcome::Stayed { why, .. } => say(format_args!("stayed: {why}")),
            _ => {}
        }
        false
    }
}

impl HandOver for Service {
    fn shared(&mut self) -> Vec<BorrowedFd<'_>> {
        if self.faults.contains("abort-at-hello") {
            std::process::abort();
        }
        vec![self.listener.as_fd(), self.lock.as_fd(), self.offer.as_fd()]
    }

    fn connections(&self) -> usize {
        self.connections.len()
    }

    fn freeze(&mut self) -> Result<Frozen, Refusal> {
        if self.faults.contains("waits-frozen") {
            say("frozen");
            wait_for_a_line();
        }
        let connections = self.connections.iter().map(|connection| {
            let state = Saved::new(1, 1)
                .with("questions", connection.questions)
                .with("arriving", connection.arriving.clone());
            (
                connection.stream.try_clone().unwrap().into(),
                SavedBytes::from(&state),
            )
        });
        Ok(Frozen {
            process: Saved::new(1, 1),
            connections: connections.collect(),
        })
    }

    fn thaw(&mut self, _: Option<Frozen>) {}
}

impl Connection {
    /// False at its end.
    fn answers(&mut self) -> bool {
        let mut bytes = [0; 4];
        loop {
            match self.stream.read(&mut bytes[self.arriving.len()..]) {
                Ok(0) => return false,
                Ok(read) => {
                    self.arriving
                        .extend_from_slice(&bytes[self.arriving.len()..][..read]);
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
            if self.arriving.len() == 4 {
                self.questions += 1;
                self.arriving.extend((self.questions as u32).to_be_bytes());
                self.stream.write_all(&self.arriving).unwrap();
                self.arriving.clear();
            }
        }
    }
}
