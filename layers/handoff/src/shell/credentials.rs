//! Which process may be the other side: one of the same user.
//!
//! In: a connected socket. Out: the other side's process id, or why it may not. May touch: one file of /proc.

use std::fs;

use rustix::{fd::BorrowedFd, net::sockopt::socket_peercred, process::geteuid};

use crate::Refusal;

/// The default of /proc/sys/kernel/overflowuid.
const OVERFLOW_UID: u32 = 65_534;

/// The process at the other end, if it is of the same user. In a user namespace all users that are not mapped have
/// one uid, the overflow uid: a process of that uid hands over to none and takes over from none.
pub(super) fn same_user(socket: BorrowedFd<'_>) -> Result<u32, Refusal> {
    let credentials = socket_peercred(socket).map_err(|error| {
        Refusal::Other(format!(
            "the user of the other process is not known: {error}"
        ))
    })?;
    let (ours, theirs) = (geteuid().as_raw(), credentials.uid.as_raw());
    if ours != theirs || stands_for_many(ours) {
        return Err(Refusal::User { theirs, ours });
    }
    Ok(credentials.pid.as_raw_nonzero().get().unsigned_abs())
}

fn stands_for_many(uid: u32) -> bool {
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    let overflow = overflow.and_then(|uid| uid.trim().parse().ok());
    uid == OVERFLOW_UID || Some(uid) == overflow
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsFd as _, unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_process_of_the_same_user_is_known_by_its_id_and_the_overflow_uid_stands_for_many() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(same_user(ours.as_fd()).unwrap(), std::process::id());
        assert!(stands_for_many(65_534));
        assert!(!stands_for_many(0));
    }
}
