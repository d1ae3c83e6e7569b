//! What machines and their messages are called at the server.
//!
//! In: names of machines. Out: keys, subjects. Touches nothing.

use kyneta_uds_machines::{MachineKey, MachineName};
use sha2::{Digest as _, Sha256};

/// The stream, and the first part of all subjects.
pub(crate) const STREAM: &str = "kyneta-uds";

/// What the stream stores.
pub(crate) const ALL_STORED: &str = "kyneta-uds.data.>";

/// The key of a machine over NATS: made of its name alone. That a client may publish under a name is the server's to say.
///
/// ```
/// use kyneta_uds_nats::machine_key;
/// let (oslo, rome) = ("oslo".parse()?, "rome".parse()?);
/// assert_ne!(machine_key(&oslo), machine_key(&rome));
/// # Ok::<(), kyneta_uds_machines::NameError>(())
/// ```
pub fn machine_key(name: &MachineName) -> MachineKey {
    let digest =
        Sha256::new_with_prefix(b"kyneta-uds machine over NATS: ").chain_update(name.as_str());
    MachineKey::from(<[u8; 32]>::from(digest.finalize()))
}

/// A name as one part of a subject, and as the name of a consumer: a dot would be two parts.
pub(crate) fn token(name: &MachineName) -> String {
    name.as_str().replace('.', "+")
}

/// What a part of a subject names.
fn name(token: &str) -> Option<MachineName> {
    token.replace('+', ".").parse().ok()
}

/// Under which subjects one machine sends to another one.
#[derive(Debug, Clone)]
pub(crate) struct Subjects {
    /// What the server stores.
    pub(crate) data: String,
    /// Signs of life, which may be lost.
    pub(crate) live: String,
}

impl Subjects {
    pub(crate) fn new(from: &MachineName, to: &MachineName) -> Self {
        let [from, to] = [from, to].map(token);
        Self {
            data: format!("{STREAM}.data.{from}.{to}"),
            live: format!("{STREAM}.live.{from}.{to}"),
        }
    }

    /// All that others send to a machine.
    pub(crate) fn to(me: &MachineName) -> Self {
        let to = token(me);
        Self {
            data: format!("{STREAM}.data.*.{to}"),
            live: format!("{STREAM}.live.*.{to}"),
        }
    }
}

/// Which machine has sent under a subject.
pub(crate) fn sender(subject: &str) -> Option<MachineName> {
    let mut parts = subject.split('.').skip(2);
    let from = name(parts.next()?)?;
    parts.next().map(|_| from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_tells_its_sender_whatever_its_name() {
        let to: MachineName = "rome".parse().unwrap();
        for from in ["oslo", "rack-7.oslo", "_"] {
            let from: MachineName = from.parse().unwrap();
            let subjects = Subjects::new(&from, &to);
            assert_eq!(subjects.data.split('.').count(), 4);
            assert_eq!(sender(&subjects.data), Some(from.clone()));
            assert_eq!(sender(&subjects.live), Some(from));
        }
        for other in ["", "kyneta-uds.data", "kyneta-uds.data.oslo", "a.b.c!.d"] {
            assert_eq!(sender(other), None, "{other}");
        }
    }
}
