//! The state as a sealed file in memory: neither side can change it afterwards. What goes ahead, too.
//!
//! In: the state of the process and of each connection; bytes. Out: a descriptor, and from it the same. May touch: that
//! file.
//!
//! Version 1 is a CBOR sequence (RFC 8742) of [`Saved`] values: a head with the state of the process and the lengths of
//! the others in bytes, then the state of each connection. So each of them can be read by itself. It is read at offsets,
//! because both processes share the file's position.

use std::{
    fs::File,
    io::{self, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
};

use bytes::Bytes;
use kyneta_uds_core::{Saved, SavedBytes, SavedError, SavedValue};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

use crate::Refusal;

/// The version of the file, which its head has. A reader of another one refuses it.
const VERSION: u32 = 1;
const PROCESS: &str = "process";
const LENGTHS: &str = "lengths";

/// What is written at once at least, in bytes: a state of 100 MiB is not held twice.
const CHUNK: usize = 256 << 10;

/// The largest state, in bytes: 1 GiB.
const MAX_SIZE: u64 = 1 << 30;

const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// The file, and its size.
///
/// # Errors
/// No file could be made or written, or the state is over 1 GiB, which a successor would not read.
pub(super) fn seal<'a>(
    process: Saved,
    connections: impl Iterator<Item = &'a SavedBytes> + Clone,
) -> io::Result<(OwnedFd, u64)> {
    let chunk = head(process, connections.clone());
    let lengths = connections.clone().map(|of| of.as_ref().len() as u64);
    let size = lengths.fold(chunk.len() as u64, u64::saturating_add);
    if size > MAX_SIZE {
        let why = format!("it has {size} bytes; at most {MAX_SIZE} are handed over");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    let file = sealed(chunk, connections.map(AsRef::as_ref))?;
    Ok((file, size))
}

/// A file of these bytes alone.
///
/// # Errors
/// No file could be made or written.
pub(super) fn seal_bytes(pieces: &[Bytes]) -> io::Result<OwnedFd> {
    sealed(Vec::with_capacity(CHUNK), pieces.iter().map(AsRef::as_ref))
}

/// A file of a beginning, whose memory is used again, and the rest.
fn sealed<'a>(mut chunk: Vec<u8>, rest: impl Iterator<Item = &'a [u8]>) -> io::Result<OwnedFd> {
    let file = memfd_create(
        "kyneta-uds-handoff",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?;
    let mut file = File::from(file);
    for part in rest {
        if chunk.len() + part.len() > CHUNK {
            file.write_all(&chunk)?;
            chunk.clear();
        }
        if part.len() > CHUNK {
            file.write_all(part)?;
        } else {
            chunk.extend_from_slice(part);
        }
    }
    file.write_all(&chunk)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

fn head<'a>(process: Saved, connections: impl Iterator<Item = &'a SavedBytes>) -> Vec<u8> {
    let length = |of: &SavedBytes| SavedValue::from(of.as_ref().len() as u64);
    let head = Saved::new(VERSION, VERSION)
        .with(PROCESS, process)
        .with(LENGTHS, connections.map(length).collect::<Vec<_>>());
    let mut bytes = Vec::with_capacity(CHUNK);
    head.encode_to(&mut bytes);
    bytes
}

/// The state of the process, and of each connection in order.
pub(super) fn open(file: OwnedFd, size: u64) -> Result<(Saved, Vec<SavedBytes>), Refusal> {
    let bytes = open_bytes(file)?;
    if bytes.len() as u64 != size {
        let why = "the file with the state has another size than was said";
        return Err(Refusal::Other(why.to_owned()));
    }
    read(bytes).map_err(|error| Refusal::Other(error.to_string()))
}

/// What is in a sealed file.
pub(super) fn open_bytes(file: OwnedFd) -> Result<Bytes, Refusal> {
    let other = |why: &str| Refusal::Other(why.to_owned());
    let failed = |error: io::Error| Refusal::Other(format!("the state cannot be read: {error}"));
    let seals = fcntl_get_seals(&file).map_err(|error| failed(error.into()))?;
    if !seals.contains(SEALS) {
        return Err(other("the file with the state is not sealed"));
    }
    let file = File::from(file);
    let size = file.metadata().map_err(failed)?.size();
    if size > MAX_SIZE {
        return Err(other("the file with the state is over 1 GiB"));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    Ok(bytes.into())
}

fn read(bytes: Bytes) -> Result<(Saved, Vec<SavedBytes>), SavedError> {
    let mut rest = bytes.as_ref();
    let head = Saved::decode_first(&mut rest)?;
    head.check("the handoff", VERSION..=VERSION)?;
    let mut rest = bytes.slice_ref(rest);
    let mut connections = Vec::new();
    for length in head.list(LENGTHS)? {
        let length = match length {
            SavedValue::Number(length) => usize::try_from(*length).unwrap_or(usize::MAX),
            _ => return Err(SavedError::invalid(LENGTHS, "one is no number")),
        };
        if length > rest.len() {
            return Err(SavedError::invalid(
                LENGTHS,
                "they are more than the file has",
            ));
        }
        connections.push(rest.split_to(length).into());
    }
    if !rest.is_empty() {
        return Err(SavedError::invalid(LENGTHS, "the file has more"));
    }
    Ok((head.part(PROCESS)?.clone(), connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_sealed_and_cannot_be_changed() {
        let process = Saved::new(1, 1).with("here", 2_u64);
        let connections = [1, CHUNK - 9, 2 * CHUNK, 0, 7].map(|length| {
            let unsent = vec![7; length];
            SavedBytes::from(&Saved::new(3, 2).with("unsent", unsent))
        });
        let (file, size) = seal(process.clone(), connections.iter()).unwrap();
        let copy = File::from(file.try_clone().unwrap());
        assert!(copy.write_at(b"x", 0).is_err());
        assert!(copy.set_len(0).is_err());
        assert_eq!(open(file, size).unwrap(), (process, connections.to_vec()));
    }

    #[test]
    fn a_file_that_is_not_sealed_or_has_another_size_is_refused() {
        let (file, size) = seal(Saved::new(1, 1), [].iter()).unwrap();
        let error = open(file, size + 1).unwrap_err();
        assert!(error.to_string().contains("another size than was said"));
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let open_file = memfd_create("unsealed", flags).unwrap();
        let error = open(open_file, 0).unwrap_err();
        assert_eq!(error.to_string(), "the file with the state is not sealed");
    }

    #[test]
    fn a_state_that_no_successor_reads_is_not_written() {
        let connection = SavedBytes::from(Bytes::from(vec![0; 1 << 20]));
        let connections = std::iter::repeat_n(&connection, 1024);
        let error = seal(Saved::new(1, 1), connections).unwrap_err();
        let why = error.to_string();
        assert!(
            why.ends_with("bytes; at most 1073741824 are handed over"),
            "{why}"
        );
    }

    #[test]
    fn a_state_of_an_unknown_version_is_refused_with_a_sentence() {
        let later = Saved::new(9, 9).encode();
        assert_eq!(
            read(later.into()).unwrap_err().to_string(),
            "the saved state of the handoff has version 9, for readers from version 9 on; this is version 1"
        );
    }

    #[test]
    fn a_file_whose_lengths_are_not_its_own_is_refused_with_a_sentence() {
        let of = |lengths: Vec<SavedValue>| {
            let head = Saved::new(VERSION, VERSION).with(PROCESS, Saved::new(1, 1));
            let mut file = head.with(LENGTHS, lengths).encode();
            file.extend_from_slice(b"four");
            read(file.into()).unwrap_err().to_string()
        };
        let lengths = |of: &[u64]| of.iter().map(|length| SavedValue::from(*length)).collect();
        for (lengths, why) in [
            (lengths(&[2, u64::MAX]), "they are more than the file has"),
            (lengths(&[2, 1]), "the file has more"),
            (vec!["four".into()], "one is no number"),
        ] {
            let error = of(lengths);
            assert!(error.ends_with(why), "{error}");
        }
    }

    /// What the releases have sealed is read, and this one seals the same (tests/vectors/saved-process.json).
    #[test]
    fn the_files_of_all_releases_are_read() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/saved-process.json"
        );
        let vectors = std::fs::read_to_string(path).unwrap();
        let mut files = 0;
        for (_, rest) in [r#""server":""#, r#""bus":""#].iter().flat_map(|name| {
            vectors
                .match_indices(name)
                .map(|(at, _)| vectors.split_at(at + name.len()))
        }) {
            let digits = rest.split('"').next().unwrap();
            let bytes = (0..digits.len()).step_by(2);
            let bytes = bytes.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
            let bytes: Vec<u8> = bytes.collect();
            let (process, connections) = read(bytes.clone().into()).unwrap();
            let (file, size) = seal(process, connections.iter()).unwrap();
            let mut sealed = vec![0; size as usize];
            File::from(file).read_exact_at(&mut sealed, 0).unwrap();
            assert_eq!(sealed, bytes);
            files += 1;
        }
        assert!(files >= 2);
    }
}
