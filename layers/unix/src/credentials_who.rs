//! A process, for people.

use std::fmt;

use kyneta_uds_core::Credentials;

use crate::user_namespace::is_unmapped;

/// "a process of uid 0 (gid 0, pid 1)"
pub(crate) struct Who(pub(crate) Option<Credentials>);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(credentials) => {
                write!(f, "a process of {credentials}")?;
                match is_unmapped(credentials.uid) {
                    true => f.write_str(
                        ", which stands for all users that this namespace does not map,",
                    ),
                    false => Ok(()),
                }
            }
            None => f.write_str("a process that the kernel tells nothing of"),
        }
    }
}
