//! Memory for the state of many connections.
//!
//! In: how many connections there will be. Out: nothing. May touch: the allocator of this thread, and of threads that end
//! at once.
//!
//! A process that has just started gets its memory from the kernel page by page, and pays for each when it is first
//! touched: a fifth of the processor time of a handoff of idle connections. It can be paid before all wait. Allocators keep
//! memory for each thread, and give that of a thread that has ended to the next one that begins: so there is some for the
//! threads that will read the states, too.

use std::{num::NonZeroUsize, thread};

/// What the state of a connection and its stack take, in bytes, with some to spare.
const EACH: usize = 10 << 10;

/// In bytes. Smaller than what allocators keep apart (128 KiB).
const BLOCK: usize = 32 << 10;

/// At most, in bytes: 64 MiB.
const MOST: usize = 64 << 20;

/// Memory that was made ready for the state of the connections, and is not given back to the kernel before this is dropped.
#[derive(Debug, Default)]
pub struct Memory(Vec<OfThread>);

#[derive(Debug)]
struct OfThread {
    blocks: Vec<Vec<u8>>,
    /// Behind them, so that the allocator does not give them back to the kernel.
    _last: Vec<u8>,
}

impl Memory {
    pub(super) fn touch(connections: u32) -> Self {
        let bytes = (connections as usize).saturating_mul(EACH).min(MOST);
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // A thread is not worth less.
        let threads = threads.min(bytes / BLOCK).max(1);
        let share = bytes / BLOCK / threads;
        let of_thread = move || OfThread {
            blocks: (0..share).map(|_| vec![1; BLOCK]).collect(),
            _last: Vec::with_capacity(BLOCK),
        };
        // All at once: one after another would have the same memory.
        let others: Vec<_> = (1..threads).map(|_| thread::spawn(of_thread)).collect();
        let mut touched = vec![of_thread()];
        touched.extend(others.into_iter().filter_map(|other| other.join().ok()));
        Self(touched)
    }

    /// It can be used now.
    pub(super) fn use_it(&mut self) {
        for of_thread in &mut self.0 {
            of_thread.blocks = Vec::new();
        }
    }
}
