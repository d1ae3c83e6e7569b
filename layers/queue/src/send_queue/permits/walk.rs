//! Random walks over the send queue, beside a count of the permits that each sender holds.
//!
//! Every step is checked against the count. A failure says what a sender got against its turn: a permit, a wake-up,
//! or none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Wake, Waker},
};

use super::*;
use crate::send_queue::Batch;

#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.swap(true, Relaxed), "woken twice");
    }
}

#[derive(Debug)]
struct Waits {
    key: WaiterKey,
    asks: PermitRequest,
    woken: Arc<Woken>,
}

impl Waits {
    fn is_granted(&self) -> bool {
        self.woken.0.load(Relaxed)
    }
}

struct Walk {
    random: u64,
    send_queue: SendQueue<u32>,
    /// All messages are as large as their senders have said.
    sizes_known: bool,
    held: Vec<(Permit, Option<usize>)>,
    waits: Vec<Waits>,
    /// Messages by size: queued, and taken by the driver.
    queued: Vec<usize>,
    batch: Vec<usize>,
    encoded: u64,
    taken: u64,
    /// A sender is due while the others wait for the handler.
    due: bool,
    /// Permits that were expired while they were held.
    written_off: usize,
}

const MOST: usize = 5;
const MOST_BYTES: usize = 50;
const LARGEST: usize = 40;

