//! Memory for the state of many connections.
//!
//! In: how many connections there will be. Out: nothing. May touch: the allocator of this thread.
//!
//! A process that has just started gets its memory from the kernel page by page, and pays for each when it is first
//! touched: a fifth of the processor time of a handoff of idle connections. It can be paid before all wait.

/// What the state of a connection and its stack take, in bytes.
const EACH: usize = 6 << 10;

/// In bytes. Smaller than what allocators keep apart (128 KiB).
const BLOCK: usize = 32 << 10;

/// At most, in bytes: 64 MiB.
const MOST: usize = 64 << 20;

/// Memory that was touched.
#[derive(Debug, Default)]
pub(super) struct Memory {
    blocks: Vec<Vec<u8>>,
    /// Behind them, so that the allocator does not give them back to the kernel.
    _last: Vec<u8>,
}

impl Memory {
    pub(super) fn touch(connections: u32) -> Self {
        let bytes = (connections as usize).saturating_mul(EACH).min(MOST);
        let blocks = (0..bytes / BLOCK).map(|_| vec![1; BLOCK]).collect();
        Self {
            blocks,
            _last: Vec::with_capacity(BLOCK),
        }
    }

    /// It can be used now, in this thread.
    pub(super) fn use_it(&mut self) {
        self.blocks = Vec::new();
    }
}
