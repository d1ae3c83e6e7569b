//! Machines in one process, with links in memory between each two.
//!
//! In: how many. Out: a socket path and the links of each; links that are cut and healed. May touch: a directory of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // No test function stands here, but only tests call.

use std::path::PathBuf;

use kyneta_uds::{
    BoxError,
    machines::{LinkSettings, Links, Machine, MachineKey, Machines, memory::Network},
};
use tempfile::TempDir;

const NAMES: [&str; 3] = ["oslo", "rome", "lima"];

fn key(machine: usize) -> MachineKey {
    MachineKey::from([u8::try_from(machine).unwrap() + 1; 32])
}

pub(crate) struct World {
    dir: TempDir,
    network: Network,
    machines: usize,
}

impl World {
    pub(crate) fn new(machines: usize) -> Self {
        let (dir, network) = (tempfile::tempdir().unwrap(), Network::new());
        Self {
            dir,
            network,
            machines,
        }
    }

    pub(crate) fn path(&self, machine: usize) -> PathBuf {
        self.dir.path().join(format!("{machine}.sock"))
    }

    /// Of a machine, to all others.
    pub(crate) fn links(&self, machine: usize, settings: LinkSettings) -> Machines {
        let (network, count) = (self.network.clone(), self.machines);
        Machines::new(move || {
            let network = network.clone();
            async move {
                let me = key(machine);
                let builder = Links::builder(NAMES[machine].parse()?, me);
                let mut builder = builder.settings(settings);
                for other in (0..count).filter(|other| *other != machine) {
                    let name = NAMES[other].parse()?;
                    builder = builder.machine(Machine::new(name, key(other), key(other)));
                }
                Ok::<_, BoxError>(builder.start(network.dialer(me), network.listen(me))?)
            }
        })
    }

    pub(crate) fn cut(&self, a: usize, b: usize) {
        self.network.cut(key(a), key(b));
    }

    pub(crate) fn heal(&self, a: usize, b: usize) {
        self.network.heal(key(a), key(b));
    }
}
