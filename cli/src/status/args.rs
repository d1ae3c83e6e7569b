//! The options of `status`.

use clap::{Args, ValueHint};
use kyneta_uds::SocketPath;

use crate::option_values::socket_path;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The status socket; of the socket of a bus or of a kyneta path, the members are shown
    #[arg(value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(super) path: SocketPath,

    /// Print the JSON as received, on one line
    #[arg(long)]
    pub(super) json: bool,

    /// Ask again every second, until a signal; wait for a process that is not there
    #[arg(long)]
    pub(super) watch: bool,
}
