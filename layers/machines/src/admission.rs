//! Which machines may have a link: those that are named.
//!
//! In: keys and names. Out: which one it is, or a refusal. Touches nothing.

use std::collections::BTreeMap;

use crate::{
    link::{Refusal, Role},
    name::{MachineKey, MachineName},
};

/// The machines that are named, by key.
///
/// ```
/// use kyneta_uds_machines::{Admission, MachineKey, Refusal, Role};
///
/// let (me, oslo) = (MachineKey::from([1; 32]), MachineKey::from([2; 32]));
/// let mut admission = Admission::new(me);
/// admission.add(oslo, "oslo".parse()?)?;
/// assert_eq!(admission.role(oslo), Ok(Role::Dials)); // the smaller key dials
/// assert_eq!(admission.name(oslo, "rome"), Err(Refusal::OtherName));
/// assert!(admission.name(oslo, &oslo.to_string()).is_ok());
/// assert_eq!(admission.role(MachineKey::from([3; 32])), Err(Refusal::UnknownKey));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Admission {
    me: MachineKey,
    names: BTreeMap<MachineKey, MachineName>,
}

impl Admission {
    /// Without other machines.
    pub fn new(me: MachineKey) -> Self {
        Self {
            me,
            names: BTreeMap::new(),
        }
    }

    /// Names another machine.
    ///
    /// # Errors
    /// [`SameKey`]: the key is this machine's own, or has a name already; or the name is taken.
    pub fn add(&mut self, key: MachineKey, name: MachineName) -> Result<(), SameKey> {
        if key == self.me {
            return Err(SameKey::Own { name });
        }
        if self.names.contains_key(&key) || self.names.values().any(|known| *known == name) {
            return Err(SameKey::Twice { name });
        }
        self.names.insert(key, name);
        Ok(())
    }

    /// Which part this side has in the link to a machine, before a byte is read from it.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`].
    pub fn role(&self, key: MachineKey) -> Result<Role, Refusal> {
        match self.names.contains_key(&key) {
            true if self.me < key => Ok(Role::Dials),
            true => Ok(Role::Answers),
            false => Err(Refusal::UnknownKey),
        }
    }

    /// The name of a machine, which it must say itself; or its key, if it has no name of its own.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], [`Refusal::OtherName`].
    pub fn name(&self, key: MachineKey, claimed: &str) -> Result<&MachineName, Refusal> {
        let name = self.names.get(&key).ok_or(Refusal::UnknownKey)?;
        match name.as_str() == claimed || key.to_string() == claimed {
            true => Ok(name),
            false => Err(Refusal::OtherName),
        }
    }
}

/// A machine is named that cannot be told from another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SameKey {
    /// With this machine's own key.
    #[error("machine {name} has this machine's own key: each machine needs a key file of its own")]
    Own {
        /// Its name.
        name: MachineName,
    },
    /// With a key or a name that another one has.
    #[error("machine {name} is named twice, by its key or its name")]
    Twice {
        /// Its name.
        name: MachineName,
    },
}
