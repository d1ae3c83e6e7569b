//! The completions for a shell, on stdout.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{args::Cli, failure::Failure, stdout};

pub(crate) fn print(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kyneta-uds", &mut text);
    // In bash's, clap_complete (4.6.11) writes the hyphen of our name in two ways, and so would complete
    // nothing after a command.
    let text = String::from_utf8_lossy(&text).replace("kyneta__subcmd__uds", "kyneta__uds");
    stdout::print_line(text.as_bytes().trim_ascii_end())
}
