//! The state as a sealed file in memory: neither side can change it afterwards.
//!
//! In: the state of the process and of each connection. Out: a descriptor, and from it the state. May touch: that
//! file.
//!
//! It is read at offsets, because both processes share the file's position.

use std::{
    fs::File,
    io::{self, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
};

use kyneta_uds_core::{Saved, SavedError, SavedValue};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

use crate::Refusal;

/// The version of the file's outermost map.
const VERSION: u32 = 1;

/// The largest state, in bytes: 1 GiB.
const MAX_SIZE: u64 = 1 << 30;

const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// The file, and its size.
pub(super) fn seal(process: Saved, connections: Vec<Saved>) -> io::Result<(OwnedFd, u64)> {
    let connections: Vec<SavedValue> = connections.into_iter().map(SavedValue::from).collect();
    let state = Saved::new(VERSION, VERSION)
        .with("process", process)
        .with("connections", connections);
    let bytes = state.encode();
    let file = memfd_create(
        "kyneta-uds-handoff",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?;
    let mut file = File::from(file);
    file.write_all(&bytes)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok((file.into(), bytes.len() as u64))
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

fn read(bytes: &[u8]) -> Result<(Saved, Vec<Saved>), SavedError> {
    let state = Saved::decode(bytes)?;
    state.check("the handoff", VERSION..=VERSION)?;
    let connection = |value: &SavedValue| match value {
        SavedValue::Part(part) => Ok(part.clone()),
        _ => Err(SavedError::Field {
            name: "connections",
            is: "a list of parts",
        }),
    };
    let connections = state.list("connections")?.iter().map(connection);
    Ok((
        state.part("process")?.clone(),
        connections.collect::<Result<_, _>>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_sealed_and_cannot_be_changed() {
        let (process, connection) = (Saved::new(1, 1).with("here", 2_u64), Saved::new(3, 2));
        let (file, size) = seal(process.clone(), vec![connection.clone(); 2]).unwrap();
        let copy = File::from(file.try_clone().unwrap());
        assert!(copy.write_at(b"x", 0).is_err());
        assert!(copy.set_len(0).is_err());
        assert_eq!(open(file, size).unwrap(), (process, vec![connection; 2]));
    }

    #[test]
    fn a_file_that_is_not_sealed_or_has_another_size_is_refused() {
        let (file, size) = seal(Saved::new(1, 1), vec![]).unwrap();
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