impl Walk {
    fn new(seed: u64) -> Self {
        let mut walk = Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            send_queue: SendQueue::new(MOST, MOST_BYTES, Overflow::Wait, None),
            sizes_known: false,
            held: Vec::new(),
            waits: Vec::new(),
            queued: Vec::new(),
            batch: Vec::new(),
            encoded: 0,
            taken: 0,
            due: false,
            written_off: 0,
        };
        walk.below(2);
        walk.sizes_known = walk.below(2) == 0;
        walk
    }

    fn below(&mut self, n: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as usize % n
    }

    fn size(&mut self) -> usize {
        1 + self.below(LARGEST)
    }

    /// One of so many, if there is any.
    fn one_of(&mut self, n: usize) -> Option<usize> {
        (n > 0).then(|| self.below(n))
    }

    fn push(&mut self, permit: Permit, size: Option<usize>) {
        let size = size.unwrap_or_else(|| self.size());
        let pushed = self.send_queue.push(Some(0), size, permit);
        assert!(pushed.driver.is_none());
        self.queued.push(size);
    }

    fn try_acquire(&mut self) {
        let known = self.sizes_known || self.below(2) == 0;
        let asks = PermitRequest {
            answers: self.below(4) == 0,
            size: known.then(|| self.size()),
        };
        let woken = Arc::new(Woken::default());
        let (permit, wakes) = self
            .send_queue
            .acquire_or_wait(asks, &mut Some(Waker::from(woken.clone())));
        wakes.wake();
        match permit {
            Acquire::Permit(permit) => {
                let overtakes =
                    |waits: &&Waits| waits.asks.answers == asks.answers && !waits.is_granted();
                assert!(self.waits.iter().find(overtakes).is_none(), "overtaken");
                if self.send_queue.yielding && !asks.answers {
                    assert!(std::mem::take(&mut self.due), "not due");
                }
                self.held.push((permit, asks.size));
            }
            Acquire::Wait(key) => self.waits.push(Waits { key, asks, woken }),
            permit => panic!("{permit:?}"),
        }
    }

    fn step(&mut self) {
        // What others wait for is handed on with these.
        let mut grants = false;
        match self.below(13) {
            0..3 => self.try_acquire(),
            3 => {
                if let Some(at) = self.one_of(self.waits.len()) {
                    let granted = self.waits[at].is_granted();
                    let again = Arc::new(Woken::default());
                    let mut waker = Some(Waker::from(again.clone()));
                    match self.send_queue.poll_acquire(self.waits[at].key, &mut waker) {
                        Acquire::Permit(permit) => {
                            assert!(granted, "not woken");
                            let waits = self.waits.remove(at);
                            self.held.push((permit, waits.asks.size));
                        }
                        Acquire::Wait(_) => {
                            assert!(!granted, "woken for nothing");
                            self.waits[at].woken = again;
                        }
                        permit => panic!("{permit:?}"),
                    }
                }
            }
            4 => {
                if let Some(at) = self.one_of(self.waits.len()) {
                    let waits = self.waits.remove(at);
                    let (wakes, waker) = self.send_queue.cancel_wait(waits.key);
                    wakes.wake();
                    assert_eq!(waker.is_none(), waits.is_granted());
                    grants = waits.is_granted();
                }
            }
            5 => {
                if let Some(at) = self.one_of(self.waits.len()) {
                    let waits = self.waits.remove(at);
                    let (permit, _) = self.send_queue.take_granted(waits.key);
                    assert_eq!(permit.is_some(), waits.is_granted());
                    if let Some(permit) = permit {
                        self.push(permit, waits.asks.size);
                    }
                }
            }
            6..8 => {
                if let Some(at) = self.one_of(self.held.len()) {
                    let (permit, size) = self.held.remove(at);
                    self.push(permit, size);
                }
            }
            8 => {
                if let Some(at) = self.one_of(self.held.len()) {
                    let (permit, _) = self.held.remove(at);
                    self.send_queue.release(permit).wake();
                    grants = true;
                }
            }
            9 => {
                let size = self.size();
                if self.send_queue.push_at_once(&mut Some(0), size).is_some() {
                    assert!(self.waits.iter().all(Waits::is_granted), "overtaken");
                    assert!(!self.send_queue.yielding, "not its turn");
                    self.queued.push(size);
                }
            }
            10 => grants = self.drive(),
            11 => {
                let yielding = self.below(2) == 0;
                self.due = false;
                self.send_queue.yield_to_handler(yielding).wake();
                grants = true;
            }
            _ => match self.below(3) {
                0 => {
                    self.written_off += self.send_queue.reserved;
                    self.send_queue.expire_permits().wake();
                    grants = true;
                }
                _ => {
                    self.send_queue.admit_one().wake();
                    self.due = true;
                }
            },
        }
        self.check(grants);
    }

    /// The driver takes what waits and encodes some; the kernel takes some of that. True when any was.
    fn drive(&mut self) -> bool {
        if self.batch.is_empty() {
            self.send_queue.take(&mut Batch::new());
            self.batch.append(&mut self.queued);
        }
        let messages = self.below(self.batch.len() + 1);
        let bytes = self.batch.drain(..messages).sum();
        self.encoded += messages as u64;
        self.taken += self.below((self.encoded - self.taken) as usize + 1) as u64;
        self.send_queue
            .progress(messages, bytes, self.taken)
            .wakes
            .wake();
        messages > 0
    }

    fn check(&mut self, grants: bool) {
        let Self { send_queue, .. } = self;
        let granted = send_queue
            .waiters
            .iter()
            .flat_map(|waiters| waiters.granted.values());
        let permits: Vec<Permit> = self
            .held
            .iter()
            .map(|(permit, _)| *permit)
            .chain(granted.copied())
            .collect();
        let counts = |permit: &&Permit| permit.epoch == send_queue.epoch;
        assert_eq!(send_queue.reserved, permits.iter().filter(counts).count());
        let bytes = permits
            .iter()
            .filter(counts)
            .map(|permit| permit.bytes)
            .sum();
        assert_eq!(send_queue.reserved_bytes, bytes);
        let waiting = self.queued.iter().chain(&self.batch);
        assert_eq!(send_queue.messages, waiting.clone().count());
        assert_eq!(send_queue.bytes, waiting.sum());
        assert_eq!(
            (send_queue.encoded, send_queue.taken),
            (self.encoded, self.taken)
        );

        let most = MOST + self.written_off;
        assert!(
            send_queue.messages + send_queue.reserved <= most,
            "{} messages",
            send_queue.messages
        );
        if self.sizes_known {
            // One may exceed the bound.
            let most = MOST_BYTES - 1 + LARGEST * (1 + self.written_off);
            assert!(send_queue.bytes <= most, "{} bytes", send_queue.bytes);
        }
        for answers in [false, true] {
            let mut line = self
                .waits
                .iter()
                .filter(|waits| waits.asks.answers == answers);
            let granted = line.by_ref().take_while(|waits| waits.is_granted()).count();
            assert!(
                line.all(|waits| !waits.is_granted()),
                "overtaken after {granted}"
            );
        }
        let has_room = match grants {
            true => (send_queue.has_room(), send_queue.has_room_to_answer()),
            // What a message takes less than its permit stood for is handed on when it goes out.
            false => (
                !send_queue.yielding && send_queue.messages + send_queue.reserved == 0,
                send_queue.messages + send_queue.reserved == 0,
            ),
        };
        for waits in self.waits.iter().filter(|waits| !waits.is_granted()) {
            let free = if waits.asks.answers {
                has_room.1
            } else {
                has_room.0
            };
            assert!(!free, "{waits:?} has room");
        }
    }

    /// All that is held is used or given back, and all that wait have their turn.
    fn end(&mut self) {
        self.send_queue.yield_to_handler(false).wake();
        for _ in 0..100 {
            while let Some((permit, size)) = self.held.pop() {
                self.push(permit, size);
            }
            self.waits.retain(|waits| {
                match self
                    .send_queue
                    .poll_acquire(waits.key, &mut Some(Waker::noop().clone()))
                {
                    Acquire::Permit(permit) => {
                        self.held.push((permit, waits.asks.size));
                        false
                    }
                    _ => true,
                }
            });
            self.drive();
        }
        assert!(
            self.waits.is_empty() && self.held.is_empty(),
            "{:?}",
            self.waits
        );
        assert_eq!(self.send_queue.reserved, 0);
        assert_eq!(self.send_queue.reserved_bytes, 0);
    }
}

#[test]
fn whatever_senders_and_the_driver_do_no_permit_is_lost_or_counted_twice() {
    for seed in 0..300 {
        println!("seed {seed}");
        let mut walk = Walk::new(seed);
        for _ in 0..200 {
            walk.step();
        }
        walk.end();
    }
}
