//! What an offer claims to hold, before the library makes room for it.
//!
//! In: the bytes of an offer. Out: whether the library may read them. Touches nothing.
//!
//! The library makes room for as many parts as a count says, repeats what a run says, and keeps values however deep they
//! are nested: a hundred bytes would take gigabytes, and memory that is not there, or a stack that is used up, ends the
//! process, which no `catch_unwind` prevents. Here all counts and runs together are held against the bytes there are, and
//! the depth against a limit. Everything else is left to the library.

mod block;
mod columns;
mod snapshot;
mod table;
mod value;
mod walk;

pub(crate) use self::value::MAX_DEPTH;
use self::walk::Walk;

/// Why an offer is not read.
type Refused = &'static str;

/// Magic, checksum and mode.
const HEADER: usize = 22;
const SNAPSHOT: u8 = 3;
const UPDATES: u8 = 4;

/// The fewest bytes that may be packed into a snapshot.
const MIN_UNPACKED: usize = 1 << 20;

/// Checks an offer for a document that may hold so many bytes. How many containers may be in it at most.
pub(crate) fn check(offer: &[u8], max_bytes: usize) -> Result<usize, Refused> {
    let Some((header, body)) = offer.split_at_checked(HEADER) else {
        return Err("it ends too early");
    };
    let mut room = Room::of(offer.len());
    match header.last() {
        Some(&UPDATES) => {
            let mut walk = Walk(body);
            while !walk.is_empty() {
                block::check(walk.bytes()?, &mut room)?;
            }
        }
        Some(&SNAPSHOT) => {
            let unpacked = max_bytes.saturating_mul(4).max(MIN_UNPACKED);
            snapshot::check(body, unpacked, &mut room)?;
        }
        _ => return Err("it is neither an update nor a snapshot"),
    }
    Ok(room.containers)
}

/// How many parts may still be claimed.
struct Room {
    parts: u64,
    containers: usize,
}

impl Room {
    /// Few bytes may hold many parts that are alike, but not without a limit; and one of the library's takes about a
    /// hundred bytes.
    fn of(bytes: usize) -> Self {
        let bytes = bytes as u64;
        Self {
            parts: (1 << 16) + bytes.saturating_mul(16).min(1 << 20) + bytes.saturating_mul(2),
            containers: 0,
        }
    }

    /// Some of the bytes were packed.
    const fn unpacked(&mut self, bytes: usize) {
        self.parts = self.parts.saturating_add((bytes as u64).saturating_mul(2));
    }

    fn claim(&mut self, parts: u64) -> Result<(), Refused> {
        let left = self.parts.checked_sub(parts);
        self.parts = left.ok_or("it claims to hold more than its bytes can")?;
        Ok(())
    }

    const fn container(&mut self) {
        self.containers = self.containers.saturating_add(1);
    }
}
