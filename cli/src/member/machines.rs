//! `--machine-key` and its neighbours, and `key`: links to other machines over iroh.
//!
//! In: options. Out: a builder that runs links; event lines; a public key. May touch: the key file, and the address
//! while this process listens.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueHint};
use kyneta_uds::{
    BoxError,
    machines::{LinkChange, Links, Machine, Machines},
    roles::PeerBuilder,
};
use kyneta_uds_iroh::{IrohEngine, IrohSettings, SecretKey};

use super::event_line::EventLine;
use crate::{failure::Failure, stdout};

/// The options of a process that can be the listener of a machine among several.
#[derive(Debug, Args)]
pub(super) struct MachineArgs {
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
    /// With links, if there are to be any.
    pub(super) fn add_to<S>(self, builder: PeerBuilder<S>) -> PeerBuilder<S> {
        let (Some(file), Some(address)) = (self.machine_key, self.machine_listen) else {
            return builder;
        };
        let others = self.machine;
        builder.machines(Machines::new(move || {
            let (file, others) = (file.clone(), others.clone());
            async move {
                let key = SecretKey::at(file)?;
                let engine = IrohEngine::bind(&key, address, IrohSettings::default()).await?;
                // Names are this machine's own matter: to the others it is its key.
                let links = Links::builder(engine.key().to_string().parse()?, engine.key());
                let links = others
                    .into_iter()
                    .fold(links, |links, other| links.machine(other));
                Ok::<_, BoxError>(links.start(engine.connector(), engine.acceptor())?)
            }
        }))
    }
}

/// The line of a link.
pub(super) fn line<'a>(machine: &'a str, change: &LinkChange) -> EventLine<'a> {
    let (change, reason) = match change {
        LinkChange::Up => ("up", None),
        LinkChange::Down => ("down", None),
        LinkChange::Replaced => ("replaced", None),
        LinkChange::Refused { refusal, here } => {
            let by = if *here { "here" } else { "there" };
            ("refused", Some(format!("refused {by}: {refusal}")))
        }
        LinkChange::Absent(reason) => ("absent", Some(reason.to_string())),
        other => ("absent", Some(format!("{other:?}"))),
    };
    EventLine::Link {
        machine,
        change,
        reason,
    }
}

/// Makes the key file if there is none, and prints its public part.
pub(crate) fn key(file: &std::path::Path) -> Result<(), Failure> {
    let key = SecretKey::at(file)?;
    stdout::print_line(key.public().to_string().as_bytes())
}
