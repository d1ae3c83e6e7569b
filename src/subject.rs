//! What an error about a path begins with, so that the path is said once.
//!
//! In: the path, and the cause. Out: the path, or "the path" where the cause names it. Pure.

use std::{error::Error, fmt};

use kyneta_uds_core::{SharedError, SocketPath};
use kyneta_uds_negotiate::RoleWait;
use kyneta_uds_unix::{BindError, ConnectError};

use crate::counts::chain;

/// Displays the path, unless the cause does.
pub(crate) struct Subject<'a>(
    pub(crate) &'a SocketPath,
    pub(crate) Option<&'a SharedError>,
);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.is_some_and(|cause| names_the_path(cause.get_ref())) {
            true => f.write_str("the path"),
            false => self.0.fmt(f),
        }
    }
}

fn names_the_path(cause: &(dyn Error + 'static)) -> bool {
    chain(cause).any(|cause| {
        let within = |wait: &RoleWait| {
            wait.error
                .as_ref()
                .is_some_and(|error| names_the_path(error.get_ref()))
        };
        cause.is::<ConnectError>()
            || cause.is::<BindError>()
            || cause.downcast_ref().is_some_and(within)
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_path_is_said_by_the_cause_or_by_the_subject() {
        let path = SocketPath::new("/run/bus.sock").unwrap();
        let named = ConnectError::new(path.clone(), io::ErrorKind::NotFound.into());
        let named = SharedError::new(named);
        let other = SharedError::new(io::Error::other("gone"));
        let said = |cause| Subject(&path, cause).to_string();
        assert_eq!(said(Some(&named)), "the path");
        assert_eq!(
            [said(Some(&other)), said(None)],
            ["/run/bus.sock", "/run/bus.sock"]
        );
    }
}
