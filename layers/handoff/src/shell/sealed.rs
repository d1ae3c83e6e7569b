//! The state as a sealed file in memory: neither side can change it afterwards.
//!
//! In: the state of the process and of each connection. Out: a descriptor, and from it the state. May touch: that
//! file.
//!
//! It is a sequence of values: that of the process, then one for each connection. It is read at offsets, because both
//! processes share the file's position.

use std::{
    fs::File,
    io::{self, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
};

use kyneta_uds_core::{Saved, SavedError};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

use crate::Refusal;

/// The version of the file's first value.
const VERSION: u32 = 1;

/// What is written at once at least, in bytes: a state of 100 MiB is not held twice.
const CHUNK: usize = 256 << 10;

/// The largest state, in bytes: 1 GiB.
const MAX_SIZE: u64 = 1 << 30;

const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// The file, and its size.
pub(super) fn seal<'a>(
    process: Saved,
    connections: impl Iterator<Item = &'a Saved>,
) -> io::Result<(OwnedFd, u64)> {
    let file = memfd_create(
        "kyneta-uds-handoff",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?;
    let mut file = File::from(file);
    let mut size = 0;
    let mut chunk = Vec::with_capacity(2 * CHUNK);
    Saved::new(VERSION, VERSION)
        .with("process", process)
        .encode_to(&mut chunk);
    for connection in connections {
        if chunk.len() >= CHUNK {
            file.write_all(&chunk)?;
            size += chunk.len() as u64;
            chunk.clear();
        }
        connection.encode_to(&mut chunk);
    }
    file.write_all(&chunk)?;
    size += chunk.len() as u64;
    fcntl_add_seals(&file, SEALS)?;
    Ok((file.into(), size))
}

/// The state of the process, and of each connection in order.
pub(super) fn open(file: OwnedFd, size: u64) -> Result<(Saved, Vec<Saved>), Refusal> {
    let other = |why: &str| Refusal::Other(why.to_owned());
    let failed = |error: io::Error| Refusal::Other(format!("the state cannot be read: {error}"));
    let seals = fcntl_get_seals(&file).map_err(|error| failed(error.into()))?;
    if !seals.contains(SEALS) {
        return Err(other("the file with the state is not sealed"));
    }
    let file = File::from(file);
    if size > MAX_SIZE || file.metadata().map_err(failed)?.size() != size {
        return Err(other(
            "the file with the state has another size than was said, or is over 1 GiB",
        ));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    read(&bytes).map_err(|error| Refusal::Other(error.to_string()))
}

fn read(mut bytes: &[u8]) -> Result<(Saved, Vec<Saved>), SavedError> {
    let first = Saved::decode_first(&mut bytes)?;
    first.check("the handoff", VERSION..=VERSION)?;
    let mut connections = Vec::new();
    while !bytes.is_empty() {
        connections.push(Saved::decode_first(&mut bytes)?);
    }
    Ok((first.part("process")?.clone(), connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_sealed_and_cannot_be_changed() {
        let (process, connection) = (Saved::new(1, 1).with("here", 2_u64), Saved::new(3, 2));
        let (file, size) = seal(process.clone(), [&connection; 2].into_iter()).unwrap();
        let copy = File::from(file.try_clone().unwrap());
        assert!(copy.write_at(b"x", 0).is_err());
        assert!(copy.set_len(0).is_err());
        assert_eq!(open(file, size).unwrap(), (process, vec![connection; 2]));
    }

    #[test]
    fn a_file_that_is_not_sealed_or_has_another_size_is_refused() {
        let (file, size) = seal(Saved::new(1, 1), [].into_iter()).unwrap();
        let error = open(file, size + 1).unwrap_err();
        assert!(error.to_string().contains("another size than was said"));
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let open_file = memfd_create("unsealed", flags).unwrap();
        let error = open(open_file, 0).unwrap_err();
        assert_eq!(error.to_string(), "the file with the state is not sealed");
    }

    #[test]
    fn a_state_of_an_unknown_version_is_refused_with_a_sentence() {
        let later = Saved::new(9, 9).encode();
        assert_eq!(
            read(&later).unwrap_err().to_string(),
            "the saved state of the handoff has version 9, for readers from version 9 on; this is version 1"
        );
    }
}
