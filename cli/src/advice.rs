//! What a person can do where users keep two processes apart, as the end of a sentence.
//!
//! In: an error. Out: a clause, empty where there is no advice. Touches nothing but the number of this user.

use std::error::Error;

use kyneta_uds::{SharedError, handshake::HandshakeError, unix::NotAllowed};
use rustix::process::geteuid;

/// Of an error of a command that connects. `allows`: it has the option `--allow-uid` itself.
pub(crate) fn of(error: &(dyn Error + 'static), allows: bool) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        let allowed = error.downcast_ref::<NotAllowed>();
        if let Some(listener) = allowed.and_then(|not| not.credentials)
            && allows
        {
            return format!("; --allow-uid {} allows that user", listener.uid);
        }
        if let Some(HandshakeError::Closed { .. }) = error.downcast_ref() {
            let us = geteuid().as_raw();
            return format!("; if it does not allow this user, start it with --allow-uid {us}");
        }
        next = match error.downcast_ref::<SharedError>() {
            Some(shared) => Some(shared.get_ref()),
            None => error.source(),
        };
    }
    String::new()
}

/// Of a listener that has rejected a process of this user, if the kernel has said which.
pub(crate) fn of_listener(uid: Option<u32>) -> String {
    match uid {
        Some(uid) => format!("; --allow-uid {uid} allows that user"),
        None => "; --allow-uid allows its user".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    // A test panics when it fails.
    #![allow(clippy::unwrap_used)]

    use kyneta_uds::{Credentials, JoinError, SocketPath};

    use super::*;

    #[test]
    fn what_keeps_users_apart_is_found_below_other_errors() {
        let credentials = Some(Credentials {
            uid: 33,
            gid: 33,
            pid: None,
        });
        let path = SocketPath::new("/run/bus.sock").unwrap();
        let source = SharedError::new(NotAllowed { credentials });
        let other = JoinError::InTheWay { path, source };
        assert_eq!(of(&other, true), "; --allow-uid 33 allows that user");
        assert_eq!(of(&other, false), "");
        let closed = of(&HandshakeError::Closed { tried: Vec::new() }, false);
        assert!(closed.contains("start it with --allow-uid "), "{closed}");
        assert_eq!(of(&std::io::Error::other("full"), true), "");
    }
}
