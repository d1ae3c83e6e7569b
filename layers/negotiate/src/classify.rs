//! Errors of connecting and binding, as the machine's inputs.
//!
//! In: errors. Out: results of a probe or a bind. Touches nothing.

use std::{error::Error, io};

use kyneta_uds_core::AdmissionError;
use kyneta_uds_handshake::HandshakeError;
use kyneta_uds_unix::{BindError, ConnectError, NotAllowed};

use crate::machine::{Bind, Probe};

/// The result of a failed probe, from the first cause that is known. Layers in between, the user's too, may
/// wrap the connector's error.
pub(crate) fn of_probe(error: &(dyn Error + 'static)) -> Probe {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return match error {
                ConnectError::NoListener { .. } => Probe::NoListener,
                ConnectError::Busy { .. } => Probe::Busy,
                ConnectError::NotPermitted { .. }
                | ConnectError::NotASocket { .. }
                | ConnectError::Symlink { .. } => Probe::Denied,
                // No process can listen there: a part of the path is a file, say.
                ConnectError::Io { source, .. }
                    if source.kind() == io::ErrorKind::NotADirectory =>
                {
                    Probe::Denied
                }
                _ => Probe::Silent,
            };
        }
        if error.is::<NotAllowed>() {
            return Probe::NotAllowed;
        }
        match error.downcast_ref() {
            Some(AdmissionError::Closed) => return Probe::Rejected,
            Some(AdmissionError::Foreign) => return Probe::Foreign,
            _ => {}
        }
        match error.downcast_ref() {
            Some(HandshakeError::Closed { .. }) => return Probe::Rejected,
            Some(HandshakeError::OtherProtocol) => return Probe::Foreign,
            _ => {}
        }
        // A connector of the user's returns the kernel's error.
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    return Probe::NoListener;
                }
                io::ErrorKind::PermissionDenied => return Probe::Denied,
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    return Probe::Rejected;
                }
                _ => {}
            }
        }
        next = error.source();
    }
    Probe::Silent
}

/// The result of a failed bind.
pub(crate) fn of_bind(error: &BindError) -> Bind {
    match error {
        BindError::InUse { .. } => Bind::InUse,
        _ => Bind::Denied,
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_core::{BoxError, SocketPath};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("of a layer")]
    struct Layered(#[source] BoxError);

    fn no_listener(path: &SocketPath) -> ConnectError {
        let (path, source) = (path.clone(), io::ErrorKind::ConnectionRefused.into());
        ConnectError::NoListener { path, source }
    }

    fn busy(path: &SocketPath) -> ConnectError {
        let (path, source) = (path.clone(), io::ErrorKind::WouldBlock.into());
        ConnectError::Busy { path, source }
    }

    fn not_a_directory(path: &SocketPath) -> ConnectError {
        let (path, source) = (path.clone(), io::ErrorKind::NotADirectory.into());
        ConnectError::Io { path, source }
    }

    #[test]
    fn what_a_layer_wraps_is_found() {
        let path = SocketPath::new("/run/a.sock").unwrap();
        let kernel = |kind: io::ErrorKind| -> BoxError { io::Error::from(kind).into() };
        let table: [(BoxError, Probe); 14] = [
            (no_listener(&path).into(), Probe::NoListener),
            (busy(&path).into(), Probe::Busy),
            (not_a_directory(&path).into(), Probe::Denied),
            (
                ConnectError::NotASocket { path: path.clone() }.into(),
                Probe::Denied,
            ),
            (ConnectError::Symlink { path }.into(), Probe::Denied),
            (NotAllowed { credentials: None }.into(), Probe::NotAllowed),
            (AdmissionError::Closed.into(), Probe::Rejected),
            (AdmissionError::Foreign.into(), Probe::Foreign),
            (
                HandshakeError::Closed { tried: vec![] }.into(),
                Probe::Rejected,
            ),
            (HandshakeError::OtherProtocol.into(), Probe::Foreign),
            (kernel(io::ErrorKind::ConnectionReset), Probe::Rejected),
            (kernel(io::ErrorKind::ConnectionRefused), Probe::NoListener),
            (kernel(io::ErrorKind::TimedOut), Probe::Silent),
            ("elapsed".into(), Probe::Silent),
        ];
        for (error, probe) in table {
            let text = error.to_string();
            assert_eq!(of_probe(&Layered(error)), probe, "{text}");
        }
    }
}
