//! `--nats` and its neighbours: links of a bus to other machines over a NATS server.
//!
//! In: options. Out: links for a builder. May touch: the server, while this process listens.

use clap::Args;
use kyneta_uds::{
    BoxError,
    machines::{Links, MachineName, Machines},
};
use kyneta_uds_nats::{NatsEngine, NatsSettings};

/// The options of a process that can be the listener of a machine among several, at one NATS server.
#[derive(Debug, Args)]
pub(super) struct NatsArgs {
    /// Reach other machines over this NATS server, which must have JetStream
    #[arg(
        long,
        value_name = "URL",
        requires = "machine_name",
        requires = "nats_machine"
    )]
    #[cfg_attr(feature = "machines", arg(conflicts_with = "machine_key"))]
    nats: Option<String>,

    /// What this machine is called at the NATS server, by all others, too
    #[arg(long, value_name = "NAME", requires = "nats")]
    machine_name: Option<MachineName>,

    /// Another machine at the NATS server (may be repeated)
    #[arg(long, value_name = "NAME", requires = "nats")]
    nats_machine: Vec<MachineName>,
}

impl NatsArgs {
    /// The links, if there are to be any.
    pub(super) fn machines(&self) -> Option<Machines> {
        let (url, name) = self.nats.clone().zip(self.machine_name.clone())?;
        let others = self.nats_machine.clone();
        Some(Machines::new(move || {
            let (url, name, others) = (url.clone(), name.clone(), others.clone());
            async move {
                let engine = NatsEngine::connect(&url, name, NatsSettings::default()).await?;
                let links = Links::builder(engine.name().clone(), engine.key());
                let links = others
                    .into_iter()
                    .map(NatsEngine::machine)
                    .fold(links, |links, other| links.machine(other));
                Ok::<_, BoxError>(links.start(engine.connector(), engine.acceptor().await?)?)
            }
        }))
    }
}
