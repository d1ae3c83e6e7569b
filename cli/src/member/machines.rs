//! `--machine-key` and its neighbours, and `key`: links to other machines over iroh.
//!
//! In: options. Out: a builder that runs links; event lines; a public key. May touch: the key file, and the address
//! while this process listens.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueHint};
use kyneta_uds::{
    BoxError,
    machines::{Links, Machine, Machines},
};
use kyneta_uds_iroh::{IrohEngine, IrohSettings, IrohStream, SecretKey};

use crate::{failure::Failure, stdout};

/// The options of a process that can be the listener of a machine among several.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// The key file of this machine, made if there is none; see `kyneta-uds key`. It is read while this process listens
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "machine_listen")]
    machine_key: Option<PathBuf>,

    /// The UDP address of this machine, for the others
    #[arg(long, value_name = "ADDR", requires = "machine_key")]
    machine_listen: Option<SocketAddr>,

    /// Another machine: what it is called here, its public key and its UDP address (may be repeated)
    #[arg(long, value_name = "NAME=KEY@ADDR", requires = "machine_key")]
    machine: Vec<Machine<SocketAddr>>,
}

impl MachineArgs {
    /// The links, if there are to be any.
    pub(crate) fn machines(&self) -> Option<Machines> {
        let (file, address) = self.machine_key.clone().zip(self.machine_listen)?;
        let others = self.machine.clone();
        Some(Machines::new(move || {
            let (file, others) = (file.clone(), others.clone());
            async move {
                let key = SecretKey::at(file)?;
                let engine = IrohEngine::bind(&key, address, IrohSettings::default()).await?;
                // Names are this machine's own matter: to the others it is its key.
                let links = Links::builder(engine.key().to_string().parse()?, engine.key());
                let links = others
                    .into_iter()
                    .fold(links, |links, other| links.machine(other));
                let links = links.start(engine.connector(), engine.acceptor())?;
                Ok::<_, BoxError>(links.round_trip(IrohStream::round_trip))
            }
        }))
    }
}

/// Makes the key file if there is none, and prints its public part.
pub(crate) fn key(file: &std::path::Path) -> Result<(), Failure> {
    let key = SecretKey::at(file)?;
    stdout::print_line(key.public().to_string().as_bytes())
}
